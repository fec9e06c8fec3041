//! Every scheme on a device of wgpu against the processor: loss and gradients, a training run, perplexity far past the
//! trained length, and attention under masks of documents.
//!
//! Without an adapter these tests fail; `FARSPAN_NO_GPU=1` tells `test.sh` to leave them out. By hand: `FARSPAN_SEED=7`
//! draws other sizes.

use farspan_acceptance::parity::{adapter, documents, kernels, schemes, shape, step, training};
use farspan_acceptance::{run, text};
use farspan_attention::{Precision, gpu::validate};
use std::collections::BTreeSet;

/// Needs no adapter.
#[test]
fn every_shader_that_the_registry_can_generate_is_valid() {
    let mut generated = BTreeSet::new();
    for (id, scheme) in schemes() {
        // Grouped heads, one head, large heads.
        for sizes in [[4, 2, 16], [1, 1, 8], [8, 8, 128]] {
            let model = shape(2, sizes, 16).geometry;
            for length in [1, 16, 37, 129] {
                let texts =
                    kernels(id, scheme.as_ref(), &model, length, Precision::F32).into_iter();
                generated.extend(texts.map(|(name, text)| (text, id, name)));
            }
        }
    }
    // Most schemes have kernels of their own, not those of another.
    assert!(generated.len() > 500, "{} shaders", generated.len());
    let mut last = String::new();
    for (text, id, name) in generated {
        if text != last {
            validate(&text).unwrap_or_else(|e| panic!("{id}, {name}: {e}\n{text}"));
            last = text;
        }
    }
}

/// The kernels' scores, through `explain`, against the formulas in f64.
#[test]
fn wgpu_scores_are_those_that_are_explained() {
    let mut wrong = Vec::new();
    for (id, _) in schemes() {
        let sizes = ["--heads=4", "--kv-heads=2", "--head-dim=16", "--length=37"];
        let mut arguments = vec![
            "explain",
            id,
            "--device=wgpu",
            "--json",
            "--trained-length=16",
        ];
        arguments.extend(sizes);
        let output = run(&arguments);
        let told: serde_json::Value = match serde_json::from_slice(&output.stdout) {
            Ok(told) => told,
            // Some schemes end at the trained length.
            Err(_) if text(&output.stderr).contains("cannot be served") => continue,
            Err(e) => panic!("{id}: {e}: {}", text(&output.stderr)),
        };
        let there = &told["on_device"];
        let fused = there["implementation"] == "fused";
        let kernels = there["kernels"].as_array().map_or(0, Vec::len);
        if fused != (kernels >= 4) {
            wrong.push(format!(
                "{id}: {kernels} kernels, {}",
                there["implementation"]
            ));
        }
        let content = !told["bias"].is_array() && told["bias"].is_null();
        match there["largest_difference"].as_f64() {
            Some(apart) if apart < 1e-5 => {}
            None if content || !fused => {}
            other => wrong.push(format!("{id}: scores are {other:?} apart")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn wgpu_agrees_on_loss_and_gradients_of_every_scheme() {
    step::agree(&adapter(), &|_| true);
}

#[test]
fn wgpu_attends_within_documents() {
    documents::agree(&adapter(), documents::SHORT, &|_, _| true);
}

#[test]
fn wgpu_trains_and_extrapolates_like_the_processor() {
    training::agree(&adapter(), &|_, _| true);
}
