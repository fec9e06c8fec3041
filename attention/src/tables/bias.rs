//! What a score adds to its raw score.

use crate::Result;
use crate::expr::{Expr, ParamValues};
use std::ops::Range;

/// What is known about the score of a plan before any parameter is.
#[derive(Clone, Debug, PartialEq)]
pub enum Bias {
    /// The score is the raw score.
    None,
    /// raw + bias, where the bias depends on q − k only and on nothing learned.
    Constant(Toeplitz),
    /// raw + bias, where the bias depends on q − k only, and on learned parameters.
    Learned(Expr),
    /// raw + bias, where the bias depends on both positions.
    General(Expr),
    /// Not of this form.
    NotAdditive,
}

/// Values by q − k: \[heads, distances\], row-major.
#[derive(Clone, Debug, PartialEq)]
pub struct Toeplitz {
    /// The distances, from the smallest.
    pub distances: Range<i64>,
    /// One row per head, or a single row for all.
    pub values: Vec<f64>,
}

impl Bias {
    pub(super) fn of(
        score: &Expr,
        distances: Option<Range<i64>>,
        n: f64,
        heads: usize,
        constants: &ParamValues,
    ) -> Result<Bias> {
        let Some(bias) = score.additive_bias() else {
            return Ok(Bias::NotAdditive);
        };
        if bias == Expr::Number(0.0) {
            return Ok(Bias::None);
        }
        // A token vector has a batch axis, which a bias has not.
        if !bias.token_names().is_empty() {
            return Ok(Bias::NotAdditive);
        }
        let Some(distances) = distances.filter(|_| bias.is_shift_invariant()) else {
            return Ok(Bias::General(bias));
        };
        if !bias
            .param_names()
            .iter()
            .all(|name| constants.contains_key(name))
        {
            return Ok(Bias::Learned(bias));
        }
        let rows = if bias.depends_on_head() { heads } else { 1 };
        let mut values = Vec::new();
        for head in 0..rows {
            values.extend(bias.toeplitz(distances.clone(), n, (head, heads), constants)?);
        }
        Ok(Bias::Constant(Toeplitz { distances, values }))
    }
}

impl Toeplitz {
    /// Values of one head, by distance from the smallest.
    pub fn head(&self, head: usize) -> &[f64] {
        let len = self.len();
        let head = if self.heads() == 1 { 0 } else { head };
        &self.values[head * len..][..len]
    }

    /// Rows: 1 if all heads share one.
    pub fn heads(&self) -> usize {
        self.values.len() / self.len().max(1)
    }

    /// Number of distances.
    pub fn len(&self) -> usize {
        // `distances` never ends before it starts.
        (self.distances.end - self.distances.start) as usize
    }

    /// Whether there is no distance at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
