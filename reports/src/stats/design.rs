//! What a design can show, known before anything is measured.

use super::{simultaneous, t_upper};
use serde::Serialize;

/// A ratio above which a design counts as showing nothing: a difference of ten times the spread needs no statistics.
const MOST: f64 = 10.0;

/// Schemes compared over seeds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Design {
    /// Seeds that both sides of a comparison have.
    pub seeds: usize,
    /// How many comparisons are made at once.
    pub comparisons: usize,
    /// Confidence of all their intervals together.
    pub confidence: f64,
}

impl Design {
    /// The least difference that its interval can leave 0 out of, in standard deviations of the difference between seeds:
    /// t / √seeds, with t at 1 − confidence over twice the number of comparisons. Infinite with one seed. More test units
    /// cannot make it smaller.
    #[must_use]
    pub fn least(self) -> f64 {
        let Some(freedom) = self.seeds.checked_sub(1).filter(|&n| n > 0) else {
            return f64::INFINITY;
        };
        let tail = (1.0 - simultaneous(self.confidence, self.comparisons)) / 2.0;
        t_upper(tail, freedom as f64) / (self.seeds as f64).sqrt()
    }

    /// Whether a difference can be shown at all: [`least`](Design::least) is at most 10.
    #[must_use]
    pub fn shows(self) -> bool {
        self.least() <= MOST
    }

    /// The least number of seeds that show something.
    #[must_use]
    pub fn enough(self) -> usize {
        let with = |seeds: usize| Design { seeds, ..self };
        (2..).find(|&n| with(n).shows()).unwrap_or(usize::MAX)
    }
}
