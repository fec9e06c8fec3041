//! The command line on a machine with a card.

use farspan_acceptance::fake_cuda::{folder, skipped, with_card};
use farspan_acceptance::{farspan, run, text, write_config};
use std::fs;
use std::path::Path;

/// A run that ends in seconds on a card that is none.
const CONFIG: &str = r#"
name = "tiny"
device = "cuda"
seeds = [0]
[schemes.rope.rope]
[schemes.alibi.alibi]
[studies.retrieval]
task = "passkey"
model = { layers = 1, width = 16, heads = 2 }
train = { length = 16, batch = 4, steps = 6, warmup = 2, validate_every = 3 }
evaluate.task = { lengths = [16, 32], grid = { depth = 2 }, prompts = 2 }
"#;

fn printed(folder: &Path, arguments: &[&str]) -> String {
    let output = with_card(folder, farspan(arguments))
        .output()
        .expect("the program starts");
    assert!(
        output.status.success(),
        "{arguments:?}: {}",
        text(&output.stderr)
    );
    text(&output.stdout)
}

#[test]
fn cuda_serves_every_command() {
    let folder = match folder() {
        Ok(folder) => folder,
        Err(why) => return skipped(&why),
    };
    let card = "a fake card (sm_80, driver of CUDA 12.8, NVRTC 12.8, cuBLAS 12.8.8)";
    let doctor = printed(folder, &["doctor"]);
    assert!(doctor.contains(&format!("cuda:0: {card}")), "{doctor}");
    // `auto` takes a card where there is one.
    assert!(doctor.contains("auto → cuda:0"), "{doctor}");
    let place = tempfile::tempdir().expect("a folder");
    let config = write_config(place.path(), CONFIG);
    let out = place.path().join("run");
    let [config, out] = [&config, &out].map(|x| x.to_str().expect("a path of letters"));
    printed(folder, &["run", config, "--out", out]);
    let mut cells = 0;
    for cell in fs::read_dir(Path::new(out).join("cells")).expect("cells") {
        let cell = cell.expect("readable").path();
        let cost = fs::read_to_string(cell.join("cost.json")).expect("costs");
        assert!(cost.contains(card), "{cost}");
        let result = fs::read_to_string(cell.join("result.json")).expect("a result");
        assert!(result.contains("\"fused\""), "{result}");
        cells += 1;
    }
    assert_eq!(cells, 2);
    let explained = printed(
        folder,
        &["explain", "alibi", "--device=cuda", "--length=33"],
    );
    assert!(explained.contains("accepted by the driver"), "{explained}");
    let bench = [
        "bench",
        "attention",
        "-s",
        "rope",
        "--device=cuda",
        "--length=32",
        "--heads=2",
        "--repeats=1",
        "--no-memory",
    ];
    assert!(printed(folder, &bench).contains(card));
    let metal = run(&["explain", "alibi", "--device=metal"]);
    let words = text(&metal.stderr);
    assert!(
        !metal.status.success() && words.contains("expected wgpu"),
        "{words}"
    );
}
