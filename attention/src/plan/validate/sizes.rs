//! Sizes of expressions.

use crate::expr::Expr;
use crate::plan::Plan;
use crate::{Error, Result};

/// No expression of the plan is too large to be used.
pub(super) fn check_sizes(plan: &Plan) -> Result<()> {
    let small = |place: String, expr: &Expr| match expr.excess() {
        Some(why) => Err(Error::plan(place, why)),
        None => Ok(()),
    };
    small("score".into(), &plan.score)?;
    if let Some(scale) = &plan.query_scale {
        small("query_scale".into(), scale)?;
    }
    for token in &plan.tokens {
        small(format!("tokens.{}", token.name), &token.value)?;
    }
    for (p, turn) in plan.rotations.iter().enumerate() {
        for (side, rotation) in [("query", &turn.query), ("key", &turn.key)] {
            for position in rotation.position.all() {
                small(format!("rotations[{p}].{side}.position"), position)?;
            }
        }
    }
    Ok(())
}
