//! `farspan submit` on a real Slurm and over a real ssh, both on this machine: what they need is installed by test.sh where
//! there is apt. Without it these tests say so and why.
#![cfg(target_os = "linux")]

#[path = "cluster/slurm.rs"]
mod slurm;

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
