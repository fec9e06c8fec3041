//! Slurm: one array job of workers, and a job behind it that draws the page.

use super::{Job, started, text};
use crate::Error;
use crate::cli::{Ended, Failure, SYSTEM, print, quoted};
use clap::Args;
use farspan_reports::store::write_atomic;
use std::path::Path;
use std::process::Command;

/// Seconds before the end of its time at which a job is told to save.
const NOTICE: u32 = 90;
/// How long a worker waits for cells that others may leave before it gives its machine back.
const PATIENCE: &str = "10m";

#[derive(Debug, Args)]
pub(super) struct Slurm {
    /// Slurm: partition
    #[arg(long, value_name = "NAME", help_heading = "Slurm")]
    partition: Option<String>,
    /// Slurm: resources of a worker (`gpu:1`)
    #[arg(long, value_name = "LIST", help_heading = "Slurm")]
    gres: Option<String>,
    /// Slurm: time limit of a worker, as sbatch takes it; one that runs out of it is put back into the queue
    #[arg(long, value_name = "TIME", help_heading = "Slurm")]
    time: Option<String>,
    /// Slurm: one more option of sbatch for the workers (`--sbatch=--mem=16G`); may be given again
    #[arg(
        long,
        value_name = "OPTION",
        help_heading = "Slurm",
        allow_hyphen_values = true
    )]
    sbatch: Vec<String>,
}

impl Slurm {
    /// A flag that is set.
    pub(super) fn set(&self) -> Option<&'static str> {
        let flags = [
            ("--partition", self.partition.is_some()),
            ("--gres", self.gres.is_some()),
            ("--time", self.time.is_some()),
            ("--sbatch", !self.sbatch.is_empty()),
        ];
        flags.into_iter().find(|flag| flag.1).map(|flag| flag.0)
    }

    pub(super) fn submit(&self, job: &Job<'_>, dry: bool) -> Ended {
        let program = std::env::current_exe().map_err(|e| Error::io("finding this program", e))?;
        let script = self.script(job, &program)?;
        let path = job.logs().join("slurm.sh");
        let report = self.report(job, &program);
        if dry {
            let after = report
                .iter()
                .map(|a| quoted(a))
                .collect::<Vec<_>>()
                .join(" ");
            let path = quoted(&text(&path));
            return print(&format!(
                "{script}\n# submitted with: sbatch --parsable {path}\n# and after it: sbatch --dependency=afterany:JOB {after}\n"
            ));
        }
        write_atomic(&path, script.as_bytes())?;
        let id = sbatch(&["--parsable".into(), text(&path)])?;
        let mut after = vec!["--parsable".into(), format!("--dependency=afterany:{id}")];
        after.extend(report);
        let page = sbatch(&after)?;
        let workers = job.workers;
        started(
            job,
            &format!("job {id} with {workers} workers, job {page} draws the page after it"),
        );
        print(&format!("{id}\n{page}\n"))
    }

    fn script(&self, job: &Job<'_>, program: &Path) -> Result<String, Failure> {
        let limit = job.at_once.map_or(String::new(), |most| format!("%{most}"));
        let mut lines = vec![
            format!("--job-name=\"farspan-{}\"", plain(job.name)),
            format!("--array=0-{}{limit}", job.workers - 1),
            "--requeue".into(),
            "--open-mode=append".into(),
            format!("--signal=B:USR1@{NOTICE}"),
            format!("--output=\"{}/%A_%a.log\"", text(&job.logs())),
        ];
        for (option, value) in [
            ("partition", &self.partition),
            ("gres", &self.gres),
            ("time", &self.time),
        ] {
            lines.extend(value.iter().map(|value| format!("--{option}={value}")));
        }
        lines.extend(self.sbatch.iter().cloned());
        if let Some(odd) = lines
            .iter()
            .find(|line| line.contains('\n') || !line.starts_with('-'))
        {
            return Err(Failure::usage(format!(
                "expected an option of sbatch on one line, found {odd:?}"
            )));
        }
        let lines: String = lines
            .iter()
            .map(|line| format!("#SBATCH {line}\n"))
            .collect();
        let work = job.work(program, &job.folder, &["--requeue", "--patience", PATIENCE]);
        Ok(format!("#!/bin/bash\n{lines}exec {work}\n"))
    }

    /// Arguments of the job that draws the page.
    fn report(&self, job: &Job<'_>, program: &Path) -> Vec<String> {
        let mut arguments = vec![
            format!("--job-name=farspan-{}-report", plain(job.name)),
            format!("--output={}/report-%j.log", text(&job.logs())),
        ];
        arguments.extend(self.partition.iter().map(|p| format!("--partition={p}")));
        let draw = [text(program), "report".into(), text(&job.folder)];
        let draw = draw.iter().map(|a| quoted(a)).collect::<Vec<_>>().join(" ");
        arguments.push(format!("--wrap=exec {draw}"));
        arguments
    }
}

/// A name that no quote has to be put around.
fn plain(name: &str) -> String {
    let fine = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    name.chars()
        .map(|c| if fine(c) { c } else { '-' })
        .collect()
}

/// The job's number.
fn sbatch(arguments: &[String]) -> Result<String, Failure> {
    let said = told("sbatch", arguments)?;
    // On a federation the cluster's name stands behind it.
    let id = said
        .trim()
        .split(';')
        .next()
        .unwrap_or_default()
        .to_string();
    match id.parse::<u64>() {
        Ok(_) => Ok(id),
        Err(_) => Err(Failure {
            code: SYSTEM,
            text: format!("sbatch: expected the number of a job, found {said:?}"),
        }),
    }
}

/// What a command of Slurm says.
fn told(program: &str, arguments: &[String]) -> Result<String, Failure> {
    let output = Command::new(program).args(arguments).output();
    let output = output.map_err(|e| Error::io(format!("starting {program}"), e))?;
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr).trim().to_string();
        return Err(Failure {
            code: SYSTEM,
            text: format!("{program}: {words} ({})", output.status),
        });
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Puts the job that this process is into the queue again.
pub(in crate::cli) fn requeue() -> Result<(), Failure> {
    let Ok(job) = std::env::var("SLURM_JOB_ID") else {
        return Err(Failure::usage(
            "--requeue: expected a job of Slurm, found no SLURM_JOB_ID",
        ));
    };
    told("scontrol", &["requeue".into(), job]).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    #[test]
    fn the_script_says_what_was_asked_for_and_execs_a_worker() -> Result<(), String> {
        let slurm = Slurm {
            partition: Some("gpu".into()),
            gres: Some("gpu:2".into()),
            time: Some("4:00:00".into()),
            sbatch: vec!["--mem=16G".into()],
        };
        let flags = ["-k".to_string(), "a or b".to_string()];
        let job = Job {
            name: "my run",
            folder: PathBuf::from("/shared/my runs/q"),
            workers: 8,
            at_once: Some(3),
            flags: &flags,
        };
        let script = slurm
            .script(&job, Path::new("/opt/farspan"))
            .map_err(|e| e.text)?;
        let expected = "#!/bin/bash\n\
            #SBATCH --job-name=\"farspan-my-run\"\n\
            #SBATCH --array=0-7%3\n\
            #SBATCH --requeue\n\
            #SBATCH --open-mode=append\n\
            #SBATCH --signal=B:USR1@90\n\
            #SBATCH --output=\"/shared/my runs/q/submit/%A_%a.log\"\n\
            #SBATCH --partition=gpu\n\
            #SBATCH --gres=gpu:2\n\
            #SBATCH --time=4:00:00\n\
            #SBATCH --mem=16G\n\
            exec /opt/farspan work '/shared/my runs/q' --requeue --patience 10m -k 'a or b'\n";
        assert_eq!(script, expected);
        let odd = Slurm {
            sbatch: vec!["--a\nrm -rf".into()],
            ..slurm
        };
        assert!(odd.script(&job, Path::new("/opt/farspan")).is_err());
        Ok(())
    }
}
