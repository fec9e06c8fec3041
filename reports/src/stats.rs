//! Intervals, paired differences and corrections.
//!
//! Two things vary between repetitions of an experiment: the *unit* (the test segment that was read) and the *seed*
//! (the weights that read it). All seeds and all schemes read the same units, so the design is crossed: rows are seeds,
//! columns are units. Each source of variation enters an interval with its own number of degrees of freedom, so that
//! three seeds count as three observations, however many tokens they read.

mod contrast;
mod proportion;
#[cfg(test)]
mod tests;

pub use contrast::Contrast;
pub use proportion::{clustered, paired_shares, share, wilson};

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

/// Upper quantile of Student's t: exceeded with probability `tail` (in 0..=0.5) at `df` degrees of freedom.
#[must_use]
pub fn t_upper(tail: f64, df: f64) -> f64 {
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

/// Adjusts p values for all comparisons that were made, by Holm's step-down method (Holm 1979).
#[must_use]
pub fn holm(p: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|&a, &b| p[a].total_cmp(&p[b]));
    let mut adjusted = vec![0.0; p.len()];
    let mut worst: f64 = 0.0;
    for (rank, &i) in order.iter().enumerate() {
        worst = worst.max(p[i] * (p.len() - rank) as f64).min(1.0);
        adjusted[i] = worst;
    }
    adjusted
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

    /// The same with seeds and units counted as often as the weights say. NaN if a weight vector is all zero.
    #[must_use]
    pub fn weighted(&self, seeds: &[f64], units: &[f64]) -> f64 {
        let (mut sum, mut weight) = (0.0, 0.0);
        for (row, &w) in self.rows.iter().zip(seeds).filter(|(_, w)| **w > 0.0) {
            let (mut top, mut bottom) = (0.0, 0.0);
            for (&(numerator, denominator), &u) in row.iter().zip(units) {
                top += u * numerator;
                bottom += u * denominator;
            }
            sum += w * top / bottom;
            weight += w;
        }
        sum / weight
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

/// The smallest error rate at which an interval around `value` above 0 leaves 0 out. Its margin falls as the rate grows;
/// bisects on the logarithm between 1e-15 and 1.
fn p_value(value: f64, margin: impl Fn(f64) -> Option<f64>) -> f64 {
    let (mut low, mut high) = (1e-15_f64.ln(), 0.0);
    for _ in 0..60 {
        let middle: f64 = (low + high) / 2.0;
        match margin(middle.exp() / 2.0) {
            Some(margin) if margin > value => low = middle,
            _ => high = middle,
        }
    }
    high.exp()
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

/// Draws numbers below what is asked for. Multiply-shift: the bias is below n / 2^64.
pub(crate) fn dice(seed: u64) -> impl FnMut(usize) -> usize {
    let mut dice = ChaCha8Rng::seed_from_u64(seed);
    move |n| ((u128::from(dice.next_u64()) * n as u128) >> 64) as usize
}

/// Draws `resamples` bootstrap weights and evaluates a statistic on each; NaN results are dropped, the rest is sorted.
///
/// Units are drawn with replacement, and so are seeds if there are several; the same draw serves everything that the
/// statistic looks at, which is what pairs it. The same `seed` gives the same numbers on every machine.
pub fn bootstrap(
    (seeds, units): (usize, usize),
    resamples: usize,
    seed: u64,
    mut statistic: impl FnMut(&[f64], &[f64]) -> f64,
) -> Vec<f64> {
    let mut below = dice(seed);
    let (mut seed_weights, mut unit_weights) = (vec![1.0; seeds], vec![0.0; units]);
    let mut values = Vec::with_capacity(resamples);
    for _ in 0..resamples {
        unit_weights.fill(0.0);
        (0..units).for_each(|_| unit_weights[below(units)] += 1.0);
        if seeds > 1 {
            seed_weights.fill(0.0);
            (0..seeds).for_each(|_| seed_weights[below(seeds)] += 1.0);
        }
        let value = statistic(&seed_weights, &unit_weights);
        if !value.is_nan() {
            values.push(value);
        }
    }
    values.sort_by(f64::total_cmp);
    values
}

/// Percentile interval of the paired bootstrap for the difference `a` − `b`. `None` if the shapes differ, if there is
/// a single unit and seed, or if a value is not finite.
#[must_use]
pub fn paired_bootstrap(
    a: &Panel,
    b: &Panel,
    confidence: f64,
    resamples: usize,
    seed: u64,
) -> Option<Interval> {
    let shape = (a.seeds(), a.units());
    let finite = a.value().is_finite() && b.value().is_finite();
    if shape != (b.seeds(), b.units()) || shape == (1, 1) || !finite {
        return None;
    }
    let draws = bootstrap(shape, resamples, seed, |s, u| {
        a.weighted(s, u) - b.weighted(s, u)
    });
    let tail = (1.0 - confidence) / 2.0;
    Some(Interval {
        low: percentile(&draws, tail)?,
        high: percentile(&draws, 1.0 - tail)?,
    })
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
