//! Machines that are reached by ssh and share the run folder's disk.

use super::{Job, started, text};
use crate::Error;
use crate::cli::{Ended, Failure, SYSTEM, print, quoted, tell};
use clap::Args;
use std::path::PathBuf;
use std::process::Command;

#[derive(Debug, Args)]
pub(super) struct Ssh {
    /// ssh: machines, as ssh takes them
    #[arg(
        long,
        value_name = "HOST,…",
        value_delimiter = ',',
        help_heading = "ssh"
    )]
    hosts: Vec<String>,
    /// ssh: the command, with options (`--ssh 'ssh -p 2222'`) [default: ssh]
    #[arg(long, value_name = "COMMAND", help_heading = "ssh")]
    ssh: Option<String>,
    /// ssh: this program on those machines [default: its path here]
    #[arg(long, value_name = "PATH", help_heading = "ssh")]
    program: Option<PathBuf>,
}

impl Ssh {
    /// A flag that is set.
    pub(super) fn set(&self) -> Option<&'static str> {
        let flags = [
            ("--hosts", !self.hosts.is_empty()),
            ("--ssh", self.ssh.is_some()),
            ("--program", self.program.is_some()),
        ];
        flags.into_iter().find(|flag| flag.1).map(|flag| flag.0)
    }

    /// Starts one worker on each host, or as many as asked for in turn.
    pub(super) fn start(&self, job: &Job<'_>, workers: Option<u32>, dry: bool) -> Ended {
        if self.hosts.is_empty() {
            return Err(Failure::usage("--engine ssh needs --hosts"));
        }
        if let Some(odd) = self
            .hosts
            .iter()
            .find(|h| h.is_empty() || h.starts_with('-'))
        {
            return Err(Failure::usage(format!(
                "--hosts: expected names of hosts, found {odd:?}"
            )));
        }
        let program = match &self.program {
            Some(program) => program.clone(),
            None => std::env::current_exe().map_err(|e| Error::io("finding this program", e))?,
        };
        let ssh: Vec<&str> = self
            .ssh
            .as_deref()
            .unwrap_or("ssh")
            .split_whitespace()
            .collect();
        let [command, options @ ..] = ssh.as_slice() else {
            return Err(Failure::usage("--ssh: expected a command, found nothing"));
        };
        let workers = workers.map_or(self.hosts.len(), |n| n as usize);
        let work = job.work(&program, &job.folder, &[]);
        let mut failed = Vec::new();
        for (i, host) in self.hosts.iter().cycle().take(workers).enumerate() {
            let log = quoted(&text(&job.logs().join(format!("{i}-{}.log", plain(host)))));
            // The shell there ends at once, and the worker stays.
            let there = format!("nohup {work} >> {log} 2>&1 < /dev/null & echo $!");
            if dry {
                let line = [command].into_iter().chain(options).copied();
                let line = line.chain([host.as_str(), there.as_str()]).map(quoted);
                print(&format!("{}\n", line.collect::<Vec<_>>().join(" ")))?;
                continue;
            }
            let output = Command::new(command)
                .args(options)
                .args(["-n", "-o", "BatchMode=yes", host.as_str(), there.as_str()])
                .output();
            let output = output.map_err(|e| Error::io(format!("starting {command}"), e))?;
            let said = String::from_utf8_lossy(&output.stdout).trim().to_string();
            match output.status.success() && said.parse::<u32>().is_ok() {
                true => print(&format!("{host}: process {said}\n"))?,
                false => {
                    let words = String::from_utf8_lossy(&output.stderr).trim().to_string();
                    tell(&format!("{host}: {words} ({})", output.status));
                    failed.push(host.clone());
                    continue;
                }
            };
        }
        if !failed.is_empty() {
            return Err(Failure {
                code: SYSTEM,
                text: format!("no worker was started on {}", failed.join(", ")),
            });
        }
        if !dry {
            started(
                job,
                &format!("{workers} workers on {} hosts", self.hosts.len()),
            );
        }
        Ok(0)
    }
}

fn plain(host: &str) -> String {
    let fine = |c: char| c.is_ascii_alphanumeric() || "-_.@".contains(c);
    host.chars()
        .map(|c| if fine(c) { c } else { '-' })
        .collect()
}
