//! A scheme as the rope block of a `config.json`, the way back of [`rope`](super::rope).

use super::weights::family;
use crate::model::Architecture;
use crate::{Error, Result};
use farspan_attention::plan::{Plan, QkRotation};
use farspan_pe::angles::inv_freq;
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
    /// `original_max_position_embeddings` at the top level, for kinds of scaling that have a length before extension.
    pub(super) original: Option<usize>,
}

/// What may be written for `scheme` and texts of up to `positions` tokens, the plainest first: its own kind of scaling,
/// and one divisor for each pair, if the family's reference loads it.
pub(super) fn forms(
    scheme: &dyn AnyScheme,
    architecture: &Architecture,
    positions: usize,
) -> Result<Vec<Saved>> {
    let known = family(architecture)?.scalings;
    let own = saved(scheme, architecture, positions).ok();
    let forms = own
        .into_iter()
        .chain(divisors(scheme, architecture, positions));
    let loads = |form: &Saved| known.iter().any(|kind| form.block["rope_type"] == *kind);
    Ok(forms.filter(loads).collect())
}

/// `scheme` as divisors of RoPE's frequencies, one for each pair, within and past the length before extension: LongRoPE,
/// which any fixed table of frequencies is a case of.
fn divisors(
    scheme: &dyn AnyScheme,
    architecture: &Architecture,
    positions: usize,
) -> Option<Saved> {
    let settings = scheme.settings();
    let original = original(&settings, architecture);
    let theta = settings.get("base").and_then(Value::as_f64)?;
    let turn = |context_len: usize| {
        let plans = scheme
            .layer_plans(&architecture.geometry, Len(context_len))
            .ok()?;
        match plans.as_slice() {
            [first, ..] if plans.iter().all(|plan| plan == first) => {
                match first.rotations.as_slice() {
                    [turn] => Some(turn.query.clone()),
                    _ => None,
                }
            }
            _ => None,
        }
    };
    let (short, long) = (turn(original)?, turn(original + 1)?);
    let by = |found: &[f64]| {
        let plain = inv_freq(theta, 2 * found.len());
        let by = plain.iter().zip(found).map(|(plain, found)| plain / found);
        let by: Vec<f64> = by.collect();
        by.iter().all(|x| x.is_finite() && *x > 0.0).then_some(by)
    };
    let mut block = Map::new();
    block.insert("rope_type".into(), json!("longrope"));
    block.insert(
        "factor".into(),
        json!((positions as f64 / original as f64).max(1.0)),
    );
    block.insert("short_factor".into(), json!(by(&short.inv_freq)?));
    block.insert("long_factor".into(), json!(by(&long.inv_freq)?));
    block.insert("attention_factor".into(), json!(long.amplitude));
    block.insert("original_max_position_embeddings".into(), json!(original));
    Some(Saved {
        block,
        theta,
        positions,
        original: Some(original),
    })
}

/// The length before extension.
fn original(settings: &Value, architecture: &Architecture) -> usize {
    match settings.get("trained_length").and_then(Value::as_u64) {
        Some(length) => length as usize,
        None => architecture.geometry.trained_length,
    }
}

/// The block of `scheme` under its own name.
fn saved(scheme: &dyn AnyScheme, architecture: &Architecture, positions: usize) -> Result<Saved> {
    let settings = scheme.settings();
    let has = |key: &str| settings.get(key).is_some_and(|value| !value.is_null());
    let original = original(&settings, architecture);
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
        ("default", base) => {
            let found = geometric(scheme, architecture, positions)?;
            let close = |base: &f64| (base - found).abs() <= 1e-9 * found;
            base.filter(close).unwrap_or(found)
        }
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
        original: (!["default", "dynamic"].contains(&kind)).then_some(original),
    })
}

/// The base whose powers the frequencies of `scheme` are: b^(−2p/d) for pair p of d channels.
fn geometric(
    scheme: &dyn AnyScheme,
    architecture: &Architecture,
    context_len: usize,
) -> Result<f64> {
    let plans = scheme.layer_plans(&architecture.geometry, Len(context_len))?;
    let turn = match plans.as_slice() {
        [first, ..] if plans.iter().all(|plan| plan == first) => first.rotations.first(),
        _ => None,
    };
    let frequencies = turn.map(|turn| turn.query.inv_freq.as_slice());
    match frequencies {
        Some([first, second, ..]) if *first == 1.0 => {
            let pairs = frequencies.map_or(0, <[f64]>::len) as f64;
            Ok(second.powf(-pairs))
        }
        _ => Err(no_form(scheme, architecture)),
    }
}

/// The refusal of a scheme that the reference library does not know, or does not load for this family.
pub(super) fn no_form(scheme: &dyn AnyScheme, architecture: &Architecture) -> Error {
    let (id, name) = (scheme.id(), &architecture.family);
    let known = family(architecture).map_or(&[][..], |family| family.scalings);
    let expected = match known {
        // Some families have configs of either kind.
        [_, ..] if architecture.positional.id == "alibi" => {
            "the checkpoint's own scheme, as its config has ALiBi in the place of a rotation".to_string()
        }
        [] => "the checkpoint's own scheme, as it knows no other for this family".to_string(),
        known if known.contains(&"yarn") => {
            "rope, pi, ntk, dynamic-ntk, yarn, longrope, llama3, a fixed table of frequencies, or the checkpoint's own scheme"
                .to_string()
        }
        known => format!(
            "a scheme whose frequencies change at the trained length at most (rope, abf, pi, ntk, yarn, llama3, longrope), as \
             it loads {name} with rope_type {} only",
            known.join(" or ")
        ),
    };
    Error::Config(format!(
        "scheme {id} has no form in config.json that the reference library computes the same from: expected {expected}"
    ))
}

/// Whether two plans compute the same, but for rounding in frequencies.
pub(super) fn same(a: &Plan, b: &Plan) -> bool {
    // A base that was found from frequencies gives them back with a few units in the last place.
    let close = |x: f64, y: f64| (x - y).abs() <= 1e-12 * x.abs().max(y.abs());
    let alike = |a: &QkRotation, b: &QkRotation| {
        [(&a.query, &b.query), (&a.key, &b.key)]
            .iter()
            .all(|(a, b)| {
                let mut pairs = a.inv_freq.iter().zip(&b.inv_freq);
                a.inv_freq.len() == b.inv_freq.len()
                    && pairs.all(|(&x, &y)| close(x, y))
                    && close(a.amplitude, b.amplitude)
            })
    };
    let turns = a.rotations.len() == b.rotations.len()
        && a.rotations
            .iter()
            .zip(&b.rotations)
            .all(|(a, b)| alike(a, b));
    let mut b = b.clone();
    for (turn, exact) in b.rotations.iter_mut().zip(&a.rotations) {
        for (side, exact) in [(&mut turn.query, &exact.query), (&mut turn.key, &exact.key)] {
            side.inv_freq.clone_from(&exact.inv_freq);
            side.amplitude = exact.amplitude;
        }
    }
    // What becomes of cached keys is no part of the numbers.
    b.cache = a.cache;
    turns && *a == b
}
