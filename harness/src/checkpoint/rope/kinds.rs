//! The keys of each kind of scaling that has a length before extension.

use super::super::keys::Keys;
use super::{Outer, factor, factor_or_quotient};
use crate::Result;
use serde_json::{Map, Value, json};

pub(super) fn yarn(
    block: &mut Keys,
    outer: &Outer,
    original: usize,
    settings: &mut Map<String, Value>,
) -> Result<()> {
    let factor = factor_or_quotient(block, outer, original)?;
    settings.insert("factor".into(), json!(factor));
    let fast = block.positive_or("beta_fast", 32.0, "turns above which a pair is kept")?;
    let slow = block.positive_or("beta_slow", 1.0, "turns below which a pair is interpolated")?;
    settings.insert("beta_fast".into(), json!(fast));
    settings.insert("beta_slow".into(), json!(slow));
    let truncate = block.switch("truncate", true, "ends of the ramp rounded to whole pairs")?;
    settings.insert("truncate".into(), json!(truncate));
    let amplitude = block.positive("attention_factor", "amplitude of cos and sin")?;
    let scales = (
        block.number("mscale", "slope of the amplitude above the line")?,
        block.number("mscale_all_dim", "slope of the amplitude below the line")?,
    );
    match (amplitude, scales) {
        (Some(amplitude), _) => {
            settings.insert("attention_factor".into(), json!(amplitude));
        }
        // The reference takes 0 for absent, and one alone for none.
        (None, (Some(above), Some(below))) if above != 0.0 && below != 0.0 => {
            settings.insert("mscale".into(), json!(above));
            settings.insert("mscale_all_dim".into(), json!(below));
        }
        _ => {}
    }
    if let Some(below) = scales
        .1
        .filter(|x| outer.family.scales_softmax && *x != 0.0)
    {
        settings.insert("mscale_all_dim".into(), json!(below));
        settings.insert("scale_softmax".into(), json!(true));
    }
    Ok(())
}

pub(super) fn longrope(
    block: &mut Keys,
    outer: &Outer,
    original: usize,
    settings: &mut Map<String, Value>,
) -> Result<()> {
    let factor = factor_or_quotient(block, outer, original)?;
    for (key, ours, meaning) in [
        (
            "long_factor",
            "long_factors",
            "divisors of frequencies past the length before extension",
        ),
        (
            "short_factor",
            "short_factors",
            "divisors of frequencies within the length before extension",
        ),
    ] {
        let list = block.numbers(key, meaning)?;
        let list = list.filter(|list| !list.is_empty());
        let list = list.ok_or_else(|| block.wrong(key, "a list of numbers", "nothing"))?;
        settings.insert(ours.into(), json!(list));
    }
    settings.insert("factor".into(), json!(factor.max(1.0)));
    let amplitude = block.positive("attention_factor", "amplitude of cos and sin")?;
    if let Some(amplitude) = amplitude {
        settings.insert("attention_factor".into(), json!(amplitude));
    }
    Ok(())
}

pub(super) fn llama3(block: &mut Keys, settings: &mut Map<String, Value>) -> Result<()> {
    settings.insert("factor".into(), json!(factor(block)?));
    for key in ["low_freq_factor", "high_freq_factor"] {
        let found = block.positive(key, "turns between which frequencies are blended")?;
        let found = found.ok_or_else(|| block.wrong(key, "a number above 0", "nothing"))?;
        settings.insert(key.into(), json!(found));
    }
    Ok(())
}
