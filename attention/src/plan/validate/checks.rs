//! What several parts of a plan are checked for.

use crate::expr::Expr;
use crate::{Error, Result};

pub(super) fn check_finite(place: &str, values: &[f64]) -> Result<()> {
    match values.iter().position(|x| !x.is_finite()) {
        Some(i) => Err(Error::plan(
            place,
            format!("expected finite numbers, found {} at {i}", values[i]),
        )),
        None => Ok(()),
    }
}

pub(super) fn check_count(place: &str, what: &str, expected: usize, found: usize) -> Result<()> {
    if expected == found {
        return Ok(());
    }
    Err(Error::plan(
        place,
        format!("expected {expected} {what}, found {found}"),
    ))
}

pub(super) fn forbid(
    expr: &Expr,
    place: &str,
    what: &str,
    found: &dyn Fn(&Expr) -> bool,
) -> Result<()> {
    if expr.any(found) {
        return Err(Error::plan(place, format!("`{expr}` may not use {what}")));
    }
    Ok(())
}
