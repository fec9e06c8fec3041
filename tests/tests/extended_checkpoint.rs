//! Checkpoints that learn: gradients of every family, adapters, and what is saved and loaded again.

#[path = "extended_checkpoint/saved.rs"]
mod saved;

use farspan::checkpoint::files::Files;
use farspan::checkpoint::save::{Form, save_pretrained};
use farspan::config::types::LoraConfig;
use farspan::model::{Decoder, Pass};
use farspan_acceptance::checkpoints::{files, golden, open, random_batch};
use farspan_attention::{Device, Tensor};
use farspan_datasets::Batch;
use farspan_datasets::rng::Stream;
use farspan_pe::{Len, Registry};
use std::path::Path;
use tempfile::TempDir;

const FAMILIES: [&str; 47] = [
    "llama-default",
    "llama-biases",
    "mistral-default",
    "qwen2-default",
    "qwen3-default",
    "phi3-default",
    "gpt_neox-default",
    "gpt_neox-sequential",
    "gpt2",
    "bloom",
    "bloom-from-norm",
    "mpt",
    "falcon-groups",
    "falcon-alibi",
    "gemma2",
    "mixtral-default",
    "qwen2_moe-default",
    "qwen3_moe-default",
    "gpt_oss-default",
    "gpt_oss-untruncated",
    "deepseek_v2-default",
    "deepseek_v2-greedy",
    "deepseek_v3-default",
    "deepseek_v3-mscale",
    "llama4_text-default",
    "llama4_text-two",
    "olmoe-default",
    "gemma3_text-default",
    "olmo-clip",
    "olmo3-default",
    "smollm3-windows",
    "phi-norms",
    "stablelm-norms",
    "cohere-norms",
    "cohere2-default",
    "granite-default",
    "starcoder2-default",
    "nemotron-biases",
    "arcee-default",
    "glm4-default",
    "minicpm-default",
    "internlm2-default",
    "gptj-tied",
    "codegen",
    "opt-post",
    "gpt_neo",
    "baichuan",
];

fn tuned(dir: &Path, scheme: Option<&str>, len: usize, lora: Option<&LoraConfig>) -> Decoder {
    let mut model = open(dir, scheme);
    // The second generation, whose vocabulary is too large for a fixture.
    model.architecture.unit_head = model.architecture.family == "baichuan";
    model.tune(Len(len), lora, 3, None).expect("a model")
}

fn loss(model: &Decoder, batch: &Batch) -> f64 {
    let ready = model.prepare(Len(batch.len), batch.len).expect("plans");
    let scores = model.scores(batch, &ready).expect("scores");
    scores.iter().map(|s| f64::from(s.nll)).sum::<f64>() / scores.len() as f64
}

/// Moves all weights that learn by `by` times `direction`, one value for each.
fn shift(model: &Decoder, directions: &[Vec<f32>], by: f32) {
    for (weight, direction) in model.weights().values().zip(directions) {
        let tensor = weight.var.tensor();
        let values: Vec<f32> = tensor.to_flat::<f32>().expect("values");
        let moved: Vec<f32> = values
            .iter()
            .zip(direction)
            .map(|(x, d)| x + by * d)
            .collect();
        let moved = Tensor::from_vec(moved, tensor.dims(), &Device::cpu()).expect("a tensor");
        weight.var.set(&moved).expect("values");
    }
}

#[test]
fn windows_of_a_batch_give_the_logits_of_a_text_in_pieces() {
    for name in FAMILIES {
        let model = open(&golden(name), None);
        let batch = random_batch(5, 2, 20, model.architecture.vocab as u64);
        let ready = model.prepare(Len(20), 20).expect("plans");
        let hidden = model.hidden(&batch, &ready, Pass::Evaluate).expect("rows");
        let rows: Vec<Vec<f32>> = hidden.rows.to_vec2().expect("rows");
        for window in 0..2 {
            let ids = &batch.tokens[window * 20..(window + 1) * 20];
            model
                .run(ids, 7, |first, piece| {
                    for (at, row) in piece.to_vec2::<f32>()?.iter().enumerate() {
                        let whole = &rows[window * 20 + first + at];
                        for (x, y) in row.iter().zip(whole) {
                            // Two orders of summation in single precision.
                            assert!((x - y).abs() < 2e-4 * (1.0 + y.abs()), "{name}: {x}, {y}");
                        }
                    }
                    Ok(())
                })
                .expect("a run");
        }
    }
}

#[test]
fn gradients_of_every_family_agree_with_differences_of_the_loss() {
    for name in FAMILIES {
        for lora in [None, Some(LoraConfig::default())] {
            let model = tuned(&golden(name), None, 16, lora.as_ref());
            let batch = random_batch(5, 2, 16, model.architecture.vocab as u64);
            let ready = model.prepare(Len(16), 16).expect("plans");
            // Away from the start of adapters, where half of the gradients are 0.
            let mut stream = Stream::new(9, "start");
            let noise = |scale: f64, stream: &mut Stream| -> Vec<Vec<f32>> {
                let sizes = model
                    .weights()
                    .values()
                    .map(|w| w.var.tensor().elem_count());
                sizes
                    .map(|n| (0..n).map(|_| (scale * stream.normal()) as f32).collect())
                    .collect()
            };
            shift(&model, &noise(0.02, &mut stream), 1.0);
            let (value, _) = model.loss(&batch, &ready).expect("a loss");
            let gradients = value.backward().expect("gradients");
            // Along the gradient itself the loss changes by its square norm: every weight takes part.
            let mut directions = Vec::new();
            let (mut square, mut idle) = (0.0, 0);
            for (weight_name, weight) in model.weights() {
                let gradient = gradients.get(&weight.var);
                if gradient.is_none() && weight_name.contains(".experts.") {
                    // No token of these went there.
                    idle += 1;
                    directions.push(vec![0.0; weight.var.tensor().elem_count()]);
                    continue;
                }
                let gradient = gradient.unwrap_or_else(|| panic!("{name}: {weight_name} has none"));
                let flat: Vec<f32> = gradient.to_flat().expect("values");
                let norm: f64 = flat.iter().map(|x| f64::from(x * x)).sum();
                // A bias of keys moves all scores of a query alike.
                if !weight_name.ends_with("qkv.bias") {
                    assert!(norm > 0.0, "{name}: the gradient of {weight_name} is 0");
                }
                square += norm;
                directions.push(flat);
            }
            assert!(
                idle * 8 <= directions.len(),
                "{name}: {idle} weights have none"
            );
            // Another choice of experts is a jump: a step on which no token changes its mind.
            let size = match model.architecture.experts {
                Some(_) => 1e-4,
                None => 2e-3,
            };
            let step = (size / square.sqrt()) as f32;
            shift(&model, &directions, step);
            let above = loss(&model, &batch);
            shift(&model, &directions, -2.0 * step);
            let below = loss(&model, &batch);
            let slope = (above - below) / (2.0 * f64::from(step));
            // Differences of losses in single precision, whose curvature is that of random weights.
            assert!(
                (slope - square).abs() < 0.03 * square,
                "{name}, adapters {}: slope {slope}, gradient {square}",
                lora.is_some()
            );
        }
    }
}

#[test]
fn adapters_are_the_same_model_when_they_are_merged_and_saved() {
    let (from, folder) = (golden("llama-default"), TempDir::new().expect("a folder"));
    let lora = LoraConfig {
        rank: 3,
        alpha: 7.0,
        embeddings_and_norms: true,
    };
    let plain = tuned(&from, None, 32, None);
    let model = tuned(&from, Some("pi,factor=4"), 32, Some(&lora));
    let batch = random_batch(5, 1, 40, model.architecture.vocab as u64);
    let with_pi = loss(&open(&from, Some("pi,factor=4")), &batch);
    // The second matrices start at 0.
    assert_eq!(loss(&model, &batch), with_pi);
    let mut stream = Stream::new(1, "adapters");
    let sizes = model
        .weights()
        .values()
        .map(|w| w.var.tensor().elem_count());
    let noise: Vec<Vec<f32>> = sizes
        .map(|n| (0..n).map(|_| 0.1 * stream.normal() as f32).collect())
        .collect();
    shift(&model, &noise, 1.0);
    let learned = model.parameters();
    assert_eq!(learned.1, 0);
    assert!(learned.0 > plain.parameters().0);
    let expected = loss(&model, &batch);
    assert!((expected - with_pi).abs() > 1e-2, "{expected}, {with_pi}");
    save_pretrained(
        &model,
        &files(&from),
        128,
        &Registry::builtin(),
        Form::default(),
        folder.path(),
    )
    .expect("a folder");
    adapter_is_alpha_over_rank_times_its_product(&model, &from, folder.path());
    let again = open(folder.path(), None);
    assert_eq!(again.scheme.id(), "pi");
    // That before extension: position interpolation is saved with it.
    assert_eq!(again.architecture.geometry.trained_length, 32);
    let found = loss(&again, &batch);
    assert!((found - expected).abs() < 1e-5, "{found}, {expected}");
}

/// What a projection has gained in the saved model, against 7/3 · B A.
fn adapter_is_alpha_over_rank_times_its_product(model: &Decoder, from: &Path, saved: &Path) {
    let values = |part: &str| {
        let weight = &model.weights()[&format!("model.layers.1.mlp.down_proj.{part}")];
        let rows = weight.var.tensor().to_vec2::<f32>();
        rows.expect("a matrix")
    };
    let (a, b) = (values("lora_a"), values("lora_b"));
    let read = |dir: &Path| {
        let files = Files::open(dir).expect("weights");
        files
            .read("model.layers.1.mlp.down_proj.weight")
            .expect("numbers")
    };
    let (before, after) = (read(from), read(saved));
    let columns = a[0].len();
    assert_eq!((b.len() * columns, a.len()), (before.len(), 3));
    for (at, (x, y)) in before.iter().zip(&after).enumerate() {
        let (row, column) = (at / columns, at % columns);
        let product: f32 = (0..3).map(|r| b[row][r] * a[r][column]).sum();
        let gain = y - x;
        assert!(
            (gain - 7.0 / 3.0 * product).abs() < 1e-5,
            "{gain}, {product}"
        );
    }
}
