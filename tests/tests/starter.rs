//! `farspan new`: the crate that it writes is built offline, and its scheme is there.

use farspan_acceptance::{program, run, text};
use std::path::Path;
use std::process::Command;

#[test]
fn a_new_crate_builds_and_has_its_scheme() {
    let folder = tempfile::tempdir().unwrap();
    let mine = folder.path().join("my-encoding");
    let path = mine.to_str().unwrap();
    let made = run(&["new", path]);
    assert!(made.status.success(), "{}", text(&made.stderr));
    assert_eq!(text(&made.stdout).trim(), path);
    assert!(
        text(&made.stderr).contains("cargo run --release"),
        "{}",
        text(&made.stderr)
    );
    let again = run(&["new", path]);
    assert_eq!(again.status.code(), Some(2));
    assert!(
        text(&again.stderr).contains("is there already"),
        "{}",
        text(&again.stderr)
    );

    // Dependencies are those of this build, in its own folder; our crates are built anew, without optimisation, as it is
    // their number that takes time.
    let target = program()
        .parent()
        .and_then(Path::parent)
        .unwrap()
        .to_path_buf();
    let mut build = Command::new(env!("CARGO"));
    build
        .args(["build", "--release", "--offline"])
        .current_dir(&mine)
        .env("CARGO_TARGET_DIR", &target);
    for ours in [
        "farspan",
        "farspan-attention",
        "farspan-datasets",
        "farspan-pe",
        "farspan-reports",
    ] {
        let level = format!("profile.release.package.{ours}.opt-level=0");
        build.args(["--config", &level]);
    }
    build.args([
        "--config",
        "profile.release.package.my-encoding.opt-level=0",
    ]);
    let built = build.output().unwrap();
    assert!(built.status.success(), "{}", text(&built.stderr));
    // Nothing that the program itself depends on was built again.
    let compiled = text(&built.stderr);
    let others = compiled.lines().filter(|line| line.contains("Compiling"));
    let others: Vec<&str> = others
        .filter(|line| !line.contains("farspan") && !line.contains("my-encoding"))
        .collect();
    assert!(others.is_empty(), "{others:?}");

    let built = program().with_file_name(format!("my-encoding{}", std::env::consts::EXE_SUFFIX));
    let ask = |args: &[&str]| {
        let output = Command::new(&built)
            .args(args)
            .current_dir(&mine)
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{args:?}: {}",
            text(&output.stderr)
        );
        text(&output.stdout)
    };
    assert!(ask(&["explain", "mine"]).contains("slope"));
    let plan: serde_json::Value =
        serde_json::from_str(&ask(&["plan", "config.toml", "--json"])).unwrap();
    assert_eq!(
        plan["cells"].as_array().unwrap().len(),
        6,
        "three schemes, two seeds"
    );
    std::fs::remove_file(built).unwrap();
}
