//! `submit`: plans a run and lets a cluster start its workers. There is no engine of ours behind it: the run folder is the
//! queue, the cluster's own scheduler starts `farspan work` as often as asked, and that is all that is written here.

mod kubernetes;
mod slurm;
mod ssh;

pub(super) use slurm::requeue;

use super::configs::ConfigArgs;
use super::run::options;
use super::work::Work;
use super::{Ended, Failure, device, quoted, tell};
use crate::Error;
use crate::grid;
use clap::{Args, ValueEnum};
use farspan_pe::Registry;
use std::path::{Path, PathBuf};

/// Workers that are started unless the user says otherwise, at most.
const MOST_WORKERS: usize = 64;

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    farspan submit my.toml --engine slurm --partition gpu --gres gpu:1 --time 4:00:00 --array-limit 16\n  \
    farspan submit my.toml --engine slurm --time 30:00 --dry-run           # print the script\n  \
    farspan submit my.toml --engine kubernetes --image registry/farspan --claim runs | kubectl apply -f -\n  \
    farspan submit my.toml --engine ssh --hosts a,b,c -- --jobs 4\n\n\
    What stands behind -- goes to every `farspan work`. The run folder must be on a disk that all machines share; \
    docs/cluster.md says what that has to offer. The same command again adds workers to a run that goes on.")]
pub(super) struct Submit {
    #[command(flatten)]
    config: ConfigArgs,
    /// What starts the workers
    #[arg(long, value_enum)]
    engine: Engine,
    /// Run folder [default: runs/NAME]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Workers [default: one per cell that needs no other, at most 64; one per host with ssh]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    workers: Option<u32>,
    /// At most so many workers at once
    #[arg(long, value_name = "K", value_parser = clap::value_parser!(u32).range(1..))]
    array_limit: Option<u32>,
    /// Print what would be submitted; nothing is written, nothing is started
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    slurm: slurm::Slurm,
    #[command(flatten)]
    kubernetes: kubernetes::Kubernetes,
    #[command(flatten)]
    ssh: ssh::Ssh,
    /// Flags of `farspan work`, behind --
    #[arg(last = true, value_name = "FLAGS")]
    flags: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Engine {
    /// An array job, with a job behind it that draws the page
    Slurm,
    /// The manifest of an indexed Job, on stdout
    Kubernetes,
    /// Workers on hosts that are reached by ssh
    Ssh,
}

/// What every engine starts.
struct Job<'a> {
    /// Name of the run.
    name: &'a str,
    /// The run folder, absolute.
    folder: PathBuf,
    workers: u32,
    at_once: Option<u32>,
    /// More flags of `farspan work`.
    flags: &'a [String],
}

impl Job<'_> {
    /// Where scripts and logs lie.
    fn logs(&self) -> PathBuf {
        self.folder.join("submit")
    }

    /// The command of a worker, with `more` flags, as a shell takes it.
    fn work(&self, program: &Path, folder: &Path, more: &[&str]) -> String {
        let fixed = [text(program), "work".to_string(), text(folder)];
        let more = more.iter().map(ToString::to_string);
        let all = fixed
            .into_iter()
            .chain(more)
            .chain(self.flags.iter().cloned());
        all.map(|argument| quoted(&argument))
            .collect::<Vec<_>>()
            .join(" ")
    }
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

impl Submit {
    pub(super) fn run(self, registry: &Registry, command: String) -> Ended {
        self.check()?;
        let loaded = self.config.load(registry)?;
        let options = options(&loaded, self.out.clone(), Work::default(), command);
        let folder = std::path::absolute(&options.out)
            .map_err(|e| Error::io(format!("finding {}", options.out.display()), e))?;
        if text(&folder).contains(['\n', '"', '%']) || folder.to_str().is_none() {
            return Err(Failure::usage(format!(
                "--out: expected a path without line breaks, quotes and percent signs, found {}",
                folder.display()
            )));
        }
        // A device that is only there on the cluster is no mistake; a word that is none is.
        loaded
            .run
            .device
            .parse::<farspan_attention::DeviceSpec>()
            .or_else(|_| device(&loaded.run.device).map(|device| device.spec()))?;
        let plan = match self.dry_run {
            true => grid::plan(&loaded.run, registry, Path::new(""))?,
            false => grid::prepare(&loaded.run, &options, registry)?.1,
        };
        let roots = plan.cells.iter().filter(|cell| cell.base.is_none()).count();
        let workers = self.workers.unwrap_or(roots.clamp(1, MOST_WORKERS) as u32);
        let job = Job {
            name: &plan.name,
            folder,
            workers,
            at_once: self.array_limit,
            flags: &self.flags,
        };
        if !self.dry_run && self.engine != Engine::Kubernetes {
            let logs = job.logs();
            std::fs::create_dir_all(&logs)
                .map_err(|e| Error::io(format!("making {}", logs.display()), e))?;
        }
        match self.engine {
            Engine::Slurm => self.slurm.submit(&job, self.dry_run),
            Engine::Kubernetes => self.kubernetes.print(&job, self.dry_run),
            Engine::Ssh => self.ssh.start(&job, self.workers, self.dry_run),
        }
    }

    /// Refuses flags of other engines, and flags that no worker takes.
    fn check(&self) -> Result<(), Failure> {
        let set = [
            (Engine::Slurm, self.slurm.set()),
            (Engine::Kubernetes, self.kubernetes.set()),
            (Engine::Ssh, self.ssh.set()),
        ];
        for (engine, flag) in set {
            if let Some(flag) = flag.filter(|_| engine != self.engine) {
                let engine = format!("{engine:?}").to_lowercase();
                return Err(Failure::usage(format!("{flag} is for --engine {engine}")));
            }
        }
        super::check_flags(&self.flags)
    }
}

/// Says what was started, and how to see more of it.
fn started(job: &Job<'_>, words: &str) {
    let folder = job.folder.display();
    tell(&format!(
        "{words}; `farspan status {folder}` tells how far it is"
    ));
}
