//! What a checkpoint can do, a finished cell of a run can do: it is read, goes on with a text, is measured, trained further
//! and saved.

use farspan::checkpoint;
use farspan::model::Decoder;
use farspan_acceptance::checkpoints::losses;
use farspan_acceptance::{farspan, text};
use farspan_attention::Device;
use farspan_datasets::{DataConfig, TextData};
use farspan_pe::Registry;
use farspan_reports::record::CellRecord;
use farspan_reports::store::RunDir;
use std::path::{Path, PathBuf};
use std::process::Output;
use tempfile::TempDir;

const CONFIG: &str = r#"
name = "small"
seeds = [0]
data = { files = "text.txt", tokenizer = { bpe = 300 } }
model = { layers = 2, width = 16, heads = 2, kv_heads = 1 }
train = { length = 32, batch = 4, steps = 12, warmup = 2 }
evaluate.perplexity = { lengths = [32, 64], segments = 3, target = 16 }
[schemes.rope.rope]
[schemes.kerple.kerple]
[schemes.bipe.bipe-rope]
[schemes.yarn.yarn]
base = "rope"
factor = 2
finetune = { steps = 4, times = 2 }
[schemes.adapted.pi]
base = "rope"
factor = 2
finetune = { steps = 4, times = 2, lora = { rank = 2 }, checkpointing = true }
"#;

struct Scene {
    folder: TempDir,
}

impl Scene {
    /// A folder with a run of the config, and the text that it read.
    fn make() -> Scene {
        Scene::of(CONFIG)
    }

    fn of(config: &str) -> Scene {
        let folder = TempDir::new().unwrap();
        let line = |i: usize| format!("the {} of {} was {}. ", i % 7, i * i % 11, i % 13);
        let words: String = (0..3000).map(line).collect();
        std::fs::write(folder.path().join("text.txt"), words).unwrap();
        std::fs::write(folder.path().join("small.toml"), config).unwrap();
        let scene = Scene { folder };
        scene.done(&["run", "small.toml", "--out", "runs/small"]);
        scene
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn output(&self, args: &[&str]) -> Output {
        farspan(args)
            .current_dir(self.folder.path())
            .env("FARSPAN_CACHE", self.path("cache"))
            .output()
            .unwrap()
    }

    fn done(&self, args: &[&str]) -> String {
        let output = self.output(args);
        let told = text(&output.stderr);
        assert!(output.status.success(), "{args:?}: {told}");
        text(&output.stdout)
    }

    fn refused(&self, args: &[&str]) -> (i32, String) {
        let output = self.output(args);
        (output.status.code().unwrap(), text(&output.stderr))
    }

    fn records(&self) -> Vec<(String, CellRecord)> {
        let dir = RunDir::open(&self.path("runs/small")).unwrap();
        let plan = dir.plan().unwrap();
        let of = |cell: &farspan_reports::record::PlannedCell| {
            (
                cell.label.clone(),
                dir.result_of(cell).unwrap().expect("a result"),
            )
        };
        plan.cells.iter().map(of).collect()
    }

    /// The folder of a cell in Farspan's own form.
    fn saved(&self, label: &str) -> PathBuf {
        let out = self.path(&label.replace(['/', '+'], "-"));
        let model = format!("runs/small:{label}");
        let out_text = out.to_str().unwrap();
        self.done(&[
            "save", "--model", &model, "--format", "farspan", "--out", out_text,
        ]);
        out
    }

    /// Opens every cell and holds its losses against those of its record; how many cells there are.
    fn check_losses(&self) -> usize {
        let data: DataConfig =
            serde_json::from_str(r#"{"files": "text.txt", "tokenizer": {"bpe": 300}}"#).unwrap();
        let data = TextData::open(&data, self.folder.path(), &self.path("cache")).unwrap();
        let segments = data.test_segments(65, Some(3)).unwrap();
        let records = self.records();
        for (label, record) in &records {
            let dir = self.saved(label);
            let mut model = open(&dir);
            if model.reads_texts().unwrap() {
                let tokenizer = checkpoint::text::Tokenizer::open(&dir).unwrap();
                let texts = tokenizer.texts(model.architecture.vocab).unwrap();
                model = model.with_texts(texts.into());
            }
            let all = record.measured("perplexity", "", "non-overlap");
            let point = all.and_then(|m| m.at(64).next()).expect("a length");
            for (segment, expected) in segments.iter().zip(&point.value) {
                let found: f64 = losses(&model, &segment.tokens).iter().sum();
                // Two orders of summation.
                assert!(
                    (found - expected).abs() < 1e-4 * expected,
                    "{label}: {found}, {expected}"
                );
            }
        }
        records.len()
    }
}

fn open(dir: &Path) -> Decoder {
    checkpoint::open(dir, &Registry::builtin(), None, &Device::cpu()).unwrap()
}

/// Every stage of every scheme: the weights under the scheme give the losses that the run has written down.
#[test]
fn cells_that_are_opened_again_have_the_losses_of_their_records() {
    assert_eq!(Scene::make().check_losses(), 7);
}

/// Where nothing is trained, what a scheme drew for itself belongs to the cell all the same.
#[test]
fn an_extension_that_learns_is_opened_as_it_was_drawn() {
    let clex = "[schemes.clex.clex]\nbase = \"rope\"\nmax_factor = 4\n";
    let head = CONFIG.split("[schemes.kerple").next().unwrap();
    assert_eq!(Scene::of(&format!("{head}{clex}")).check_losses(), 2);
}

#[test]
fn a_cell_is_named_by_its_label_or_told_what_there_is() {
    let scene = Scene::make();
    let model = |cell: &str| format!("runs/small:{cell}");
    let told = scene.done(&[
        "generate",
        "--model",
        &model("language/rope/s0"),
        "--prompt",
        "the 3 of",
        "--tokens",
        "8",
    ]);
    assert!(told.starts_with("the 3 of"), "{told}");
    let told = scene.done(&["check", &model("language/kerple/s0")]);
    assert!(told.contains("kerple"), "{told}");
    let (code, told) = scene.refused(&["check", &model("language/rop/s0")]);
    assert_eq!(code, 2, "{told}");
    assert!(
        told.contains("did you mean `language/rope/s0`") && told.contains("7 cells"),
        "{told}"
    );
}

#[test]
fn what_the_library_knows_is_saved_as_a_llama_and_nothing_else_is() {
    let scene = Scene::make();
    let logits = |model: &str, out: &str| {
        std::fs::write(scene.path("ids"), "1 5 9 200 33 41 7 8 250 3").unwrap();
        scene.done(&["logits", "--model", model, "--ids", "ids", "--out", out]);
        let bytes = std::fs::read(scene.path(out)).unwrap();
        // One tensor behind the header.
        let header = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        let numbers = bytes[8 + header..].chunks_exact(4);
        numbers
            .map(|b| f32::from_le_bytes(b.try_into().unwrap()))
            .collect::<Vec<f32>>()
    };
    for cell in [
        "rope/s0",
        "yarn/s0",
        "yarn+finetuned/s0",
        "adapted+finetuned/s0",
    ] {
        let model = format!("runs/small:language/{cell}");
        let out = cell.replace(['/', '+'], "-");
        scene.done(&["save", "--model", &model, "--out", &out]);
        let config = std::fs::read_to_string(scene.path(&out).join("config.json")).unwrap();
        assert!(config.contains("LlamaForCausalLM"), "{config}");
        assert!(scene.path(&out).join("tokenizer.json").exists());
        let (ours, theirs) = (logits(&model, "a"), logits(&out, "b"));
        for (x, y) in ours.iter().zip(&theirs) {
            assert!((x - y).abs() < 1e-5, "{cell}: {x}, {y}");
        }
        let (code, told) = scene.refused(&["save", "--model", &model, "--out", &out]);
        assert_eq!(code, 2, "{told}");
        assert!(told.contains("expected a new folder"), "{told}");
    }
    let model = "runs/small:language/kerple/s0";
    let (code, told) = scene.refused(&["save", "--model", model, "--out", "no"]);
    assert_eq!(code, 2, "{told}");
    assert!(told.contains("scheme kerple has no form"), "{told}");
    assert!(!scene.path("no").exists());
}

#[test]
fn eval_and_finetune_leave_run_folders_that_every_reader_opens() {
    let scene = Scene::make();
    let model = "runs/small:language/rope/s0";
    let eval = [
        "eval",
        "--model",
        model,
        "--lengths",
        "32,64",
        "--segments",
        "4",
        "text.txt",
        "--out",
    ];
    let own = scene.done(&[&eval[..], &["runs/own", "--json"]].concat());
    let own: serde_json::Value = serde_json::from_str(&own).unwrap();
    let other = ["runs/yarn", "--scheme", "own", "--scheme", "yarn,factor=2"];
    scene.done(&[&eval[..], &other].concat());
    for reader in [
        &["report", "runs/own", "runs/yarn", "--out", "page"][..],
        &["compare", "runs/own", "runs/yarn"],
        &["export", "runs/own", "--format", "csv"],
        &["status", "runs/own"],
    ] {
        scene.done(reader);
    }
    // The same work again is there already.
    let again = scene.done(&[&eval[..], &["runs/own", "--json"]].concat());
    let again: serde_json::Value = serde_json::from_str(&again).unwrap();
    assert_eq!(own, again);
    scene.done(&[
        "finetune",
        "--model",
        model,
        "--scheme",
        "pi,factor=2",
        "--length",
        "64",
        "--steps",
        "3",
        "--lengths",
        "32,64",
        "--segments",
        "2",
        "--lora",
        "2",
        "--out",
        "longer",
        "text.txt",
    ]);
    let longer = open(&scene.path("longer"));
    assert_eq!(longer.scheme.id(), "pi");
    assert!(scene.path("longer.run/report/report.html").exists());
}
