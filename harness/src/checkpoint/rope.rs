//! The rotary keys of `config.json`, version 4 (`rope_theta`, `rope_scaling`) and 5 (`rope_parameters`), as a scheme.
//!
//! The rules are those of the reference library (transformers 5.23, `modeling_rope_utils`).

mod kinds;

use super::keys::Keys;
use crate::Result;
use crate::scheme::Positional;
use serde_json::{Map, Value, json};

/// What a family says about its rotary keys.
#[derive(Clone, Copy, Debug)]
pub(super) struct Family {
    /// Top-level keys of the base, before version 5.
    pub(super) theta_keys: &'static [&'static str],
    /// Base where no key gives one.
    pub(super) theta: f64,
    /// Top-level keys of the rotated share of a head's channels, before version 5.
    pub(super) partial_keys: &'static [&'static str],
    /// Share where no key gives one.
    pub(super) partial: f64,
    /// Length before extension where no top-level key gives one; a family that has a default does not look into the
    /// block for it.
    pub(super) original: Option<usize>,
    /// What the family's reference takes `rope_type` "yarn" for.
    pub(super) yarn: &'static str,
    /// Whether the softmax follows `mscale_all_dim`, as DeepSeek's does.
    pub(super) scales_softmax: bool,
    /// Which channels make a pair, where they are neighbours.
    pub(super) pairing: Option<&'static str>,
}

/// Pairs of neighbouring channels.
pub(super) const NEIGHBOURS: &str = "interleaved";

/// The keys that nearly all families have.
pub(super) const USUAL: Family = Family {
    theta_keys: &["rope_theta"],
    theta: 10_000.0,
    partial_keys: &["partial_rotary_factor"],
    partial: 1.0,
    original: None,
    yarn: "yarn",
    scales_softmax: false,
    pairing: None,
};

impl Family {
    /// With another base where no key gives one.
    pub(super) const fn with_base(self, theta: f64) -> Family {
        Family { theta, ..self }
    }

    /// With another share of turning channels where no key gives one.
    pub(super) const fn in_part(self, partial: f64) -> Family {
        Family { partial, ..self }
    }

    /// With pairs of neighbouring channels.
    pub(super) const fn neighbours(self) -> Family {
        let pairing = Some(NEIGHBOURS);
        Family { pairing, ..self }
    }
}

/// A scheme and the length that the weights were trained with.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Rotary {
    pub(super) positional: Positional,
    pub(super) trained_length: usize,
    /// Another length that the weights may have been trained with, and why there is no telling.
    pub(super) other_length: Option<(usize, &'static str)>,
}

/// Values from the top level that a rope block may lean on.
pub(super) struct Outer {
    pub(super) theta: Option<f64>,
    pub(super) partial: Option<f64>,
    pub(super) positions: usize,
    pub(super) original: Option<usize>,
    pub(super) family: Family,
}

/// Reads all rotary keys; `positions` is `max_position_embeddings`.
pub(super) fn read(keys: &mut Keys, family: Family, positions: usize) -> Result<Rotary> {
    const ORIGINAL: &str = "original_max_position_embeddings";
    let said = keys.has(ORIGINAL);
    let original = keys.nullable(ORIGINAL, family.original, "length before extension")?;
    let mut outer = Outer {
        theta: agreed(keys, family.theta_keys, "base of the frequencies")?,
        partial: agreed(
            keys,
            family.partial_keys,
            "share of a head's channels that turn",
        )?,
        positions,
        original: original.filter(|_| said),
        family,
    };
    let new = block(keys, "rope_parameters", &mut outer)?;
    let old = block(keys, "rope_scaling", &mut outer)?;
    match (new, old) {
        (Some(new), Some(old)) if new != old => {
            let (new, old) = (new.positional, old.positional);
            Err(keys.contradicts(
                "rope_scaling",
                &format!("the same as rope_parameters, {new}"),
                old,
            ))
        }
        (Some(rotary), _) | (None, Some(rotary)) => Ok(rotary),
        (None, None) => Ok(outer.plain()),
    }
}

/// The one value of several keys of the same meaning.
pub(super) fn agreed(
    keys: &mut Keys,
    names: &[&'static str],
    meaning: &str,
) -> Result<Option<f64>> {
    let mut known: Option<(f64, &str)> = None;
    for name in names {
        match (keys.positive(name, meaning)?, known) {
            (Some(x), Some((before, other))) if x != before => {
                let rule = format!("{before}, as {other} says");
                return Err(keys.contradicts(name, &rule, x));
            }
            (Some(x), None) => known = Some((x, name)),
            _ => {}
        }
    }
    Ok(known.map(|(x, _)| x))
}

pub(super) fn block(
    keys: &mut Keys,
    key: &'static str,
    outer: &mut Outer,
) -> Result<Option<Rotary>> {
    match keys.object(key)? {
        Some(block) => of_object(keys, block, outer),
        None => Ok(None),
    }
}

/// The scheme of a block, which lies inside of `keys`.
pub(super) fn of_object(
    keys: &mut Keys,
    mut block: Keys,
    outer: &mut Outer,
) -> Result<Option<Rotary>> {
    if block.is_empty() {
        return Ok(None);
    }
    let kind = kind(&mut block, &outer.family)?;
    if outer.family.scales_softmax && !["default", "yarn"].contains(&kind.as_str()) {
        let why = "the reference scales the softmax by it, under any kind of scaling";
        block.only("mscale_all_dim", &json!(0), why)?;
    }
    let rotary = of_block(&mut block, &kind, outer)?;
    block.other_scalings(&kind);
    keys.absorb(block, |key| match key {
        "attn_factor" | "extrapolation_factor" => Some(json!(1)),
        _ => None,
    })?;
    Ok(Some(rotary))
}

fn of_block(block: &mut Keys, kind: &str, outer: &mut Outer) -> Result<Rotary> {
    let theta = block.positive("rope_theta", "base of the frequencies")?;
    let partial = block.positive(
        "partial_rotary_factor",
        "share of a head's channels that turn",
    )?;
    for (key, inner, top) in [
        ("rope_theta", &theta, &mut outer.theta),
        ("partial_rotary_factor", &partial, &mut outer.partial),
    ] {
        match (inner, &top) {
            (Some(inner), Some(top)) if inner != top => {
                let rule = format!("{top}, as the other key of the same meaning says");
                return Err(block.contradicts(key, &rule, inner));
            }
            // A twin block may leave out what this one says.
            (Some(inner), None) => *top = Some(*inner),
            _ => {}
        }
    }
    block.idle(&["finetuned"], "how the weights were made");
    let mut settings = outer.common(theta, partial);
    let mut other_length = None;
    let (id, trained_length) = match kind {
        "default" => ("rope", outer.positions),
        "linear" => {
            let factor = factor(block)?;
            settings.insert("factor".into(), json!(factor));
            let known = length_before(block, outer)?;
            let shorter = (outer.positions as f64 / factor).round() as usize;
            if known.is_none() && factor > 1.0 {
                other_length = Some((shorter.max(1), "linear scaling does not tell"));
            }
            ("pi", known.unwrap_or(outer.positions))
        }
        "dynamic" => {
            settings.insert("factor".into(), json!(factor(block)?));
            let why = "not read by dynamic scaling, which goes by max_position_embeddings";
            block.idle(&["original_max_position_embeddings"], why);
            ("dynamic-ntk", outer.positions)
        }
        "yarn" | "longrope" | "llama3" => {
            let known = original(block, outer)?;
            let length = known.unwrap_or(outer.positions);
            match kind {
                "yarn" => kinds::yarn(block, outer, length, &mut settings)?,
                "longrope" => kinds::longrope(block, outer, length, &mut settings)?,
                _ => kinds::llama3(block, &mut settings)?,
            }
            let factor = settings["factor"].as_f64().unwrap_or(1.0);
            let shorter = (outer.positions as f64 / factor).round() as usize;
            if known.is_none() && factor > 1.0 {
                let why = "no original_max_position_embeddings, for which max_position_embeddings stands in";
                other_length = Some((shorter.max(1), why));
            }
            (ours(kind), length)
        }
        other => {
            let known = "default, linear, dynamic, yarn, longrope or llama3";
            return Err(block.wrong("rope_type", known, format!("{other:?}")));
        }
    };
    if id != "rope" && id != "pi" {
        settings.insert("trained_length".into(), json!(trained_length));
    }
    Ok(Rotary {
        positional: Positional::new(id, settings),
        trained_length,
        other_length,
    })
}

/// Kinds of scaling whose name is that of our scheme.
fn ours(kind: &str) -> &'static str {
    match kind {
        "yarn" => "yarn",
        "longrope" => "longrope",
        _ => "llama3",
    }
}

/// `rope_type`, or `type` as it was called once.
fn kind(block: &mut Keys, family: &Family) -> Result<String> {
    let meaning = "kind of scaling";
    let old = match block.has("type") {
        true => Some(block.text("type", "", meaning)?),
        false => None,
    };
    let default = old.clone().unwrap_or_else(|| "default".into());
    let kind = block.text("rope_type", &default, meaning)?;
    // Phi-3's first configs say "su" for what was published as LongRoPE.
    let modern = |kind: String| match kind.as_str() {
        "su" => "longrope".to_string(),
        "yarn" => family.yarn.to_string(),
        _ => kind,
    };
    let kind = modern(kind);
    match old.map(modern) {
        Some(old) if old != kind => {
            Err(block.contradicts("type", &format!("{kind:?}, as rope_type says"), old))
        }
        _ => Ok(kind),
    }
}

fn factor(block: &mut Keys) -> Result<f64> {
    let found = block.positive("factor", "stretch s")?;
    match found {
        Some(factor) if factor >= 1.0 => Ok(factor),
        Some(factor) => Err(block.wrong("factor", "at least 1", factor)),
        None => Err(block.wrong("factor", "a number of at least 1", "nothing")),
    }
}

/// L as the two keys for it say, if any does: the top level before the block, which may not contradict it.
fn length_before(block: &mut Keys, outer: &Outer) -> Result<Option<usize>> {
    let inner = block.count(
        "original_max_position_embeddings",
        "length before extension",
    )?;
    match (outer.original, inner) {
        (Some(top), Some(inner)) if top != inner => {
            let rule = format!("{top}, as the top level says");
            Err(block.contradicts("original_max_position_embeddings", &rule, inner))
        }
        (top, inner) => Ok(top.or(inner)),
    }
}

/// As [`length_before`], for a kind of scaling that computes with it.
fn original(block: &mut Keys, outer: &Outer) -> Result<Option<usize>> {
    let said = length_before(block, outer)?;
    match (outer.original, outer.family.original) {
        (None, Some(default)) => {
            if let Some(inner) = said.filter(|inner| *inner != default) {
                block.warn(format!(
                    "original_max_position_embeddings = {inner} stands inside of the rope block only, where this family's \
                     reference does not look for it: {default} is taken, its default; set the key at the top level"
                ));
            }
            Ok(Some(default))
        }
        _ => Ok(said),
    }
}

/// The stretch, or the quotient of the two lengths.
fn factor_or_quotient(block: &mut Keys, outer: &Outer, original: usize) -> Result<f64> {
    match block.has("factor") {
        true => factor(block),
        false => Ok(outer.positions as f64 / original as f64),
    }
}

impl Outer {
    /// RoPE, where there is no block.
    pub(super) fn plain(&self) -> Rotary {
        Rotary {
            positional: Positional::new("rope", self.common(None, None)),
            trained_length: self.positions,
            other_length: None,
        }
    }

    /// Settings that all rotary schemes have.
    fn common(&self, theta: Option<f64>, partial: Option<f64>) -> Map<String, Value> {
        let theta = theta.or(self.theta).unwrap_or(self.family.theta);
        let partial = partial.or(self.partial).unwrap_or(self.family.partial);
        let mut settings = Map::new();
        settings.insert("base".into(), json!(theta));
        settings.insert("partial".into(), json!(partial));
        if let Some(pairing) = self.family.pairing {
            settings.insert("pairing".into(), json!(pairing));
        }
        settings
    }
}
