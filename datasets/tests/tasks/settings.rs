//! Random settings, small enough for every law to be tried often. Some are refused.

use crate::Draw;
use farspan_datasets::rng::Stream;
use serde_json::{Value, json};

pub(crate) fn random(id: &str, r: &mut Stream) -> Value {
    let fillers = r.from(1, 8);
    let filler = *r.one(&["random", "noise"]);
    let shortest = r.from(1, 12);
    match id {
        "passkey" => json!({
            "digits": r.from(1, 6), "distinct": r.below(2) == 0, "filler": filler, "fillers": fillers,
        }),
        "needle" => json!({
            "keys": r.from(1, 6), "names": r.from(2, 12), "values": r.from(2, 6), "symbols": r.from(1, 4),
            "hay": r.one(&["random", "noise", "needles"]), "fillers": fillers,
        }),
        "multi-value" => json!({
            "asked": r.from(1, 6), "names": r.from(1, 9), "values": r.from(6, 12), "filler": filler,
            "fillers": fillers,
        }),
        "multi-query" => json!({
            "keys": r.from(3, 6), "queries": r.from(1, 4), "names": r.from(6, 12), "values": r.from(6, 12),
            "filler": filler, "fillers": fillers,
        }),
        "variable-tracking" => json!({
            "chains": r.from(1, 3), "hops": r.from(0, 4), "names": r.from(10, 20), "values": r.from(3, 9),
            "filler": filler, "fillers": fillers,
        }),
        "common-words" => json!({
            "common": r.from(1, 5), "often": r.from(3, 6), "seldom": r.from(1, 3), "words": r.from(8, 40),
        }),
        "frequent-words" => json!({
            "asked": r.from(1, 4), "alpha": r.one(&[1.2, 1.5, 2.0, 2.5]), "words": r.from(4, 20),
        }),
        "key-value" => json!({
            "keys": r.from(1, 12), "key_symbols": r.from(1, 3), "values": r.from(1, 6),
            "value_symbols": r.from(1, 3),
        }),
        "mqar" => json!({
            "keys": r.from(2, 12), "values": r.from(2, 12), "a": r.one(&[0.01, 0.3, 1.0]),
            "others": r.one(&["random", "blank"]),
        }),
        "rewritten-keys" => json!({
            "keys": r.from(1, 5), "values": r.from(5, 40), "order": r.one(&["mixed", "blocks"]),
            "fillers": fillers,
        }),
        "kth-occurrence" => json!({
            "times": r.from(1, 6), "keys": r.from(1, 4), "values": r.from(6, 30), "fillers": fillers,
        }),
        "n-back" => json!({"back": r.from(1, 6), "keys": r.from(1, 4), "values": r.from(5, 12)}),
        "random-access" => json!({
            "from": r.one(&["front", "end"]), "indices": r.from(1, 12), "symbols": r.from(1, 6),
        }),
        "flip-flop" => json!({"ignore": r.one(&[0.0, 0.1, 0.8, 0.98, 1.0])}),
        "counting" => json!({
            "variables": r.from(1, 5), "cap": r.from(1, 6), "set": r.from(0, 3), "increment": r.from(1, 9),
            "pass": r.from(0, 20),
        }),
        "word-problem" => json!({
            "group": r.one(&["a5", "s5", "z60"]), "inputs": r.one(&["all", "generators"]),
        }),
        "alternating-blocks" => json!({"blocks": r.from(1, 7), "shortest": shortest}),
        "selective-copy" => json!({"items": r.from(1, 6), "symbols": r.from(1, 4)}),
        "copy" => json!({"symbols": r.from(1, 4), "shortest": shortest, "alike": r.below(2) == 0}),
        "copy-twice" | "reverse" | "odds-first" | "missing-duplicate" | "sort" => {
            json!({"symbols": r.from(1, 30), "shortest": shortest})
        }
        "summation" => json!({"modulus": r.from(2, 12), "shortest": shortest}),
        "addition" => json!({
            "base": r.from(2, 12), "reverse": r.below(2) == 0, "shortest": shortest,
            "padded": r.below(2) == 0,
        }),
        "parity" => json!({"shortest": shortest}),
        "correlated" => json!({
            "range": r.from(1, 12), "copies": r.one(&[0.0, 0.5, 1.0]), "symbols": r.from(1, 6),
        }),
        _ => panic!("{id} has no random settings: add them, so that its law is tried under many"),
    }
}
