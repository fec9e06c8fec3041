//! What the program says, word by word: `explain`, errors, help. Where words were changed on purpose, `cargo insta accept` (or
//! `INSTA_UPDATE=always` before the test command) takes the new ones.

use farspan_acceptance::checkpoints::Place;
use farspan_acceptance::printed;
use insta::assert_snapshot;
use std::fmt::Write;

#[test]
fn explanations() {
    for (name, args) in [
        ("rope", &["rope", "--head-dim", "16"][..]),
        ("yarn", &["yarn", "factor=4", "--length", "8192"]),
        ("alibi", &["alibi", "--heads", "4"]),
        ("fire", &["fire"]),
        ("self-extend", &["self-extend"]),
        ("cope", &["cope"]),
        ("nope", &["nope", "--layers", "2"]),
        ("custom", &["custom", "score=raw - 0.1 * log1p(q - k)"]),
    ] {
        assert_snapshot!(name, printed(&[&["explain"], args].concat()));
    }
}

#[test]
fn help() {
    assert_snapshot!("help", printed(&["--help"]));
    for verb in ["run", "rank", "explain"] {
        assert_snapshot!(format!("help-{verb}"), printed(&[verb, "--help"]));
    }
}

const CONFIG: &str = "\
name = \"small\"
task = \"copy\"

[model]
size = \"d1\"

[train]
length = 16
steps = 1

[schemes.rope.rope]
";

/// Every answer to a mistake: what happened, and what to do.
#[test]
fn mistakes() {
    let place = Place::make();
    let write = |name: &str, text: &str| std::fs::write(place.path(name), text).expect("a file");
    write("c.toml", CONFIG);
    write("open.toml", "name = \"small\nseeds = [0]\n");
    write(
        "typed.toml",
        &CONFIG.replace("steps = 1", "steps = \"many\""),
    );
    write("twice.toml", &format!("{CONFIG}[schemes.rope.alibi]\n"));
    write("unknown.toml", &CONFIG.replace("rope.rope", "rope.roep"));
    write("alone.toml", &CONFIG.replace("rope.rope", "yarn.yarn"));
    write("empty.txt", "");
    std::fs::create_dir(place.path("nothing")).expect("a folder");
    let mut all = String::new();
    for args in [
        &["run", "nosuch.toml"][..],
        &["run", "open.toml"],
        &["validate", "typed.toml"],
        &["validate", "twice.toml"],
        &["validate", "unknown.toml"],
        &["validate", "alone.toml"],
        &["validate", "c.toml", "train.stepz=5"],
        &["validate", "c.toml", "train.steps=0"],
        &["validate", "c.toml", "seeds=3"],
        &["validate", "c.toml", "--train.steps=5"],
        &["validate", "c.toml", "schemes.rope.rope.base=0"],
        &["plan", "c.toml", "-k", "nosuch"],
        &["plan", "c.toml", "-k", "rope and"],
        &["explain", "yran"],
        &["explain", "yarn", "factr=4"],
        &["explain", "yarn", "factor=0.5"],
        &["explain", "custom", "score=raw - slop * log1p(q - k"],
        &["report", "nothing"],
        &["report", "nosuch"],
        &["check", "nothing"],
        &["rank", "nosuch"],
        &["list", "everything"],
        &[
            "eval",
            "--model",
            "model",
            "--scheme",
            "rope",
            "--lengths",
            "32",
            "empty.txt",
        ],
        &[
            "eval",
            "--model",
            "model",
            "--scheme",
            "rope",
            "--lengths",
            "0",
            "text.txt",
        ],
        &["export", "nothing", "--format", "xml"],
    ] {
        let (code, text) = place.run(args);
        assert_ne!(code, 0, "{args:?}");
        // The folder has another name every time.
        let text = text.replace(&*place.folder().to_string_lossy(), "FOLDER");
        let _ = write!(all, "$ farspan {}\n{text}[{code}]\n\n", args.join(" "));
    }
    assert_snapshot!(all);
}
