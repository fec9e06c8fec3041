//! What the remaps share: the parts of their formulas.
//!
//! A remap gives each pair of positions a distance of its own choice: one turn per way in which distances are made, and a
//! `select` in the score that picks the raw score of the turn that is in force for the pair.

use crate::angles::Rotary;
use crate::error::{PlanError, check};
use farspan_attention::expr::{Expr, Unary, distance, number, select_less};
use farspan_attention::plan::{Positions, QkRotation, Rotation, Waves};

/// A turn with queries and keys at positions of their own.
pub(super) fn turn(
    rotary: &Rotary,
    inv_freq: &[f64],
    query: Positions,
    key: Positions,
) -> QkRotation {
    let side = |position| Rotation {
        position,
        inv_freq: inv_freq.to_vec(),
        amplitude: 1.0,
        waves: Waves::Plain,
    };
    QkRotation {
        pairing: rotary.pairing,
        query: side(query),
        key: side(key),
    }
}

/// [`turn`] with the same positions for all heads and pairs.
pub(super) fn turn_at(rotary: &Rotary, inv_freq: &[f64], query: Expr, key: Expr) -> QkRotation {
    turn(rotary, inv_freq, Positions::All(query), Positions::All(key))
}

/// A whole number.
pub(super) fn whole(x: usize) -> Expr {
    number(x as f64)
}

/// ⌊x⌋
pub(super) fn floor(x: Expr) -> Expr {
    x.unary(Unary::Floor)
}

/// x mod m
pub(super) fn modulo(x: Expr, m: usize) -> Expr {
    x.clone() - floor(x / m as f64) * m as f64
}

/// `near` where q − k < `window`, else `far`.
pub(super) fn nearer_than(window: usize, near: Expr, far: Expr) -> Expr {
    select_less(distance(), whole(window), near, far)
}

/// What hides a pair.
pub(super) fn hidden() -> Expr {
    number(f64::NEG_INFINITY)
}

/// The setting, else `usual` if that is at most half of the trained length, else that half, but never 0: windows meant
/// for models of thousands of tokens would reach past everything that a small one was trained with.
pub(super) fn at_most_half(setting: Option<usize>, usual: usize, trained: usize) -> usize {
    setting.unwrap_or(usual.min(trained / 2).max(1))
}

/// Fails if the setting is there and below `least`.
pub(super) fn at_least(key: &str, setting: Option<usize>, least: usize) -> Result<(), PlanError> {
    setting.map_or(Ok(()), |x| {
        check(key, x, &format!("at least {least}"), x >= least)
    })
}
