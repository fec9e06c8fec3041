//! Schemes that begin as the rotary model whose weights they go on from.

use super::{TRAINED, drawn, random, scheme};
use farspan::model::{Architecture, Decoder, Weights};
use farspan_acceptance::parity::shape;
use farspan_attention::Device;
use farspan_pe::{AnyScheme, Len};
use serde_json::json;
use std::sync::Arc;

/// `model` read under another scheme, as a fine-tuning begins.
fn retrofitted(weights: &Weights, own: &Arc<dyn AnyScheme>) -> Decoder {
    let architecture = Architecture::plain(&shape(2, [4, 2, 16], TRAINED));
    Decoder::new(
        architecture,
        Arc::clone(own),
        weights.clone(),
        &Device::cpu(),
    )
    .tune(Len(TRAINED), None, 3, None)
    .expect("a model")
}

#[test]
fn tape_and_path_start_as_the_rotary_model_that_they_go_on_from() {
    let own = scheme("rope", json!({ "base": 500.0 }));
    let mut weights = drawn(&own).merged().expect("weights");
    // Weights as drawn hardly look at positions.
    for (name, weight) in &mut weights {
        if name.contains("qkv") || name.contains("embed") {
            *weight = weight.affine(12.0, 0.0).expect("a product");
        }
    }
    let rope = retrofitted(&weights, &own);
    let batch = random(8, 2, TRAINED);
    let loss = |model: &Decoder| {
        let ready = model.prepare(Len(TRAINED), TRAINED).expect("plans");
        let found = model.backward(&batch, &ready).expect("a loss");
        (found.loss, found.gradients.expect("gradients"))
    };
    let (start, _) = loss(&rope);
    for (id, settings, bound, moves) in [
        ("tape", json!({ "base": 500.0 }), 1e-5, "tape.attention"),
        (
            "path",
            json!({ "rotary_base": 500.0, "beta_bias": -12.0 }),
            1e-5,
            "path.beta_bias",
        ),
    ] {
        let model = retrofitted(&weights, &scheme(id, settings));
        let (found, gradients) = loss(&model);
        assert!((found - start).abs() < bound, "{id}: {found} {start}");
        // It can leave from there.
        let own = model
            .weights()
            .iter()
            .filter(|(name, _)| name.ends_with(moves));
        let moved = own.filter_map(|(_, w)| gradients.get(&w.var)).any(|g| {
            g.to_flat::<f32>()
                .expect("numbers")
                .iter()
                .any(|x| *x != 0.0)
        });
        assert!(moved, "{id}");
    }
    // Without the rotation, or with another base, they do not.
    for (id, settings) in [
        ("tape", json!({ "base": 5.0 })),
        ("path", json!({ "beta_bias": -12.0 })),
        ("path", json!({ "rotary_base": 500.0 })),
    ] {
        let (found, _) = loss(&retrofitted(&weights, &scheme(id, settings.clone())));
        assert!(
            (found - start).abs() > 1e-3,
            "{id} {settings}: {found} {start}"
        );
    }
}
