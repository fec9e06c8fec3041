//! Schemes against numbers from outside: published code that was run, and formulas evaluated elsewhere.
//! `tests/golden/README.md` says where each file comes from.

#[path = "golden/bases.rs"]
mod bases;
#[path = "golden/bias.rs"]
mod bias;
#[path = "golden/blocks.rs"]
mod blocks;
#[path = "golden/bounds.rs"]
mod bounds;
#[path = "golden/cells.rs"]
mod cells;
#[path = "golden/content.rs"]
mod content;
#[path = "golden/contextual.rs"]
mod contextual;
#[path = "golden/defaults.rs"]
mod defaults;
#[path = "golden/edges.rs"]
mod edges;
#[path = "golden/embeddings.rs"]
mod embeddings;
#[path = "golden/first_values.rs"]
mod first_values;
#[path = "golden/frequencies.rs"]
mod frequencies;
#[path = "golden/given.rs"]
mod given;
#[path = "golden/invariants.rs"]
mod invariants;
#[path = "golden/long_ppl.rs"]
mod long_ppl;
#[path = "golden/newest.rs"]
mod newest;
#[path = "golden/places.rs"]
mod places;
#[path = "golden/prompts.rs"]
mod prompts;
#[path = "golden/relative.rs"]
mod relative;
#[path = "golden/remaps.rs"]
mod remaps;
#[path = "golden/remaps_by_head.rs"]
mod remaps_by_head;
#[path = "golden/rotary.rs"]
mod rotary;
#[path = "golden/rotation.rs"]
mod rotation;
#[path = "golden/scaling.rs"]
mod scaling;
#[path = "golden/seqpe.rs"]
mod seqpe;
#[path = "golden/settings.rs"]
mod settings;
#[path = "golden/stacks.rs"]
mod stacks;
#[path = "golden/stretched.rs"]
mod stretched;
#[path = "golden/tape.rs"]
mod tape;
#[path = "golden/tensors.rs"]
mod tensors;
#[path = "golden/turning.rs"]
mod turning;

use farspan_attention::expr::{Env, ParamValues, TokenValues};
use farspan_attention::plan::{Geometry, Plan};
use farspan_pe::{Len, Registry};
use serde_json::Value;

/// Relative tolerance for numbers that were computed in f32.
const F32: f64 = 2e-6;
/// Relative tolerance for numbers that were computed in f64 and printed with 9 digits.
const F64: f64 = 1e-8;

fn golden(file: &str) -> Value {
    let path = format!("{}/golden/{file}.json", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// The entries of a file whose name starts with `prefix`; exactly `count` of them.
fn entries<'a>(file: &'a Value, prefix: &'a str, count: usize) -> Vec<(&'a str, &'a Value)> {
    let all = file.as_object().expect("a file of named entries").iter();
    let found: Vec<_> = all
        .filter(|(name, _)| name.starts_with(prefix))
        .map(|(name, v)| (name.as_str(), v))
        .collect();
    assert_eq!(found.len(), count, "entries {prefix}*");
    found
}

fn model(head_dim: usize, trained_length: usize) -> Geometry {
    Geometry {
        layers: 1,
        width: 8,
        heads: 1,
        kv_heads: 1,
        head_dim,
        trained_length,
    }
}

fn plan(id: &str, settings: Value, model: &Geometry, context_len: usize) -> Plan {
    let scheme = Registry::builtin()
        .parse(id, settings)
        .unwrap_or_else(|e| panic!("{id}: {e}"));
    scheme
        .plan(model, Len(context_len))
        .unwrap_or_else(|e| panic!("{id}: {e}"))
}

/// What multiplies the raw scores of the query at `at`, for parameters that are constants.
fn query_scale(plan: &Plan, at: f64) -> f64 {
    scale_with(plan, at, &ParamValues::new())
}

fn scale_with(plan: &Plan, at: f64, params: &ParamValues) -> f64 {
    let scale = plan.query_scale.as_ref().expect("a scale per query");
    let tokens = TokenValues::new();
    let env = Env {
        i: at,
        j: at,
        n: at + 1.0,
        head: 0,
        heads: 1,
        raw: &[],
        params,
        tokens: &tokens,
    };
    scale.eval(&env).unwrap_or_else(|e| panic!("{e}"))
}

fn number(value: &Value) -> f64 {
    value
        .as_f64()
        .unwrap_or_else(|| panic!("a number, found {value}"))
}

fn size(value: &Value) -> usize {
    value
        .as_u64()
        .unwrap_or_else(|| panic!("a size, found {value}")) as usize
}

fn numbers(value: &Value) -> Vec<f64> {
    list(value).iter().map(number).collect()
}

fn list(value: &Value) -> &[Value] {
    value
        .as_array()
        .unwrap_or_else(|| panic!("a list, found {value}"))
}

/// |found − expected| ≤ rtol·|expected| + atol, number by number.
#[track_caller]
fn close(what: &str, found: &[f64], expected: &[f64], rtol: f64, atol: f64) {
    assert_eq!(found.len(), expected.len(), "{what}: number of values");
    for (i, (f, e)) in found.iter().zip(expected).enumerate() {
        assert!(
            (f - e).abs() <= rtol * e.abs() + atol,
            "{what}[{i}]: found {f}, expected {e}"
        );
    }
}
