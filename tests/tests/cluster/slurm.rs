//! Workers as jobs of Slurm.

use super::{Daemons, free_port, is_root, missing, plain, wait_for};
use farspan_acceptance::{TINY, farspan, results, text, write_config};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

struct Slurm {
    folder: PathBuf,
    _daemons: Daemons,
}

impl Slurm {
    fn start(folder: PathBuf) -> Slurm {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/slurm.sh");
        let daemons = Daemons(folder.clone());
        // Two ports in a row.
        let port = free_port() / 2 * 2;
        let output = Command::new("bash")
            .arg(script)
            .arg(&folder)
            .arg(port.to_string())
            .env("PATH", with_sbin())
            .output()
            .unwrap();
        let log = || std::fs::read_to_string(folder.join("log/slurmctld")).unwrap_or_default();
        let words = text(&output.stdout) + &text(&output.stderr);
        assert!(output.status.success(), "{words}\n{}", log());
        Slurm {
            folder,
            _daemons: daemons,
        }
    }

    fn command(&self, command: &mut Command) -> (bool, String) {
        let output = command
            .env("SLURM_CONF", self.folder.join("slurm.conf"))
            .env("PATH", with_sbin())
            .output()
            .unwrap();
        let words = text(&output.stdout) + &text(&output.stderr);
        (output.status.success(), words)
    }

    fn tell(&self, program: &str, args: &[&str]) -> String {
        let (fine, words) = self.command(Command::new(program).args(args));
        assert!(fine, "{program} {args:?}: {words}");
        words
    }
}

fn with_sbin() -> String {
    format!(
        "{}:/usr/sbin:/sbin",
        std::env::var("PATH").unwrap_or_default()
    )
}

#[test]
#[expect(clippy::print_stderr, reason = "says why it was not tried")]
fn slurm_makes_a_grid_while_it_preempts_and_workers_are_killed() {
    let lacking = missing(&[
        "slurmctld",
        "slurmd",
        "sbatch",
        "scontrol",
        "munged",
        "pgrep",
    ]);
    let lacking =
        lacking.or((!is_root()).then(|| "only root can start a Slurm without users".into()));
    if let Some(why) = lacking {
        eprintln!("skipped: {why}");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let config = TINY.replace("seeds = [0]", "seeds = [0, 1, 2]");
    let config = write_config(folder.path(), &config.replace("steps = 150", "steps = 400"));
    let expected = plain(&config, &folder.path().join("plain"));
    let slurm = Slurm::start(folder.path().join("slurm"));
    let run = folder.path().join("run");
    let submit = |more: &[&str]| {
        let mut command = farspan(&["submit", config.to_str().unwrap(), "--engine", "slurm"]);
        command.arg("--out").arg(&run);
        command.args(["--partition", "low", "--workers", "3", "--array-limit", "2"]);
        command
            .args(more)
            .args(["--", "--jobs", "1", "--lease", "3s"]);
        slurm.command(&mut command)
    };
    let (fine, script) = submit(&["--dry-run"]);
    assert!(fine && !run.exists(), "{script}");
    for part in [
        "--array=0-2%2",
        "--requeue",
        "--open-mode=append",
        "--signal=B:USR1@90",
        "exec ",
        "afterany",
    ] {
        assert!(script.contains(part), "{part}: {script}");
    }
    let (fine, words) = submit(&[]);
    assert!(fine, "{words}");
    let ids: Vec<&str> = words
        .lines()
        .filter(|line| line.parse::<u64>().is_ok())
        .collect();
    let [array, report] = ids[..] else {
        panic!("expected two jobs: {words}")
    };
    let status = || text(&farspan(&["status"]).arg(&run).output().unwrap().stdout);
    let told = || {
        let queue = slurm.command(&mut Command::new("squeue")).1;
        let logs = std::fs::read_dir(run.join("submit")).unwrap().flatten();
        let logs = logs.map(|log| std::fs::read_to_string(log.path()).unwrap_or_default());
        format!(
            "{}\n{queue}\n{}",
            status(),
            logs.collect::<Vec<_>>().join("\n")
        )
    };
    let job = format!("slurm {array}_");
    wait_for("a cell runs in the job", || status().contains(&job), told);

    // One worker is killed; its lease runs out or its end is seen.
    let workers = || {
        let found = Command::new("pgrep")
            .args(["-f", &format!("work {}", run.display())])
            .output();
        let found = text(&found.unwrap().stdout);
        found
            .lines()
            .filter_map(|pid| pid.parse::<u32>().ok())
            .collect::<Vec<_>>()
    };
    wait_for("workers", || !workers().is_empty(), told);
    let victim = workers()[0].to_string();
    let _ = Command::new("kill").args(["-KILL", &victim]).status();

    // A job that matters more takes the whole machine for a moment.
    let high = [
        "--parsable",
        "-p",
        "high",
        "--exclusive",
        "--output=/dev/null",
        "--wrap",
        "sleep 2",
    ];
    let high = slurm.tell("sbatch", &high).trim().to_string();
    let ended = |id: &str| {
        !slurm
            .command(Command::new("squeue").args(["-h", "-j", id]))
            .1
            .contains(id)
    };
    wait_for("the job that matters more", || ended(&high), told);
    let was_requeued = || {
        let jobs = slurm
            .command(Command::new("scontrol").args(["show", "job", array]))
            .1;
        jobs.contains("Restarts=1") || jobs.contains("Restarts=2")
    };
    assert!(was_requeued(), "{}", told());
    // Slurm lets a job that was put back wait for two minutes.
    let all = || results_there(&run) == expected.len();
    wait_for(
        "every cell",
        || {
            for task in 0..3 {
                let name = format!("JobId={array}_{task}");
                slurm.command(Command::new("scontrol").args(["update", &name, "StartTime=now"]));
            }
            all()
        },
        told,
    );
    wait_for(
        "the report",
        || ended(report) && run.join("report/report.html").exists(),
        told,
    );
    assert!(results(&run) == expected);
    let logs = told();
    assert!(
        logs.contains("interrupted"),
        "no worker was told to leave: {logs}"
    );
}

fn results_there(run: &Path) -> usize {
    let cells = std::fs::read_dir(run.join("cells")).unwrap().flatten();
    cells
        .filter(|cell| cell.path().join("result.json").exists())
        .count()
}

/// A worker that Slurm warns of the end of its time saves, and its job goes back into the queue.
#[test]
#[expect(clippy::print_stderr, reason = "says why it was not tried")]
fn a_job_of_slurm_that_runs_out_of_time_goes_back_into_the_queue() {
    let lacking = missing(&["slurmctld", "slurmd", "sbatch", "scontrol", "munged"]);
    let lacking =
        lacking.or((!is_root()).then(|| "only root can start a Slurm without users".into()));
    if let Some(why) = lacking {
        eprintln!("skipped: {why}");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let config = write_config(
        folder.path(),
        &TINY.replace("steps = 150", "steps = 100000"),
    );
    let slurm = Slurm::start(folder.path().join("slurm"));
    let run = folder.path().join("run");
    let mut command = farspan(&["submit", config.to_str().unwrap(), "--engine", "slurm"]);
    command
        .arg("--out")
        .arg(&run)
        .args(["--workers", "1", "--", "--jobs", "1"]);
    let (fine, words) = slurm.command(&mut command);
    assert!(fine, "{words}");
    let array = words
        .lines()
        .find(|line| line.parse::<u64>().is_ok())
        .unwrap()
        .to_string();
    let show = || {
        slurm
            .command(Command::new("scontrol").args(["show", "job", &array]))
            .1
    };
    let status = || text(&farspan(&["status"]).arg(&run).output().unwrap().stdout);
    wait_for(
        "a cell",
        || status().contains("running"),
        || show() + &status(),
    );
    std::thread::sleep(Duration::from_secs(1));
    // What Slurm itself does 90 seconds before the end.
    slurm.tell("scancel", &["--signal=USR1", "--batch", &array]);
    wait_for(
        "the queue",
        || show().contains("Restarts=1"),
        || show() + &status(),
    );
    assert!(status().contains("interrupted"), "{}", status());
    slurm.tell("scancel", &[&array]);
}
