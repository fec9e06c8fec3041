//! Runs whose models are checkpoints: read under several schemes, trained further, asked in words.

use farspan_acceptance::checkpoints::{Place, losses, open};
use farspan_datasets::{DataConfig, TextData, TokenizerConfig};
use farspan_reports::record::{CellRecord, Stage};
use farspan_reports::store::RunDir;
use serde_json::json;

const CONFIG: &str = r#"
name = "extend"
[model]
checkpoint = "model"
[data]
files = ["text.txt"]
test = 0.3
[train]
batch = 4
[schemes.rope.rope]
[schemes.pi.pi]
extends = "rope"
factor = 4
finetune = { steps = 12, length = 128, lr = 3e-3, accumulate = 2 }
[schemes.pose.pi]
extends = "rope"
factor = 4
finetune = { steps = 60, length = 32, lr = 1e-2, lora = { rank = 4 }, positions = { skip = { target = 128 } } }
[schemes.dca.dca]
extends = "rope"
[evaluate.perplexity]
lengths = [32, 64, 128]
segments = 2
[evaluate.words]
tasks = ["passkey"]
lengths = [512]
prompts = 2
grid = { depth = 2 }
"#;

#[test]
fn a_grid_of_schemes_and_recipes_shares_the_weights_of_the_checkpoint() {
    let place = Place::make();
    std::fs::write(place.path("extend.toml"), CONFIG).expect("a file");
    let (code, text) = place.run(&["run", "extend.toml", "--out", "out"]);
    assert_eq!(code, 0, "{text}");
    let records = place.records("out");
    let of = |name: &str, stage: Stage| {
        let mut found = records
            .iter()
            .filter(|r| r.scheme.name == name && r.scheme.stage == stage);
        found
            .next()
            .unwrap_or_else(|| panic!("no {name} {stage:?}"))
    };
    assert_eq!(records.len(), 6);
    let base = of("rope", Stage::Trained);
    // What belongs to the weights comes from the checkpoint: its base is 1000, not the default.
    for record in &records {
        assert_eq!(
            record.scheme.settings["base"],
            json!(1000.0),
            "{}",
            record.scheme.name
        );
        assert_eq!(record.trained_length, 32);
        let asked = record.measured("words", "passkey", "").expect("answers");
        assert!(
            asked
                .points
                .iter()
                .all(|p| p.length == 512 && p.value.len() == 2)
        );
        assert_eq!(asked.points.len(), 2);
        assert!(record.refused.is_empty());
    }
    assert_eq!(base.train.tokens, 0);
    for name in ["pi", "pose"] {
        let tuned = of(name, Stage::FineTuned);
        let curve = &tuned.train.curve;
        assert!(
            curve[curve.len() - 1].1 < 0.7 * curve[0].1,
            "{name}: {curve:?}"
        );
        let sum = |r: &CellRecord| {
            let all = r.measures.iter().filter(|m| m.measure == "perplexity");
            all.flat_map(|m| &m.points)
                .flat_map(|p| &p.value)
                .sum::<f64>()
        };
        assert!(sum(tuned) < sum(of(name, Stage::ZeroShot)), "{name}");
    }
    assert_eq!(of("pi", Stage::FineTuned).train.tokens, 12 * 128 * 2);
    assert_eq!(
        of("pi", Stage::FineTuned).model.parameters,
        base.model.parameters
    );
    assert!(of("pose", Stage::FineTuned).model.parameters > base.model.parameters);
    base_is_what_eval_measures(&place, base);
    // The same again is nothing to do; the weights are part of what a cell is.
    let before = RunDir::open(&place.path("out"))
        .expect("a run")
        .plan()
        .expect("a plan");
    let weights = place.path("model/model.safetensors");
    let mut bytes = std::fs::read(&weights).expect("weights");
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(&weights, bytes).expect("weights");
    let (code, text) = place.run(&["run", "extend.toml", "--out", "other", "--limit", "1"]);
    assert_eq!(code, 0, "{text}");
    let after = RunDir::open(&place.path("other"))
        .expect("a run")
        .plan()
        .expect("a plan");
    assert!(
        before
            .cells
            .iter()
            .zip(&after.cells)
            .all(|(a, b)| a.id != b.id && a.label == b.label)
    );
}

#[test]
fn several_checkpoints_are_a_sweep() {
    let place = Place::make();
    let other = place.path("other");
    std::fs::create_dir(&other).expect("a folder");
    for file in ["config.json", "tokenizer.json", "model.safetensors"] {
        std::fs::copy(place.path("model").join(file), other.join(file)).expect("a copy");
    }
    // Twice the base: other numbers from the same weights.
    let config = std::fs::read_to_string(other.join("config.json")).expect("a config");
    let config = config.replace("\"rope_theta\": 1000.0", "\"rope_theta\": 2000.0");
    std::fs::write(other.join("config.json"), config).expect("a config");
    let text = r#"
name = "two"
[model]
checkpoint = "model"
[data]
files = ["text.txt"]
test = 0.3
[train]
batch = 4
[schemes.rope.rope]
[schemes.pi.pi]
extends = "rope"
factor = 2
finetune = { steps = 2, length = 64, checkpointing = true }
[evaluate.perplexity]
lengths = [32, 64]
segments = 2
[sweep.product]
model.checkpoint = ["model", "other"]
"#;
    std::fs::write(place.path("two.toml"), text).expect("a file");
    let (code, text) = place.run(&["run", "two.toml", "--out", "two"]);
    assert_eq!(code, 0, "{text}");
    let records = place.records("two");
    assert_eq!(records.len(), 6);
    let bases: Vec<f64> = records
        .iter()
        .map(|r| r.scheme.settings["base"].as_f64().expect("a base"))
        .collect();
    assert_eq!(bases, [1000.0, 1000.0, 1000.0, 2000.0, 2000.0, 2000.0]);
    let losses: Vec<f64> = records
        .iter()
        .map(|r| r.measures[0].points[0].value[0])
        .collect();
    for (a, b) in losses[..3].iter().zip(&losses[3..]) {
        assert_ne!(a, b);
    }
    let report = place.path("two/report/report.html");
    let report = std::fs::read_to_string(report).expect("a report");
    for name in ["model.checkpoint=model", "model.checkpoint=other"] {
        assert!(report.contains(name), "{name} is not in the report");
    }
}

/// The perplexity of a cell, against that of `eval` on the same tokens.
fn base_is_what_eval_measures(place: &Place, base: &CellRecord) {
    let data = DataConfig {
        files: Some(vec!["text.txt".into()]),
        tokenizer: TokenizerConfig::File("model/tokenizer.json".into()),
        test: 0.3,
        ..DataConfig::default()
    };
    let data = TextData::open(&data, place.folder(), place.folder()).expect("data");
    let model = open(&place.path("model"), None);
    let record = base.measured("perplexity", "", "non-overlap");
    let point = record.expect("a record").at(64).next().expect("a point");
    for (segment, found) in data
        .test_segments(129, Some(2))
        .expect("segments")
        .iter()
        .zip(&point.value)
    {
        let windows = [&segment.tokens[..65], &segment.tokens[64..]];
        let expected = windows
            .iter()
            .flat_map(|ids| losses(&model, ids))
            .sum::<f64>();
        assert!((expected - found).abs() < 1e-3, "{found}, {expected}");
    }
}

#[test]
fn what_a_config_says_of_a_checkpoint_is_checked() {
    let place = Place::make();
    let cases = [
        (
            "model.checkpoint = \"nowhere/at-all/ever\"",
            "expected a checkpoint folder",
        ),
        ("model.size=d2", "a checkpoint gives all sizes"),
        ("train.steps=5", "0, as the checkpoint is trained"),
        (
            "train.length=64",
            "32 tokens, the checkpoint's trained length",
        ),
        ("schemes.pose.pi.finetune.lora.rank=0", "1 to 4096"),
        (
            "schemes.pose.pi.finetune.accumulate=0",
            "1 to 65536 batches",
        ),
    ];
    std::fs::write(place.path("extend.toml"), CONFIG).expect("a file");
    for (argument, expected) in cases {
        let argument = argument.replace(" = ", "=");
        let (code, text) = place.run(&["validate", "extend.toml", &argument]);
        assert_ne!(code, 0, "{argument}");
        assert!(text.contains(expected), "{argument}: {text}");
    }
}

/// A tokenizer may know more tokens than the model, as long as none of them occurs.
#[test]
fn ids_beyond_the_vocabulary_matter_where_they_occur() {
    let place = Place::make();
    let path = place.path("model/tokenizer.json");
    let mut tokenizer: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&path).expect("a tokenizer")).expect("JSON");
    tokenizer["model"]["vocab"]["ä"] = json!(70);
    std::fs::write(&path, tokenizer.to_string()).expect("a file");
    let config = r#"
name = "more"
model = { checkpoint = "model" }
data = { files = ["text.txt"], test = 0.3 }
evaluate.perplexity = { lengths = [32], segments = 2 }
[schemes.rope.rope]
"#;
    std::fs::write(place.path("more.toml"), config).expect("a file");
    let (code, text) = place.run(&["run", "more.toml", "--out", "fits"]);
    assert_eq!(code, 0, "{text}");
    let words = std::fs::read_to_string(place.path("text.txt")).expect("words");
    std::fs::write(place.path("text.txt"), format!("{words} ä")).expect("a file");
    let (code, text) = place.run(&["run", "more.toml", "--out", "does-not"]);
    assert_eq!(code, 65, "{text}");
    for words in ["test part", "\"ä\"", "id 70", "tokenizer.json", "below 64"] {
        assert!(text.contains(words), "{words}: {text}");
    }
}
