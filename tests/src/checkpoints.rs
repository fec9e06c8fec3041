//! Random models of every family, committed beside the tests (`golden/checkpoints`), and what runs need beside them.

use crate::farspan;
use farspan::checkpoint::files::Files;
use farspan::model::Decoder;
use farspan::scheme::Positional;
use farspan_attention::Device;
use farspan_datasets::{Batch, rng::Stream};
use farspan_pe::Registry;
use farspan_reports::record::CellRecord;
use farspan_reports::store::RunDir;
use serde_json::json;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// The folder of a committed model.
pub fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("golden/checkpoints")
        .join(name)
}

/// The weights of a folder.
pub fn files(dir: &Path) -> Files {
    Files::open(dir).expect("weights")
}

/// A model under `scheme`, or under its own.
pub fn open(dir: &Path, scheme: Option<&str>) -> Decoder {
    let asked: Option<Positional> = scheme.map(|text| text.parse().expect("a scheme"));
    farspan::checkpoint::open(dir, &Registry::builtin(), asked.as_ref(), &Device::cpu())
        .expect("a model")
}

/// Loss in nats of every token of a text behind the first, given all before it; read in pieces.
pub fn losses(model: &Decoder, ids: &[u32]) -> Vec<f64> {
    let mut losses = Vec::new();
    let fed = &ids[..ids.len() - 1];
    let run = model.run(fed, 50, |first, hidden| {
        let targets = &ids[first + 1..first + 1 + hidden.dim(0)?];
        let scores = model.row_scores(hidden, targets)?;
        losses.extend(scores.iter().map(|s| f64::from(s.nll)));
        Ok(())
    });
    run.expect("a run");
    losses
}

/// `rows` texts of `len` random ids below `vocab`, with targets that are random too.
pub fn random_batch(seed: u64, rows: usize, len: usize, vocab: u64) -> Batch {
    let mut stream = Stream::new(seed, "batch");
    let mut ids = || {
        let ids = (0..rows * len).map(|_| stream.below(vocab) as u32);
        ids.collect()
    };
    Batch {
        tokens: ids(),
        targets: ids(),
        weights: vec![1.0; rows * len],
        positions: None,
        documents: None,
        rows,
        len,
    }
}

/// Ids of the golden checkpoints: as many characters, the first for all others.
pub const LETTERS: &str = "?abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 ";

/// A folder with a checkpoint of 64 ids and 32 trained tokens, its tokenizer, and a text.
#[derive(Debug)]
pub struct Place {
    folder: TempDir,
}

impl Place {
    pub fn make() -> Place {
        let folder = TempDir::new().expect("a folder");
        let from = golden("llama-default");
        let model = folder.path().join("model");
        std::fs::create_dir(&model).expect("a folder");
        for file in ["config.json", "model.safetensors"] {
            std::fs::copy(from.join(file), model.join(file)).expect("a copy");
        }
        let vocab: serde_json::Map<_, _> = LETTERS
            .chars()
            .enumerate()
            .map(|(id, c)| (c.to_string(), json!(id)))
            .collect();
        let tokenizer = json!({
            "version": "1.0", "added_tokens": [],
            "pre_tokenizer": {
                "type": "Split", "pattern": { "Regex": "." }, "behavior": "Isolated", "invert": false,
            },
            "decoder": { "type": "Fuse" },
            "model": { "type": "WordLevel", "vocab": vocab, "unk_token": "?" },
        });
        std::fs::write(model.join("tokenizer.json"), tokenizer.to_string()).expect("a file");
        let mut stream = Stream::new(1, "words");
        let words: Vec<String> = (0..4000)
            .map(|_| {
                ["red", "blue", "fish", "bird", "sings", "swims"][stream.below(6) as usize]
                    .to_string()
            })
            .collect();
        std::fs::write(folder.path().join("text.txt"), words.join(" ")).expect("a file");
        Place { folder }
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Code and messages of a run.
    pub fn run(&self, args: &[&str]) -> (i32, String) {
        let output = farspan(args)
            .current_dir(self.folder.path())
            .output()
            .expect("a run");
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code().expect("a code"), text)
    }

    /// What a run that succeeds prints.
    pub fn printed(&self, args: &[&str]) -> String {
        let run = farspan(args).current_dir(self.folder.path()).output();
        let run = run.expect("a run");
        let failed = String::from_utf8_lossy(&run.stderr).into_owned();
        assert!(run.status.success(), "{args:?}: {failed}");
        String::from_utf8(run.stdout).expect("text")
    }

    pub fn records(&self, run: &str) -> Vec<CellRecord> {
        let dir = RunDir::open(&self.path(run)).expect("a run");
        let cells = dir.plan().expect("a plan").cells;
        let record = |id: &str| dir.result(id).expect("a result").expect("a result");
        cells.iter().map(|cell| record(&cell.id)).collect()
    }
}
