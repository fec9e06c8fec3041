//! Extensions of the bias family: a trained bias read at other distances, or sharpened.

pub mod aligned;
pub mod ntk_bias;
pub mod pi_bias;

use crate::card::Family;
use crate::error::PlanError;
use crate::over::Over;
use crate::registry::Entry;
use crate::scheme::Len;
use farspan_attention::expr::{Expr, distance, number};
use farspan_attention::plan::{Geometry, Plan};

/// In the order in which lists show them.
pub(crate) const ENTRIES: &[Entry] = &[
    Entry::of::<pi_bias::PiBias>(),
    Entry::of::<ntk_bias::NtkBias>(),
    Entry::of::<aligned::Aligned>(),
];

/// The base's plan and what it adds to the raw score. Fails in words for a base that does anything else with positions.
fn additive(over: &Over, model: &Geometry, context_len: Len) -> Result<(Plan, Expr), PlanError> {
    let base = over.scheme(Family::Bias)?;
    let plan = base.plan(model, context_len)?;
    let refuse = |why: &str| {
        let id = base.id();
        let rule = format!("a bias by distance that is added to the scores; {id} {why}");
        Err(over.wrong(&rule, String::new()))
    };
    if !plan.hooks.is_empty() || !plan.rotations.is_empty() || plan.query_scale.is_some() {
        return refuse("changes scores in another way as well");
    }
    match plan.score.additive_bias() {
        Some(bias) if bias.has_position() => Ok((plan, bias)),
        Some(_) => refuse("adds nothing that depends on positions"),
        None => refuse("multiplies scores, so that its strength depends on them"),
    }
}

/// `bias` with all positions divided by `stretch`, one number or one for each head.
fn stretched(bias: &Expr, stretch: &Expr) -> Expr {
    if bias.is_shift_invariant() {
        // In this form kernels see that it depends on distances alone.
        return bias
            .at(&(distance() / stretch.clone()), &number(0.0))
            .simplified();
    }
    let (query, key) = (Expr::Query / stretch.clone(), Expr::Key / stretch.clone());
    bias.at(&query, &key)
}
