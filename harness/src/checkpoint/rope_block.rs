//! A scheme as the rope block of a `config.json`, the way back of [`rope`](super::rope).

use super::config::Architecture;
use crate::{Error, Result};
use farspan_attention::plan::{Plan, Turn};
use farspan_pe::{AnyScheme, Len};
use serde_json::{Map, Value, json};

/// What a config says of positions.
pub(super) struct Saved {
    /// `rope_type` and the keys that belong to it, without the base.
    pub(super) block: Map<String, Value>,
    /// Base of the frequencies.
    pub(super) theta: f64,
    /// `max_position_embeddings`.
    pub(super) positions: usize,
}

/// The block of `scheme` for texts of up to `positions` tokens.
pub(super) fn saved(
    scheme: &dyn AnyScheme,
    architecture: &Architecture,
    positions: usize,
) -> Result<Saved> {
    let settings = scheme.settings();
    let has = |key: &str| settings.get(key).is_some_and(|value| !value.is_null());
    let trained = architecture.geometry.trained_length;
    let original = match settings.get("trained_length").and_then(Value::as_u64) {
        Some(length) => length as usize,
        None => trained,
    };
    let mut block = Map::new();
    let mut put = |theirs: &str, ours: &str| {
        if has(ours) {
            block.insert(theirs.into(), settings[ours].clone());
        }
    };
    let (kind, positions) = match scheme.id() {
        "pi" => {
            put("factor", "factor");
            ("linear", positions)
        }
        "dynamic-ntk" => {
            put("factor", "factor");
            // The reference takes this key for the length before extension.
            ("dynamic", original)
        }
        "yarn" => {
            for key in [
                "factor",
                "beta_fast",
                "beta_slow",
                "truncate",
                "attention_factor",
                "mscale",
                "mscale_all_dim",
            ] {
                put(key, key);
            }
            // The reference reads the factor out of the two lengths as well, and warns if they differ.
            let factor = settings["factor"].as_f64().unwrap_or(1.0);
            ("yarn", (factor * original as f64).round() as usize)
        }
        "longrope" => {
            put("factor", "factor");
            put("long_factor", "long_factors");
            put("short_factor", "short_factors");
            put("attention_factor", "attention_factor");
            ("longrope", positions)
        }
        "llama3" => {
            for key in ["factor", "low_freq_factor", "high_freq_factor"] {
                put(key, key);
            }
            ("llama3", positions)
        }
        _ => ("default", positions),
    };
    let theta = match (kind, settings.get("base").and_then(Value::as_f64)) {
        ("default", _) => geometric(scheme, architecture, positions)?,
        (_, Some(base)) => base,
        (_, None) => return Err(Error::Bug(format!("{} without a base", scheme.id()))),
    };
    if ["yarn", "longrope", "llama3"].contains(&kind) {
        block.insert("original_max_position_embeddings".into(), json!(original));
    }
    block.insert("rope_type".into(), json!(kind));
    Ok(Saved {
        block,
        theta,
        positions,
    })
}

/// The base whose powers the frequencies of `scheme` are: b^(−2p/d) for pair p of d channels.
fn geometric(scheme: &dyn AnyScheme, architecture: &Architecture, reach: usize) -> Result<f64> {
    let plans = scheme.layer_plans(&architecture.geometry, Len(reach))?;
    let turn = match plans.as_slice() {
        [first, ..] if plans.iter().all(|plan| plan == first) => first.turns.first(),
        _ => None,
    };
    let frequencies = turn.map(|turn| turn.query.inv_freq.as_slice());
    match frequencies {
        Some([first, second, ..]) if *first == 1.0 => {
            let pairs = frequencies.map_or(0, <[f64]>::len) as f64;
            Ok(second.powf(-pairs))
        }
        _ => Err(no_form(scheme)),
    }
}

/// The refusal of a scheme that the reference library does not know.
pub(super) fn no_form(scheme: &dyn AnyScheme) -> Error {
    Error::Config(format!(
        "scheme {} has no form in config.json that the reference library computes the same from: expected rope, pi, ntk, \
         dynamic-ntk, yarn, longrope, llama3, or the checkpoint's own scheme",
        scheme.id()
    ))
}

/// Whether two plans compute the same, but for rounding in frequencies.
pub(super) fn same(a: &Plan, b: &Plan) -> bool {
    // A base that was found from frequencies gives them back with a few units in the last place.
    let close = |x: f64, y: f64| (x - y).abs() <= 1e-12 * x.abs().max(y.abs());
    let alike = |a: &Turn, b: &Turn| {
        [(&a.query, &b.query), (&a.key, &b.key)]
            .iter()
            .all(|(a, b)| {
                let mut pairs = a.inv_freq.iter().zip(&b.inv_freq);
                a.inv_freq.len() == b.inv_freq.len()
                    && pairs.all(|(&x, &y)| close(x, y))
                    && close(a.amplitude, b.amplitude)
            })
    };
    let turns =
        a.turns.len() == b.turns.len() && a.turns.iter().zip(&b.turns).all(|(a, b)| alike(a, b));
    let mut b = b.clone();
    for (turn, exact) in b.turns.iter_mut().zip(&a.turns) {
        for (side, exact) in [(&mut turn.query, &exact.query), (&mut turn.key, &exact.key)] {
            side.inv_freq.clone_from(&exact.inv_freq);
            side.amplitude = exact.amplitude;
        }
    }
    turns && *a == b
}
