//! Attention may be given some of the queries, and looks at the keys that they see: every row must come out as it does
//! among all queries, or the call must be refused.

use super::invariants::{filled, waves};
use super::plan;
use super::tensors::model;
use farspan_attention::attend::{INPUT, Implementation, Mask, Params, attend};
use farspan_attention::plan::{Geometry, Plan};
use farspan_attention::prepared::Prepared;
use farspan_attention::{Device, Tensor};
use serde_json::json;
use std::ops::Range;

const TOKENS: usize = 40;
const BLOCK: Range<usize> = 20..30;

/// Four query heads over two key heads.
fn geometry() -> Geometry {
    Geometry {
        heads: 4,
        trained_length: TOKENS,
        kv_heads: 2,
        ..model(4, 4, 6)
    }
}

/// Output of these queries, or why there is none.
fn output(plan: &Plan, queries: Range<usize>, given: &Params) -> Result<Vec<f64>, String> {
    let keys = waves(&[1, 2, TOKENS, 4], 2.1);
    let q = waves(&[1, 4, TOKENS, 4], 1.3);
    let q = q.narrow(2, queries.start, queries.len()).unwrap();
    let v = waves(&[1, 2, TOKENS, 4], 0.7);
    let prepared = Prepared::new(plan, &geometry(), queries, 0..TOKENS, &Device::cpu()).unwrap();
    let mask = Mask {
        window: Some(8),
        ..Mask::causal()
    };
    let q = q.contiguous().unwrap();
    let found = attend(
        &q,
        &keys,
        &v,
        &prepared,
        given,
        &mask,
        Implementation::Composed,
    );
    let found = found.map_err(|e| e.to_string())?.output;
    Ok(found.to_flat().unwrap())
}

fn with_input(given: &Params, tokens: Range<usize>) -> Params {
    let mut given = given.clone();
    let all: Tensor = waves(&[1, TOKENS, 6], 0.9);
    let rows = all.narrow(1, tokens.start, tokens.len()).unwrap();
    given.insert(INPUT.into(), rows.contiguous().unwrap());
    given
}

#[test]
fn blocks_of_queries_give_their_rows() {
    for (id, settings) in [
        ("shaw", json!({ "clip": 3 })),
        ("shaw", json!({ "clip": 3, "values": false })),
        ("huang-m3", json!({})),
        ("huang-m4", json!({})),
        ("transformer-xl", json!({})),
        ("deberta", json!({ "buckets": 8, "max_distance": 16 })),
        ("distance-bank", json!({ "extent": 5 })),
        ("cope", json!({ "rows": 4 })),
        ("cope", json!({ "gate": "values" })),
        ("dape", json!({})),
        ("dape", json!({ "kernel": 3 })),
        ("dape", json!({ "kernel": 5, "base": "none" })),
        ("stick-breaking", json!({})),
    ] {
        let plan = plan(id, settings.clone(), &geometry(), TOKENS);
        let given = filled(&plan, &[]);
        let whole = output(&plan, 0..TOKENS, &with_input(&given, 0..TOKENS)).unwrap();
        let found = output(&plan, BLOCK, &with_input(&given, BLOCK)).unwrap();
        let heads = whole.chunks(TOKENS * 4);
        let expected: Vec<f64> = heads
            .flat_map(|head| head[BLOCK.start * 4..BLOCK.end * 4].to_vec())
            .collect();
        super::close(&format!("{id} {settings}"), &found, &expected, 1e-12, 1e-12);
    }
}

#[test]
fn blocks_that_lack_what_they_need_are_refused() {
    for (id, settings, why) in [
        (
            "selective",
            json!({}),
            "queries and keys at the same positions",
        ),
        ("cope", json!({ "gate": "own" }), "each of the tokens 0..40"),
        ("fox", json!({}), "queries and keys at the same positions"),
    ] {
        let plan = plan(id, settings, &geometry(), TOKENS);
        let given = with_input(&filled(&plan, &[]), BLOCK);
        let message = output(&plan, BLOCK, &given).unwrap_err();
        assert!(message.contains(why), "{id}: {message}");
    }
}
