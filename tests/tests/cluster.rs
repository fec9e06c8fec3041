//! `farspan submit` on a real Slurm and over a real ssh, both on this machine: what they need is installed by test.sh where
//! there is apt. Without it these tests say so and why.
#![cfg(target_os = "linux")]

use farspan_acceptance::{TINY, farspan, results, text, write_config};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Which of the programs is not there.
fn missing(programs: &[&str]) -> Option<String> {
    let found = |program: &&&str| {
        let all = std::env::var("PATH").unwrap_or_default();
        let mut folders = all.split(':').chain(["/usr/sbin", "/sbin"]);
        folders.any(|folder| Path::new(folder).join(program).exists())
    };
    let lacking = programs.iter().find(|program| !found(program));
    lacking.map(|program| {
        format!("no {program} on this machine, and test.sh installs it where there is apt-get")
    })
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output();
    id.is_ok_and(|id| text(&id.stdout).trim() == "0")
}

fn free_port() -> u16 {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    socket.local_addr().unwrap().port()
}

fn plain(config: &Path, out: &Path) -> Vec<(String, Vec<u8>)> {
    let args = ["run", config.to_str().unwrap(), "--jobs", "2", "--out"];
    let output = farspan(&args).arg(out).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    results(out)
}

/// Waits until `done` holds, and tells what went on if it never does.
fn wait_for(what: &str, done: impl Fn() -> bool, told: impl Fn() -> String) {
    let started = Instant::now();
    while !done() {
        assert!(
            started.elapsed() < Duration::from_secs(240),
            "{what}: {}",
            told()
        );
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// What the processes that belong to a folder are ended by when a test ends, however it ends.
struct Daemons(PathBuf);

impl Drop for Daemons {
    fn drop(&mut self) {
        for name in ["sshd", "slurmd", "slurmctld", "munged"] {
            let pid = std::fs::read_to_string(self.0.join(format!("{name}.pid")));
            if let Some(pid) = pid.ok().and_then(|pid| pid.trim().parse::<u32>().ok()) {
                let _ = Command::new("kill").arg(pid.to_string()).status();
            }
        }
        // What they were writing when they were ended is gone with the folder.
        std::thread::sleep(Duration::from_millis(500));
    }
}

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

#[test]
#[expect(clippy::print_stderr, reason = "says why it was not tried")]
fn workers_are_started_over_ssh() {
    if let Some(why) = missing(&["sshd", "ssh", "ssh-keygen"]) {
        eprintln!("skipped: {why}");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let config = write_config(folder.path(), &TINY.replace("steps = 150", "steps = 20"));
    let expected = plain(&config, &path("plain"));
    for key in ["host", "user"] {
        let made = Command::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-f"])
            .arg(path(key))
            .status();
        assert!(made.unwrap().success());
    }
    let port = free_port();
    let at = folder.path().display();
    let server = format!(
        "Port {port}\nListenAddress 127.0.0.1\nHostKey {at}/host\nPidFile {at}/sshd.pid\nAuthorizedKeysFile {at}/user.pub\n\
         StrictModes no\nUsePAM no\nPasswordAuthentication no\n"
    );
    std::fs::write(path("sshd_config"), server).unwrap();
    let client = format!(
        "Host *\nPort {port}\nIdentityFile {at}/user\nUserKnownHostsFile /dev/null\nStrictHostKeyChecking no\nLogLevel ERROR\n"
    );
    std::fs::write(path("ssh_config"), client).unwrap();
    if is_root() {
        std::fs::create_dir_all("/run/sshd").unwrap();
    }
    let _daemons = Daemons(folder.path().to_path_buf());
    let sshd = ["/usr/sbin/sshd", "/usr/bin/sshd", "/sbin/sshd"];
    let sshd = sshd.iter().find(|path| Path::new(path).exists()).unwrap();
    let log = path("sshd.log");
    let started = Command::new(sshd)
        .arg("-f")
        .arg(path("sshd_config"))
        .arg("-E")
        .arg(&log)
        .status();
    assert!(
        started.unwrap().success(),
        "{}",
        std::fs::read_to_string(&log).unwrap_or_default()
    );
    let ssh = format!("ssh -F {at}/ssh_config");
    let run = path("run");
    let submit = |hosts: &str| {
        let args = [
            "submit",
            config.to_str().unwrap(),
            "--engine",
            "ssh",
            "--ssh",
            &ssh,
            "--hosts",
            hosts,
        ];
        let mut command = farspan(&args);
        command.arg("--out").arg(&run).args(["--", "--jobs", "1"]);
        command.stdin(Stdio::null()).output().unwrap()
    };
    let answers = || {
        Command::new("ssh")
            .args(["-F"])
            .arg(path("ssh_config"))
            .args(["127.0.0.1", "true"])
            .status()
    };
    wait_for(
        "an answer",
        || answers().is_ok_and(|status| status.success()),
        || std::fs::read_to_string(&log).unwrap_or_default(),
    );
    let output = submit("127.0.0.1,localhost");
    let words = text(&output.stdout) + &text(&output.stderr);
    assert!(output.status.success(), "{words}");
    assert!(
        words.contains("127.0.0.1: process ") && words.contains("localhost: process "),
        "{words}"
    );
    let told = || {
        let logs = std::fs::read_dir(run.join("submit")).unwrap().flatten();
        logs.map(|log| std::fs::read_to_string(log.path()).unwrap_or_default())
            .collect()
    };
    let reached = || {
        let logs: String = told();
        logs.matches("4 cells done").count() == 2
    };
    wait_for("two workers that are done", reached, told);
    assert!(results(&run) == expected);
    // A host that is not there is named.
    let output = submit("127.0.0.1,no-such-host.invalid");
    let words = text(&output.stderr);
    assert_eq!(output.status.code(), Some(74), "{words}");
    assert!(
        words.contains("no worker was started on no-such-host.invalid"),
        "{words}"
    );
}

#[test]
fn the_manifest_for_kubernetes_is_one_job_of_many_workers() {
    let folder = tempfile::tempdir().unwrap();
    let config = write_config(folder.path(), TINY);
    let args = [
        "submit",
        config.to_str().unwrap(),
        "--engine",
        "kubernetes",
        "--image",
        "farspan:1",
        "--claim",
        "runs",
    ];
    let more = [
        "--workers",
        "5",
        "--array-limit",
        "2",
        "--pod-gpus",
        "1",
        "--",
        "--lease",
        "3m",
    ];
    let output = farspan(&args)
        .args(more)
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(folder.path().join("runs/tiny/plan.json").exists());
    let manifest: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let spec = &manifest["spec"];
    assert_eq!(
        (manifest["kind"].as_str(), manifest["apiVersion"].as_str()),
        (Some("Job"), Some("batch/v1"))
    );
    assert_eq!(
        (spec["completions"].as_u64(), spec["parallelism"].as_u64()),
        (Some(5), Some(2))
    );
    assert_eq!(spec["completionMode"], "Indexed");
    let container = &spec["template"]["spec"]["containers"][0];
    let command: Vec<&str> = container["command"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|x| x.as_str())
        .collect();
    assert_eq!(
        command,
        [
            "farspan",
            "work",
            "/runs/tiny",
            "--patience",
            "10m",
            "--lease",
            "3m"
        ]
    );
    assert_eq!(container["resources"]["limits"]["nvidia.com/gpu"], 1);
    // Mistakes are told here and not by a hundred pods.
    for (more, words) in [
        (
            vec!["--partition", "x"],
            "--partition is for --engine slurm",
        ),
        (vec!["--", "--lease", "soon"], "behind --"),
        (vec!["--", "--jbos", "1"], "behind --"),
    ] {
        let output = farspan(&args)
            .args(&more)
            .current_dir(folder.path())
            .output()
            .unwrap();
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(words), "{said}");
    }
}
