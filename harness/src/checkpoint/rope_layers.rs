//! Rotary keys of families that turn layers with a window by other rules than the rest: a block for each kind of layer
//! (`rope_parameters.full_attention`, `.sliding_attention`), or the keys of version 4, whose scaling is that of the layers
//! without a window (transformers 5.23, `convert_rope_params_to_dict` of the family).

use super::keys::Keys;
use super::rope::{Family, Outer, Rotary, agreed, block, of_object};
use crate::Result;

/// What layers with a window have of their own.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sliding {
    /// Their base at the top level, before version 5.
    pub(super) theta_keys: &'static [&'static str],
    /// Their base where no key gives one.
    pub(super) theta: f64,
}

/// Reads all rotary keys; `positions` is `max_position_embeddings`. Returns what layers without a window follow, then
/// those with one.
pub(super) fn read(
    keys: &mut Keys,
    family: Family,
    sliding: Sliding,
    positions: usize,
) -> Result<(Rotary, Rotary)> {
    const BASE: &str = "base of the frequencies";
    const ORIGINAL: &str = "original_max_position_embeddings";
    let outer = |theta: Option<f64>, default: f64| Outer {
        theta,
        partial: None,
        positions,
        original: None,
        family: Family {
            theta: default,
            ..family
        },
    };
    let original = keys.count(ORIGINAL, "length before extension")?;
    let theta = agreed(keys, family.theta_keys, BASE)?;
    let sliding_theta = agreed(keys, sliding.theta_keys, "base in layers with a window")?;
    let mut full = outer(theta, family.theta);
    let mut local = outer(sliding_theta, sliding.theta);
    let (mut new, mut windowed) = (None, None);
    if let Some(mut both) = keys.object("rope_parameters")? {
        new = block(&mut both, "full_attention", &mut full)?;
        windowed = block(&mut both, "sliding_attention", &mut local)?;
        keys.absorb(both, |_| None)?;
    }
    let old = match keys.object("rope_scaling")? {
        Some(old) if old.has("type") && !old.has("rope_type") => {
            let rule = "rope_type: this family's reference does not read the older name, and computes without scaling";
            return Err(old.contradicts("type", rule, "type alone"));
        }
        Some(old) => of_object(keys, old, &mut full)?,
        None => None,
    };
    let mut full = match (new, old) {
        (Some(new), Some(old)) if new != old => {
            let (new, old) = (new.positional, old.positional);
            let rule = format!("the same as rope_parameters.full_attention, {new}");
            return Err(keys.contradicts("rope_scaling", &rule, old));
        }
        (Some(found), _) | (None, Some(found)) => found,
        (None, None) => full.plain(),
    };
    match original {
        // It has no place in a block of linear scaling, which leaves the length open otherwise.
        Some(length) if full.positional.id == "pi" => {
            (full.trained_length, full.other_length) = (length, None);
        }
        Some(length) if length != full.trained_length => {
            let rule = "inside of the rope block, where this family's reference looks for it";
            return Err(keys.contradicts(ORIGINAL, rule, length));
        }
        _ => {}
    }
    Ok((full, windowed.unwrap_or_else(|| local.plain())))
}
