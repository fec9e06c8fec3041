//! Biases that are stretched: interpolated, and with slopes rescaled.

use super::newest::heads;
use super::{F64, close, entries, golden, numbers, plan};
use farspan_attention::expr::ParamValues;
use farspan_attention::plan::{Cache, Init, Plan};
use farspan_attention::scalar;
use farspan_pe::{Len, Registry};
use serde_json::{Value, json};

fn biases(plan: &Plan, (head, heads): (usize, usize), distance: usize) -> f64 {
    let values = |init: &Init, len: usize| match init {
        Init::Constant(x) => vec![*x; len],
        Init::Values(values) => values.clone(),
        // What is drawn: a ramp, so that rows and heads differ.
        _ => (0..len).map(|i| i as f64 * 0.01 + 0.3).collect(),
    };
    let of = |spec: &farspan_attention::plan::ParamSpec| {
        (spec.name.clone(), values(&spec.init, spec.len()))
    };
    let params: ParamValues = plan.params.iter().map(of).collect();
    scalar::bias(plan, (head, heads), distance, 0, distance + 1, &params).unwrap()
}

#[test]
fn slopes_that_are_stretched() {
    let file = golden("bias/ntk_alibi");
    for (name, slopes) in entries(&file, "h", 12) {
        let (count, factor) = name[1..].split_once("_a").unwrap();
        let (count, factor): (usize, f64) = (count.parse().unwrap(), factor.parse().unwrap());
        let sizes = heads(count, count, 4, 8);
        let ntk = plan("ntk-bias", json!({ "factor": factor }), &sizes, 99);
        let found: Vec<f64> = (0..count)
            .map(|head| -biases(&ntk, (head, count), 7) / 7.0)
            .collect();
        close(name, &found, &numbers(slopes), F64, 0.0);
        // Interpolation divides all alike.
        let alibi = plan("alibi", json!({}), &sizes, 99);
        let pi = plan("pi-bias", json!({ "factor": factor }), &sizes, 99);
        for head in 0..count {
            let expected = biases(&alibi, (head, count), 7) / factor;
            close(
                name,
                &[biases(&pi, (head, count), 7)],
                &[expected],
                F64,
                0.0,
            );
        }
    }
}

#[test]
fn any_bias_that_is_added_can_be_interpolated() {
    let sizes = heads(4, 2, 4, 8);
    for (id, settings) in [
        ("t5", json!({})),
        ("kerple", json!({})),
        ("kerple", json!({ "kind": "power" })),
        ("bam", json!({ "learn_centre": true })),
        ("sandwich", json!({})),
    ] {
        let base = plan(id, settings.clone(), &sizes, 64);
        let over = json!({ "over": { id: settings }, "factor": 4 });
        let pi = plan("pi-bias", over, &sizes, 64);
        for head in 0..4 {
            for distance in [0, 4, 12, 40] {
                let found = biases(&pi, (head, 4), distance);
                let expected = biases(&base, (head, 4), distance / 4);
                close(id, &[found], &[expected], 1e-12, 1e-12);
            }
        }
    }
    // The stretch of the text.
    let dynamic = |length| {
        plan(
            "pi-bias",
            json!({ "dynamic": true, "trained_length": 32 }),
            &sizes,
            length,
        )
    };
    assert_eq!(dynamic(64).cache, Cache::Unrotated);
    let (one, four) = (
        biases(&dynamic(16), (1, 4), 8),
        biases(&dynamic(128), (1, 4), 8),
    );
    close("dynamic", &[four], &[one / 4.0], 1e-12, 0.0);
}

#[test]
fn what_cannot_be_stretched_is_refused_in_words() {
    let registry = Registry::builtin();
    let refused = |id: &str, over: Value| {
        let scheme = registry.parse(id, json!({ "over": over }));
        let plan = scheme.and_then(|scheme| scheme.plan(&heads(4, 4, 4, 8), Len(64)));
        plan.unwrap_err().to_string()
    };
    for (id, over, words) in [
        (
            "pi-bias",
            json!({ "kerple": { "kind": "weighted-power" } }),
            "multiplies scores",
        ),
        ("pi-bias", json!({ "bam": { "ssmax": true } }), "multiplies"),
        (
            "pi-bias",
            json!({ "dynamic-bias": {} }),
            "changes scores in another way",
        ),
        (
            "pi-bias",
            json!({ "rope": {} }),
            "a scheme of the bias family",
        ),
        ("pi-bias", json!({ "aliby": {} }), "did you mean \"alibi\""),
        ("pi-bias", json!({ "pi-bias": {} }), "a scheme of the bias"),
        ("pi-bias", json!({}), "one scheme of the bias family"),
        (
            "pi-bias",
            json!({ "alibi": { "slop": 1 } }),
            "alibi has no setting `slop`",
        ),
        ("pi-bias", json!({ "huang-m1": {} }), "multiplies scores"),
        ("ntk-bias", json!({ "t5": {} }), "ladder of reaches"),
        ("ntk-bias", json!({ "fire": {} }), "ladder of reaches"),
    ] {
        let error = refused(id, over.clone());
        let named = error.contains("`over`") && error.contains(words);
        assert!(named, "{id} over {over}: {error}");
    }
}
