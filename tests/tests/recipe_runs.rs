//! Runs that follow recipes: killed at any moment they end with the same bytes, and their records say what was done.

use farspan_acceptance::{farspan, results, text};
use farspan_reports::record::CellRecord;
use farspan_reports::store::RunDir;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tempfile::TempDir;

const CONFIG: &str = r#"
name = "small"
seeds = [0]
data = { files = "texts/*.txt", tokenizer = "byte", pack = true, documents = "restart", max_overlap = 1 }
model = { layers = 1, width = 16, heads = 2 }
train = { batch = 4, steps = 30, warmup = 2, lengths = [{ length = 16, share = 0.5 }, { length = 32, share = 0.5 }], mask_inputs = { share = 0.15, token = "added" } }
evaluate.perplexity = { lengths = [32], segments = 3, target = 16 }
[schemes.rope.rope]
[schemes.learned.learned]
[schemes.seqpe.seqpe]
contrastive = 0.1
transfer = 0.1
positions = 200
blocks = 1
digits = 3
[schemes.yarn.yarn]
extends = "rope"
factor = 2
[schemes.yarn.yarn.finetune]
stages = [{ steps = 15, settings = { factor = 1.5 } }, { steps = 15, times = 2, lengths = [{ length = 16, share = 0.3 }, { length = 64, share = 0.7 }] }]
[schemes.kept.pi]
extends = "rope"
factor = 2
finetune = { steps = 20, times = 2, keep_short = 0.5, mask_inputs = { share = 0, token = "added" } }
[schemes.distilled.rope]
extends = "learned"
finetune = { steps = 20, teacher = { weight = 0.9, temperature = 2 } }
[schemes.tape.tape]
extends = "rope"
position_size = 4
finetune = { steps = 10 }
"#;

fn scene() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("texts")).unwrap();
    for document in 0..60 {
        let line = |i: usize| {
            format!(
                "the {} of {} was {}. ",
                (i + document) % 7,
                i * i % 11,
                i % 13
            )
        };
        let words: String = (0..2 + document % 5).map(line).collect();
        std::fs::write(folder.path().join(format!("texts/{document}.txt")), words).unwrap();
    }
    std::fs::write(folder.path().join("small.toml"), CONFIG).unwrap();
    folder
}

/// Runs to the end, or is sent a signal after some milliseconds; its exit code, if it had one.
fn run(folder: &Path, out: &str, stopped: Option<(u64, &str)>) -> Option<i32> {
    let mut command = farspan(&["run", "small.toml", "--out", out, "--jobs", "1"]);
    let command = command
        .current_dir(folder)
        .env("FARSPAN_CACHE", folder.join("cache"));
    let Some((after, signal)) = stopped else {
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        return output.status.code();
    };
    let mut child = command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_millis(after));
    let send = |pid: &str| {
        // One that has left already is as good.
        let _ = std::process::Command::new("kill")
            .args([signal, pid])
            .status();
    };
    let own = child.id().to_string();
    if signal == "-INT" {
        send(&own);
        return child.wait().unwrap().code();
    }
    // Its cell notices that its worker is gone, saves and leaves: half of all kills meet the cell itself.
    let pids = std::process::Command::new("pgrep")
        .args(["-P", &own])
        .output()
        .unwrap();
    text(&pids.stdout).lines().chain([&*own]).for_each(send);
    child.wait().unwrap().code()
}

fn record(dir: &RunDir, label: &str) -> CellRecord {
    let plan = dir.plan().unwrap();
    let cell = plan
        .cells
        .iter()
        .find(|cell| cell.label == label)
        .unwrap_or_else(|| panic!("{label}"));
    dir.result_of(cell).unwrap().unwrap()
}

#[test]
fn recipes_end_with_the_same_bytes_however_often_they_are_killed_and_say_what_was_done() {
    let folder = scene();
    run(folder.path(), "whole", None);
    let expected = results(&folder.path().join("whole"));
    for after in [700, 1200, 1900, 900, 1500, 2500] {
        if run(folder.path(), "killed", Some((after, "-9"))).is_some() {
            break;
        }
    }
    run(folder.path(), "killed", None);
    assert!(results(&folder.path().join("killed")) == expected);
    // Ctrl-C saves, says so in the exit code, and goes on likewise.
    for after in [800, 1700, 1200] {
        let code = run(folder.path(), "stopped", Some((after, "-INT")));
        // None: it had not begun to listen.
        assert!(
            matches!(code, None | Some(130 | 0)),
            "{code:?} after {after} ms"
        );
    }
    run(folder.path(), "stopped", None);
    assert!(results(&folder.path().join("stopped")) == expected);

    let dir = RunDir::open(&folder.path().join("whole")).unwrap();
    let recipe = |label: &str| record(&dir, label).train.recipe.join("\n");
    let mixed = "lengths of windows by share of tokens: 16 tokens (0.5), 32 tokens (0.5)";
    let masked = "0.15 of the inputs masked by token 257, added to the vocabulary";
    assert_eq!(recipe("language/rope/s0"), format!("{mixed}\n{masked}"));
    assert_eq!(record(&dir, "language/rope/s0").model.vocab, 258);
    assert!(
        record(&dir, "language/rope/s0")
            .data
            .description
            .ends_with("documents hide each other and restart positions")
    );
    assert!(
        recipe("language/seqpe/s0")
            .contains("0.1 · contrastive loss of positions + 0.1 · transfer")
    );
    assert_eq!(recipe("language/yarn/s0"), "");
    assert_eq!(
        recipe("language/yarn+finetuned/s0"),
        format!(
            "stage 1: 15 steps of 4 windows of 32 tokens, peak rate 0.0005; factor = 1.5; {masked}\n\
             stage 2: 15 steps of 2 windows of 64 tokens, peak rate 0.0005; lengths of windows by share of tokens: \
             16 tokens (0.3), 64 tokens (0.7); {masked}"
        )
    );
    let tuned = record(&dir, "language/yarn+finetuned/s0");
    assert_eq!(
        (tuned.train.steps, tuned.train.tokens, tuned.train.length),
        (30, 30 * 128, 64)
    );
    assert_eq!(tuned.scheme.settings["factor"], 2.0);
    assert_eq!(
        recipe("language/kept+finetuned/s0"),
        "loss: 1 cross-entropy + 0.5 KL to the weights that it began with under rope on the first 32 tokens of each window, \
         temperature 1"
    );
    let distilled = recipe("language/distilled+finetuned/s0");
    assert!(
        distilled
            .ends_with("+ 0.9 KL to the weights that it began with under learned, temperature 2"),
        "{distilled}"
    );

    // TAPE begins as the rotary model that it goes on from.
    let nll = |label: &str| {
        let record = record(&dir, label);
        let measure = record
            .measures
            .iter()
            .find(|m| m.measure == "perplexity")
            .unwrap();
        measure.points[0].value.iter().sum::<f64>()
    };
    let (rope, tape) = (nll("language/rope/s0"), nll("language/tape/s0"));
    assert!((rope - tape).abs() < 1e-5 * rope, "{rope} {tape}");
    assert!((nll("language/tape+finetuned/s0") - tape).abs() > 1e-4 * rope);
    // Of the learned table nothing is left in the model that was taught by it.
    assert_eq!(
        record(&dir, "language/distilled+finetuned/s0")
            .model
            .scheme_parameters,
        0
    );
}

#[test]
fn a_teacher_is_a_part_of_the_forecast() {
    let folder = scene();
    let bytes = |more: &[&str]| {
        let args = [&["plan", "small.toml", "--json"], more].concat();
        let mut command = farspan(&args);
        let command = command
            .current_dir(folder.path())
            .env("FARSPAN_CACHE", folder.path().join("cache"));
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        let plan: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let mut cells = plan["cells"].as_array().unwrap().iter();
        let cell = cells.find(|cell| cell["label"] == "language/distilled+finetuned/s0");
        cell.unwrap()["memory_bytes"].as_f64().unwrap()
    };
    let without = bytes(&["~schemes.distilled.rope.finetune.teacher"]);
    // Logits of 128 tokens over 258 entries, its own and what is made of both sides'.
    let told = f64::from(128 * 258 * 4);
    let more = bytes(&[]) - without;
    assert!((3.0 * told..30.0 * told).contains(&more), "{more}, {told}");
}
