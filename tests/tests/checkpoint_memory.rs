//! Less memory for the same result: activations that are computed twice, and weights saved in half precision and shards.

use farspan::checkpoint::files::Files;
use farspan::checkpoint::header::Type;
use farspan::checkpoint::save::{Form, save_pretrained};
use farspan::config::types::LoraConfig;
use farspan_acceptance::checkpoints::{files, golden, open, random_batch};
use farspan_datasets::Batch;
use farspan_pe::{Len, Registry};
use serde_json::Value;
use std::path::Path;
use tempfile::TempDir;

fn batch(vocab: u64, positions: Option<Vec<f64>>) -> Batch {
    let (rows, len) = (2, 12);
    let mut batch = random_batch(5, rows, len, vocab);
    (batch.weights[3], batch.weights[7]) = (0.0, 0.5);
    Batch { positions, ..batch }
}

/// Loss, and gradients by name.
type Found = (f64, Vec<(String, Vec<f32>)>);

/// Loss and gradients of the checkpoint in `dir`, with or without computing activations twice.
fn gradients(
    (dir, scheme): (&Path, Option<&str>),
    lora: Option<&LoraConfig>,
    positions: Option<&[f64]>,
    twice: bool,
) -> Found {
    let model = open(dir, scheme);
    let model = model.tune(Len(12), lora, 3, None).expect("a model");
    let model = model.recomputing(twice);
    let batch = batch(
        model.architecture.vocab as u64,
        positions.map(<[f64]>::to_vec),
    );
    let ready = model.prepare(Len(12), 12).expect("plans");
    let found = model.backward(&batch, &ready).expect("gradients");
    let gradients = found.gradients.expect("gradients");
    let flat = |(name, weight): (&String, &farspan::model::Weight)| {
        let gradient = gradients.get(&weight.var)?;
        Some((name.clone(), gradient.to_flat::<f32>().expect("values")))
    };
    (
        found.loss,
        model.weights().iter().filter_map(flat).collect(),
    )
}

#[test]
fn gradients_do_not_depend_on_computing_activations_twice() {
    let positions: Vec<f64> = (0..24).map(|t| f64::from(t % 12 * 3 + t / 12)).collect();
    let lora = LoraConfig::default();
    for (case, lora, positions) in [
        (("llama-biases", None), None, None),
        (("llama-default", Some("pi,factor=4")), Some(&lora), None),
        (
            ("llama-default", Some("yarn,factor=4")),
            None,
            Some(positions.as_slice()),
        ),
        // Carries what it learns from layer to layer.
        (("llama-default", Some("clex")), None, None),
        (("llama-default", Some("fire")), None, None),
        (("qwen3-default", None), None, None),
        (("phi3-default", None), None, None),
        (("gpt_neox-default", None), None, None),
        (("gpt2", None), None, None),
        (("bloom-from-norm", None), None, None),
        (("mpt", None), None, None),
        (("falcon-alibi", None), None, None),
        (("gemma2", None), None, None),
        (("mixtral-default", None), Some(&lora), None),
        (("qwen2_moe-default", None), None, None),
        (("gpt_oss-default", None), None, Some(positions.as_slice())),
        (("gpt_oss-default", Some("fire")), None, None),
        (("deepseek_v3-default", None), None, None),
        (("deepseek_v2-default", None), Some(&lora), None),
        (("llama4_text-default", None), None, None),
    ] {
        let (name, scheme) = case;
        let of = |twice| gradients((&golden(name), scheme), lora, positions, twice);
        same(&format!("{case:?}"), &of(false), &of(true), 1e-4);
    }
}

/// Whether two ways give the same loss and gradients; sums in another order differ by `share` of the largest.
fn same(case: &str, (loss, expected): &Found, (again, found): &Found, share: f32) {
    assert_eq!(loss, again, "{case}");
    assert!(expected.len() > 10, "{case}: {} gradients", expected.len());
    assert_eq!(expected.len(), found.len(), "{case}");
    for ((name, x), (other, y)) in expected.iter().zip(found) {
        assert_eq!(name, other, "{case}");
        let size = x.iter().fold(1e-3f32, |m, x| m.max(x.abs()));
        let far = x.iter().zip(y).map(|(x, y)| (x - y).abs());
        let far = far.fold(0.0, f32::max);
        assert!(far <= share * size, "{case}, {name}: {far} of {size}");
    }
}

#[test]
fn adapters_learn_the_same_beside_weights_in_half_precision() {
    let lora = LoraConfig::default();
    for name in [
        "llama-default",
        "qwen2-default",
        "gpt2",
        "falcon-alibi",
        "mixtral-default",
        "gpt_oss-default",
        "deepseek_v3-default",
    ] {
        // Stored in bfloat16, which float16 and float32 copies of it say exactly or nearly so.
        for kind in [Type::BF16, Type::F16] {
            let half = saved(name, Some(kind), u64::MAX);
            let single = saved_from(half.path(), Some(Type::F32), u64::MAX);
            let of = |dir: &TempDir, twice| gradients((dir.path(), None), Some(&lora), None, twice);
            let expected = of(&single, false);
            for twice in [false, true] {
                same(
                    &format!("{name}, {kind:?}"),
                    &expected,
                    &of(&half, twice),
                    1e-5,
                );
            }
        }
    }
}

fn saved(name: &str, kind: Option<Type>, shard: u64) -> TempDir {
    saved_from(&golden(name), kind, shard)
}

fn saved_from(from: &Path, kind: Option<Type>, shard: u64) -> TempDir {
    let out = TempDir::new().expect("a folder");
    let (model, form) = (open(from, None), Form { kind, shard });
    save_pretrained(
        &model,
        &files(from),
        32,
        &Registry::builtin(),
        form,
        out.path(),
    )
    .expect("a folder");
    out
}

fn json(path: &Path) -> Value {
    let text = std::fs::read_to_string(path).expect("a file");
    serde_json::from_str(&text).expect("JSON")
}

#[test]
fn weights_are_saved_in_any_precision_and_in_shards() {
    // Stored in bfloat16, so that neither it nor float16 loses much, and bfloat16 nothing.
    for name in ["llama-default", "gpt2", "falcon-groups"] {
        let original = Files::open(&golden(name)).expect("weights");
        for (kind, word) in [
            (Some(Type::F32), "float32"),
            (Some(Type::F16), "float16"),
            (Some(Type::BF16), "bfloat16"),
            (None, "bfloat16"),
        ] {
            for shard in [u64::MAX, 4000, 1] {
                let out = saved(name, kind, shard);
                let config = json(&out.path().join("config.json"));
                assert_eq!(
                    (&config["dtype"], &config["torch_dtype"]),
                    (&word.into(), &word.into())
                );
                let files = Files::open(out.path()).expect("weights");
                let index = out.path().join("model.safetensors.index.json");
                assert_eq!(index.exists(), shard < u64::MAX);
                if shard < u64::MAX {
                    let index = json(&index);
                    assert_eq!(index["metadata"]["total_size"], files.bytes());
                    let shards = std::fs::read_dir(out.path()).expect("a folder").count();
                    assert!(shards > 3, "{shards} files");
                }
                open(out.path(), None);
                for tensor in original.names() {
                    let before = original.read(tensor).expect("numbers");
                    let after = files.read(tensor).expect("numbers");
                    for (x, y) in before.iter().zip(&after) {
                        let rounding = if kind == Some(Type::F16) {
                            x.abs() / 2048.0 + 3e-8
                        } else {
                            0.0
                        };
                        assert!(
                            (x - y).abs() <= rounding,
                            "{name}, {tensor}, {word}: {x}, {y}"
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn numbers_too_large_for_half_precision_are_refused_by_name() {
    let from = TempDir::new().expect("a folder");
    for file in ["config.json", "model.safetensors"] {
        std::fs::copy(golden("llama-default").join(file), from.path().join(file)).expect("a copy");
    }
    let path = from.path().join("model.safetensors");
    let mut bytes = std::fs::read(&path).expect("weights");
    // The last number of the file, in bfloat16: 2^16.
    let end = bytes.len();
    bytes[end - 2..].copy_from_slice(&0x4780u16.to_le_bytes());
    std::fs::write(&path, bytes).expect("weights");
    let model = open(from.path(), None);
    let form = Form {
        kind: Some(Type::F16),
        shard: u64::MAX,
    };
    let out = TempDir::new().expect("a folder");
    let registry = Registry::builtin();
    let error = save_pretrained(&model, &files(from.path()), 32, &registry, form, out.path());
    let error = error.expect_err("too large").to_string();
    assert!(error.contains("65536 is beyond float16"), "{error}");
    assert!(!out.path().join("config.json").exists());
}
