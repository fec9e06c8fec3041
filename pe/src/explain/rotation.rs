//! How far a rotation carries: the bound on the base, and the critical dimension.

use crate::angles::{first_negative, smallest_base, turns};
use crate::scheme::Len;
use farspan_attention::expr::Expr;
use farspan_attention::plan::{Geometry, Plan, Positions, Waves};
use serde::Serialize;

/// What theory says of a plain rotation.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RotationReach {
    /// The first distance, below the length in use, at which Σ cos(m·θ) is negative: there a key like the query stands
    /// out less than any other (arXiv 2405.14591, section 4). `None`: nowhere.
    pub first_negative_distance: Option<usize>,
    /// The smallest base of RoPE for which that does not happen within the length in use, to one percent; `None` for
    /// lengths above 32768, for which it is not searched.
    pub smallest_base: Option<f64>,
    /// Channels whose pairs make a full turn within the trained length: 2⌈(d/2)·log_b(L/2π)⌉ for RoPE's own frequencies
    /// (arXiv 2310.05209, section 3).
    pub critical_dim: usize,
}

/// Longest text for which a base is searched.
const LONGEST: usize = 1 << 15;
/// Bases that are tried; a hundredth apart.
const POINTS: usize = 2001;

/// `None` unless the plan turns queries and keys alike, by their own positions, and does nothing else to scores.
pub(super) fn carries(plan: &Plan, model: &Geometry, context_len: Len) -> Option<RotationReach> {
    let [turn] = plan.rotations.as_slice() else {
        return None;
    };
    let own = turn.query.position == Positions::All(Expr::Query)
        && turn.key.position == Positions::All(Expr::Key)
        && turn.query.inv_freq == turn.key.inv_freq
        && turn.query.waves == Waves::Plain
        && turn.key.waves == Waves::Plain;
    if !own
        || plan.score != Expr::Raw(0)
        || !plan.hooks.is_empty()
        || turn.query.inv_freq.is_empty()
    {
        return None;
    }
    let inv_freq = &turn.query.inv_freq;
    let dim = 2 * inv_freq.len();
    let within = inv_freq
        .iter()
        .filter(|theta| turns(**theta, model.trained_length) >= 1.0);
    Some(RotationReach {
        first_negative_distance: first_negative(inv_freq, context_len.0),
        smallest_base: (context_len.0 <= LONGEST)
            .then(|| smallest_base(dim, context_len.0, POINTS))
            .flatten(),
        critical_dim: 2 * within.count(),
    })
}

#[cfg(test)]
mod tests {
    use crate::angles::{critical_pair, inv_freq, turns};

    /// Counting pairs is the formula of the papers.
    #[test]
    fn pairs_that_make_a_turn_are_those_before_the_critical_one() {
        for (base, dim, trained) in [(1e4, 128, 4096), (5e5, 128, 8192), (1e4, 32, 128)] {
            let count = inv_freq(base, dim)
                .iter()
                .filter(|theta| turns(**theta, trained) >= 1.0)
                .count();
            assert_eq!(count, critical_pair(base, dim, trained));
        }
    }
}
