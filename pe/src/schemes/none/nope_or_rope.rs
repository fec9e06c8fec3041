//! What schemes stand on that turn nothing themselves: no positional encoding, or RoPE.

use crate::angles::{Rotary, inv_freq};
use crate::error::{self, PlanError};
use farspan_attention::plan::{Geometry, Plan};

/// The bounds of the setting `rope_base`.
pub(in crate::schemes) fn check(rope_base: Option<f64>) -> Result<(), PlanError> {
    rope_base.map_or(Ok(()), |base| {
        let holds = base > 1.0 && base.is_finite();
        error::check("rope_base", base, "above 1 and finite", holds)
    })
}

/// RoPE with this base, or nothing.
pub(in crate::schemes) fn plan(
    rope_base: Option<f64>,
    model: &Geometry,
) -> Result<Plan, PlanError> {
    let Some(base) = rope_base else {
        return Ok(Plan::default());
    };
    let rotary = Rotary::of_base(base);
    let inv_freq = inv_freq(base, rotary.dim(model, 2)?);
    Ok(rotary.plan(inv_freq, 1.0))
}
