//! A value with all that its interval and its test need. Both ask the same margin, so that an interval leaves 0 out exactly
//! where its p value is at most the error rate of the interval.

use super::{Estimate, Interval, around, t_upper, variance};

/// Squared standard errors of a value, each with its degrees of freedom; none where only one was seen.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Parts {
    /// Between seeds.
    pub(super) seeds: Option<(f64, f64)>,
    /// Between units that each seed has of its own: the part between seeds holds it, so that the larger of both counts.
    pub(super) own: Option<(f64, f64)>,
    /// Between units that all seeds share, as far as the part between seeds does not hold it.
    pub(super) units: Option<(f64, f64)>,
}

impl Parts {
    /// Square of the distance to an end that is missed with probability `tail`; none if nothing was seen twice.
    pub(super) fn squared_margin(self, tail: f64) -> Option<f64> {
        self.summed(|v, df| match v > 0.0 {
            true => t_upper(tail, df).powi(2) * v,
            false => 0.0,
        })
    }

    /// Square of the standard error.
    pub(super) fn squared_error(self) -> Option<f64> {
        self.summed(|v, _| v)
    }

    fn summed(self, of: impl Fn(f64, f64) -> f64) -> Option<f64> {
        let part = |p: Option<(f64, f64)>| p.map_or(0.0, |(v, df)| of(v, df));
        let seen = self.seeds.or(self.own).or(self.units).is_some();
        // NaN must not be lost in the larger of two.
        let (seeds, own) = (part(self.seeds), part(self.own));
        let held = if own.is_nan() { own } else { seeds.max(own) };
        seen.then(|| held + part(self.units))
    }
}

/// A value, or a difference of values, with the variances that its interval and its test rest on.
#[derive(Clone, Debug, PartialEq)]
pub struct Evidence {
    pub(super) value: f64,
    /// The middle of the interval; of shares it lies a little nearer to the middle of their range.
    pub(super) centre: f64,
    pub(super) per_seed: Vec<f64>,
    /// Of independent sources: the squares of their margins are added.
    pub(super) parts: Vec<Parts>,
    /// What the value cannot leave.
    pub(super) range: (f64, f64),
}

impl Evidence {
    /// The point estimate.
    #[must_use]
    pub fn value(&self) -> f64 {
        self.value
    }

    /// Number of seeds.
    #[must_use]
    pub fn seeds(&self) -> usize {
        self.per_seed.len()
    }

    /// The same of a value that lies between two others. Cutting off what cannot be true costs an interval no coverage.
    #[must_use]
    pub fn within(self, low: f64, high: f64) -> Evidence {
        Evidence {
            range: (low, high),
            ..self
        }
    }

    fn margin(&self, tail: f64) -> Option<f64> {
        let all = self.parts.iter().map(|p| p.squared_margin(tail));
        let squared = all.sum::<Option<f64>>()?;
        (squared.is_finite() && !self.parts.is_empty()).then(|| squared.sqrt())
    }

    /// The value with its interval; none if the value is not finite, or nothing was seen twice.
    #[must_use]
    pub fn estimate(&self, confidence: f64) -> Estimate {
        let found = around(self.centre, self.margin((1.0 - confidence) / 2.0));
        let inside = |i: Interval| Interval {
            low: i.low.max(self.range.0).min(self.value),
            high: i.high.min(self.range.1).max(self.value),
        };
        Estimate {
            value: self.value,
            interval: found
                .interval
                .filter(|_| self.value.is_finite())
                .map(inside),
        }
    }

    /// Two-sided p value of "the true value is 0": the smallest error rate at which the interval leaves 0 out.
    #[must_use]
    pub fn p(&self) -> Option<f64> {
        self.margin(0.25).filter(|_| self.value.is_finite())?;
        let distance = self.centre.abs();
        if distance == 0.0 {
            return Some(1.0);
        }
        // The margin falls as the error rate grows; logarithms of both make it nearly straight. False position from 1e-15 to 1,
        // where the weight of an end that stays is halved (Illinois); halves the range while an end is infinite.
        let lack = |rate: f64| {
            let margin = self.margin(rate.exp() / 2.0).unwrap_or(f64::INFINITY);
            (distance / margin).ln()
        };
        let first = 1e-15_f64.ln();
        let (mut low, mut high) = ((first, lack(first)), (0.0, f64::INFINITY));
        if low.1 >= 0.0 {
            return Some(1e-15);
        }
        let mut kept = 0;
        for _ in 0..100 {
            let middle = match low.1.is_finite() && high.1.is_finite() {
                true => high.0 - high.1 * (high.0 - low.0) / (high.1 - low.1),
                false => (low.0 + high.0) / 2.0,
            };
            let found = lack(middle);
            if found.abs() < 1e-13 || high.0 - low.0 < 1e-13 {
                return Some(middle.exp());
            }
            if found < 0.0 {
                low = (middle, found);
                kept = i32::max(kept, 0) + 1;
                high.1 /= if kept > 1 { 2.0 } else { 1.0 };
            } else {
                high = (middle, found);
                kept = i32::min(kept, 0) - 1;
                low.1 /= if kept < -1 { 2.0 } else { 1.0 };
            }
        }
        Some(((low.0 + high.0) / 2.0).exp())
    }

    /// A value that is known, of so many seeds.
    #[must_use]
    pub fn constant(value: f64, seeds: usize) -> Evidence {
        Evidence {
            value,
            centre: value,
            per_seed: vec![value; seeds],
            parts: Vec::new(),
            range: (value, value),
        }
    }

    /// The sum of values of other units and other seeds. None without a value.
    #[must_use]
    pub fn independent(all: &[Evidence]) -> Option<Evidence> {
        let [one] = all else {
            let total = |of: fn(&Evidence) -> f64| all.iter().map(of).sum::<f64>();
            return (!all.is_empty()).then(|| Evidence {
                value: total(|e| e.value),
                centre: total(|e| e.centre),
                per_seed: Vec::new(),
                parts: all.iter().flat_map(|e| e.parts.clone()).collect(),
                range: (total(|e| e.range.0), total(|e| e.range.1)),
            });
        };
        Some(one.clone())
    }

    /// This minus `other`, of other units: the squares of the two margins are added. None if seeds differ in number.
    #[must_use]
    pub fn apart(&self, other: &Evidence) -> Option<Evidence> {
        (self.seeds() == other.seeds()).then(|| Evidence {
            value: self.value - other.value,
            centre: self.centre - other.centre,
            per_seed: self
                .per_seed
                .iter()
                .zip(&other.per_seed)
                .map(|(a, b)| a - b)
                .collect(),
            parts: self.parts.iter().chain(&other.parts).copied().collect(),
            range: (self.range.0 - other.range.1, self.range.1 - other.range.0),
        })
    }

    /// A weighted sum of values with the same seeds, each of units of its own; with `shared`, of the same units, where the
    /// standard errors are added, as if they went wholly together. The variance between seeds is that of the sums of each
    /// seed, so what all terms of a seed have in common counts in full. Degrees of freedom after Satterthwaite (1946).
    ///
    /// None without a term, or if seeds differ in number.
    #[must_use]
    pub fn sum(terms: &[(f64, Evidence)], shared: bool) -> Option<Evidence> {
        let seeds = terms.first()?.1.seeds();
        if terms.iter().any(|(_, e)| e.seeds() != seeds) {
            return None;
        }
        let total =
            |of: &dyn Fn(&Evidence) -> f64| terms.iter().map(|(w, e)| w * of(e)).sum::<f64>();
        let per_seed: Vec<f64> = (0..seeds).map(|s| total(&|e| e.per_seed[s])).collect();
        // The parts of all terms that `pick` names, with their weights.
        let of_units = |pick: fn(&Parts) -> Option<(f64, f64)>| {
            let parts = |(w, e): &(f64, Evidence)| {
                let of = e.parts.iter().filter_map(pick);
                of.map(|(v, df)| (w * w * v, df)).collect::<Vec<_>>()
            };
            together(&terms.iter().flat_map(parts).collect::<Vec<_>>(), shared)
        };
        let ends = |of: fn(&Evidence) -> f64| total(&of);
        let range = match terms.iter().all(|(w, _)| *w >= 0.0) {
            true => (ends(|e| e.range.0), ends(|e| e.range.1)),
            false => (f64::NEG_INFINITY, f64::INFINITY),
        };
        Some(Evidence {
            value: total(&|e| e.value),
            centre: total(&|e| e.centre),
            parts: vec![Parts {
                seeds: variance(&per_seed).map(|v| (v / seeds as f64, seeds as f64 - 1.0)),
                own: of_units(|p| p.own),
                units: of_units(|p| p.units),
            }],
            per_seed,
            range,
        })
    }
}

/// Squared standard errors of the terms of a sum, as one with its degrees of freedom.
fn together(all: &[(f64, f64)], shared: bool) -> Option<(f64, f64)> {
    let least = all.iter().map(|p| p.1).min_by(f64::total_cmp)?;
    let sum: f64 = all.iter().map(|p| p.0).sum();
    if shared {
        return Some((all.iter().map(|p| p.0.sqrt()).sum::<f64>().powi(2), least));
    }
    let squares: f64 = all.iter().map(|(v, df)| v * v / df).sum();
    Some((
        sum,
        if squares > 0.0 {
            sum * sum / squares
        } else {
            least
        },
    ))
}
