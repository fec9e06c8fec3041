//! What a part of a score depends on.

use crate::expr::{Expr, ParamValues, Side};

/// What a table is indexed by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Axis {
    /// Nothing: one value.
    Fixed,
    /// Query.
    Query,
    /// Key.
    Key,
    /// Key minus query, from the smallest, so that neighbouring keys are neighbours in the table.
    Distance,
}

/// The one thing that an expression depends on; `None` if it is more than one. `regular` says whether equal distances in
/// tokens are equal distances in positions.
pub(crate) fn axis(expr: &Expr, regular: bool) -> Option<Axis> {
    match expr {
        Expr::Token(_, Side::Query) => return Some(Axis::Query),
        Expr::Token(_, Side::Key) => return Some(Axis::Key),
        _ if reads_content(expr) => return None,
        _ => {}
    }
    let reads = |atom: &Expr| expr.any(&|part| part == atom);
    match (reads(&Expr::Query), reads(&Expr::Key)) {
        (false, false) => Some(Axis::Fixed),
        (true, false) => Some(Axis::Query),
        (false, true) => Some(Axis::Key),
        (true, true) => (regular && expr.is_shift_invariant()).then_some(Axis::Distance),
    }
}

/// Whether it depends on what tokens hold: on raw scores or token vectors.
pub(crate) fn reads_content(expr: &Expr) -> bool {
    expr.any(&|part| matches!(part, Expr::Raw(_) | Expr::Token(..)))
}

/// Whether it reads a parameter that is no constant.
pub(crate) fn reads_learned(expr: &Expr, constants: &ParamValues) -> bool {
    let learned = |name: &String| !constants.contains_key(name);
    expr.param_names().iter().any(learned)
}
