//! Intervals, paired differences and corrections.
//!
//! A value's interval and its test come from one [`Evidence`], so that they cannot contradict each other; where many are
//! compared, both are simultaneous (Bonferroni).
//!
//! Two things vary between repetitions of an experiment: the *unit* (the test segment that was read) and the *seed*
//! (the weights that read it). All seeds and all schemes read the same units, so the design is crossed: rows are seeds,
//! columns are units. Each source of variation enters an interval with its own number of degrees of freedom, so that
//! three seeds count as three observations, however many tokens they read.

mod contrast;
mod design;
mod evidence;
mod proportion;
#[cfg(test)]
mod tests;

pub use contrast::Contrast;
pub use design::Design;
pub use evidence::Evidence;
pub use proportion::{clustered, paired_shares, share, share_evidence, wilson};

use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore, SeedableRng};
use serde::Serialize;
use statrs::distribution::{Continuous, ContinuousCDF, Normal, StudentsT};

/// A confidence interval. Both ends are in the unit of the value it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

impl Interval {
    /// The interval of an increasing function of the value.
    #[must_use]
    pub fn map(self, f: impl Fn(f64) -> f64) -> Interval {
        Interval {
            low: f(self.low),
            high: f(self.high),
        }
    }

    /// Whether `x` lies in it, ends included.
    #[must_use]
    pub fn contains(self, x: f64) -> bool {
        (self.low..=self.high).contains(&x)
    }
}

/// A value with its interval; no interval where none can be computed (a single unit, or a non-finite value).
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Estimate {
    /// Point estimate.
    pub value: f64,
    /// At the run's confidence.
    pub interval: Option<Interval>,
}

impl Estimate {
    /// The estimate of an increasing function of the value.
    #[must_use]
    pub fn map(self, f: impl Fn(f64) -> f64) -> Estimate {
        Estimate {
            value: f(self.value),
            interval: self.interval.map(|i| i.map(&f)),
        }
    }
}

/// Upper quantile of Student's t: exceeded with probability `tail` (in 0..=0.5) at `df` degrees of freedom, which may be
/// infinite.
#[must_use]
pub fn t_upper(tail: f64, df: f64) -> f64 {
    if df > 1e5 {
        // Where the library's inverse no longer ends: two terms of the series (Abramowitz and Stegun 26.7.5).
        let z = z_upper(tail);
        let second = (5.0 * z.powi(5) + 16.0 * z.powi(3) + 3.0 * z) / (96.0 * df * df);
        return z + (z.powi(3) + z) / (4.0 * df) + second;
    }
    match StudentsT::new(0.0, 1.0, df) {
        // The library's inverse is good to about nine digits; one Newton step makes them all good.
        Ok(t) if tail > 0.0 && tail < 0.5 => {
            let rough = -t.inverse_cdf(tail);
            rough + (t.sf(rough) - tail) / t.pdf(rough)
        }
        Ok(_) if tail >= 0.5 => 0.0,
        Ok(_) | Err(_) => f64::INFINITY,
    }
}

/// Upper quantile of the standard normal: exceeded with probability `tail`.
#[must_use]
pub fn z_upper(tail: f64) -> f64 {
    -Normal::standard().inverse_cdf(tail.clamp(0.0, 1.0))
}

/// Mean of independent values with its t interval.
#[must_use]
pub fn mean_interval(xs: &[f64], confidence: f64) -> Estimate {
    let (mean, variance) = (mean(xs), variance(xs));
    let n = xs.len() as f64;
    let half = variance.map(|v| t_upper((1.0 - confidence) / 2.0, n - 1.0) * (v / n).sqrt());
    around(mean, half)
}

/// The confidence that each of so many intervals needs, so that all hold together with `confidence` (Bonferroni).
#[must_use]
pub fn simultaneous(confidence: f64, comparisons: usize) -> f64 {
    1.0 - (1.0 - confidence) / comparisons.max(1) as f64
}

/// The value below which a share `q` of `sorted` lies, interpolated linearly between neighbours.
///
/// `None` for an empty list.
#[must_use]
pub fn percentile(sorted: &[f64], q: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let at = q.clamp(0.0, 1.0) * last as f64;
    let (below, part) = (at.floor() as usize, at.fract());
    let above = (below + 1).min(last);
    Some(if part == 0.0 {
        sorted[below]
    } else {
        sorted[below] + part * (sorted[above] - sorted[below])
    })
}

/// Sums of a ratio (nats over tokens): one row per seed, one column per unit.
#[derive(Clone, Debug, PartialEq)]
pub struct Panel {
    rows: Vec<Vec<(f64, f64)>>,
}

impl Panel {
    /// A panel of (numerator, denominator) pairs. `None` if there is no row, if rows differ in length or are empty, or
    /// if a row's denominators sum to nothing.
    #[must_use]
    pub fn new(rows: Vec<Vec<(f64, f64)>>) -> Option<Panel> {
        let units = rows.first()?.len();
        let whole = |row: &Vec<(f64, f64)>| {
            row.len() == units && row.iter().map(|x| x.1).sum::<f64>() > 0.0
        };
        (units > 0 && rows.iter().all(whole)).then_some(Panel { rows })
    }

    /// Number of seeds.
    #[must_use]
    pub fn seeds(&self) -> usize {
        self.rows.len()
    }

    /// Number of units.
    #[must_use]
    pub fn units(&self) -> usize {
        self.rows[0].len()
    }

    /// Ratio of sums, mean over seeds.
    #[must_use]
    pub fn value(&self) -> f64 {
        mean(&self.rows.iter().map(|row| ratio(row)).collect::<Vec<_>>())
    }

    /// The value with everything that its interval needs.
    #[must_use]
    pub fn contrast(&self) -> Contrast {
        let per_seed: Vec<f64> = self.rows.iter().map(|row| ratio(row)).collect();
        let influence = self.rows.iter().zip(&per_seed).map(|(row, &value)| {
            let size = row.iter().map(|x| x.1).sum::<f64>() / row.len() as f64;
            row.iter()
                .map(|&(top, bottom)| (top - value * bottom) / size)
                .collect()
        });
        Contrast {
            influence: influence.collect(),
            per_seed,
            nested: false,
        }
    }

    /// The value with its interval.
    #[must_use]
    pub fn estimate(&self, confidence: f64) -> Estimate {
        self.contrast().estimate(confidence)
    }
}

fn ratio(row: &[(f64, f64)]) -> f64 {
    let (top, bottom) = row.iter().fold((0.0, 0.0), |(t, b), x| (t + x.0, b + x.1));
    top / bottom
}

/// `a` minus `factor` times `b`, two estimates of other units, with an interval from theirs: each of its ends takes the
/// distances that lead away from the difference, squared and added (Newcombe 1998; Zou and Donner 2008).
#[must_use]
pub fn combined(a: Estimate, b: Estimate, factor: f64) -> Estimate {
    let value = a.value - factor * b.value;
    let ends = a.interval.zip(b.interval).map(|(i, j)| Interval {
        low: value - (a.value - i.low).hypot(factor * (j.high - b.value)),
        high: value + (i.high - a.value).hypot(factor * (b.value - j.low)),
    });
    Estimate {
        value,
        interval: ends.filter(|i| i.low.is_finite() && i.high.is_finite()),
    }
}

/// Spearman's rank correlation: Pearson's of the ranks, where equal values share the mean of theirs. None where there are
/// fewer than two pairs or one side is all alike.
#[must_use]
pub fn spearman(pairs: &[(f64, f64)]) -> Option<f64> {
    let ranks = |of: fn(&(f64, f64)) -> f64| -> Vec<f64> {
        let values: Vec<f64> = pairs.iter().map(of).collect();
        let rank = |x: &f64| {
            let below = values.iter().filter(|y| *y < x).count() as f64;
            let equal = values.iter().filter(|y| *y == x).count() as f64;
            below + (equal + 1.0) / 2.0
        };
        values.iter().map(rank).collect()
    };
    let (a, b) = (ranks(|p| p.0), ranks(|p| p.1));
    let (x, y) = (mean(&a), mean(&b));
    let sum =
        |f: &dyn Fn(f64, f64) -> f64| a.iter().zip(&b).map(|(a, b)| f(a - x, b - y)).sum::<f64>();
    let spread = (sum(&|a, _| a * a) * sum(&|_, b| b * b)).sqrt();
    (spread > 0.0).then(|| sum(&|a, b| a * b) / spread)
}

/// Draws numbers below what is asked for. Multiply-shift: the bias is below n / 2^64.
pub(crate) fn dice(seed: u64) -> impl FnMut(usize) -> usize {
    let mut dice = ChaCha8Rng::seed_from_u64(seed);
    move |n| ((u128::from(dice.next_u64()) * n as u128) >> 64) as usize
}

/// Arithmetic mean; NaN for an empty list.
#[must_use]
pub fn mean(xs: &[f64]) -> f64 {
    xs.iter().sum::<f64>() / xs.len() as f64
}

/// Sample variance; `None` below two values.
fn variance(xs: &[f64]) -> Option<f64> {
    let m = mean(xs);
    (xs.len() > 1).then(|| xs.iter().map(|x| (x - m).powi(2)).sum::<f64>() / (xs.len() - 1) as f64)
}

fn around(value: f64, half: Option<f64>) -> Estimate {
    let interval = half
        .filter(|h| h.is_finite() && value.is_finite())
        .map(|h| Interval {
            low: value - h,
            high: value + h,
        });
    Estimate { value, interval }
}
