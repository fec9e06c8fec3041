//! Ratios of sums, differences of such, and their intervals.

use super::{Estimate, Panel, around, mean, p_value, t_upper, variance};

/// A ratio of sums, or a difference of such, with what each unit contributes to it (its first-order influence).
#[derive(Clone, Debug, PartialEq)]
pub struct Contrast {
    pub(super) per_seed: Vec<f64>,
    /// One row per seed, one column per unit; each row sums to zero.
    pub(super) influence: Vec<Vec<f64>>,
    /// Whether every seed has units of its own.
    pub(super) nested: bool,
}

/// Squared standard errors, each with its degrees of freedom.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parts {
    /// Between seeds.
    pub(super) seeds: Option<(f64, f64)>,
    /// Between units, as far as the part between seeds does not hold it.
    pub(super) units: Option<(f64, f64)>,
    /// Whether the part between seeds holds that between units: then the larger counts, else the sum.
    pub(super) nested: bool,
}

impl Contrast {
    /// Of units that are others in every seed: (numerator, denominator) pairs, one row per seed. `None` without a row or
    /// if the denominators of one sum to nothing.
    #[must_use]
    pub fn nested(rows: Vec<Vec<(f64, f64)>>) -> Option<Contrast> {
        let parts = rows.into_iter().map(|row| Panel::new(vec![row]));
        let parts: Vec<Contrast> = parts.map(|p| Some(p?.contrast())).collect::<Option<_>>()?;
        (!parts.is_empty()).then(|| Contrast {
            per_seed: parts.iter().flat_map(|p| p.per_seed.clone()).collect(),
            influence: parts.into_iter().flat_map(|p| p.influence).collect(),
            nested: true,
        })
    }

    /// This times a factor.
    #[must_use]
    pub fn times(mut self, factor: f64) -> Contrast {
        let all = self.influence.iter_mut().flatten();
        all.chain(&mut self.per_seed).for_each(|x| *x *= factor);
        self
    }

    /// This minus `other`, paired by seed and unit. `None` if the two do not have the same shape.
    #[must_use]
    pub fn minus(&self, other: &Contrast) -> Option<Contrast> {
        let apart = self.nested || other.nested;
        if apart { None } else { self.paired(other) }
    }

    /// This minus `other`, which asked the same units in every seed, be they other units in each: two schemes. `None` if the
    /// two do not have the same shape.
    #[must_use]
    pub fn paired(&self, other: &Contrast) -> Option<Contrast> {
        let shape = |c: &Contrast| c.influence.iter().map(Vec::len).collect::<Vec<_>>();
        if shape(self) != shape(other) || self.nested != other.nested {
            return None;
        }
        let rows = self.influence.iter().zip(&other.influence);
        Some(Contrast {
            nested: self.nested,
            per_seed: self
                .per_seed
                .iter()
                .zip(&other.per_seed)
                .map(|(a, b)| a - b)
                .collect(),
            influence: rows
                .map(|(a, b)| a.iter().zip(b).map(|(a, b)| a - b).collect())
                .collect(),
        })
    }

    /// Mean over seeds.
    #[must_use]
    pub fn value(&self) -> f64 {
        mean(&self.per_seed)
    }

    pub(super) fn parts(&self) -> Parts {
        let (seeds, units) = (self.per_seed.len(), self.influence[0].len());
        let (s, u) = (seeds as f64, units as f64);
        let between = variance(&self.per_seed).map(|v| (v / s, s - 1.0));
        if self.nested {
            let rows = self.influence.iter().filter(|row| row.len() > 1);
            let of = |row: &Vec<f64>| {
                let n = row.len() as f64;
                (
                    row.iter().map(|z| z * z).sum::<f64>() / (n * (n - 1.0)) / (s * s),
                    n - 1.0,
                )
            };
            let (sum, df) = rows
                .map(of)
                .fold((0.0, 0.0), |(v, n), x| (v + x.0, n + x.1));
            return Parts {
                seeds: between,
                units: (df > 0.0).then_some((sum, df)),
                nested: true,
            };
        }
        if units < 2 {
            return Parts {
                seeds: between,
                units: None,
                nested: false,
            };
        }
        let column = |i: usize| self.influence.iter().map(|row| row[i]).sum::<f64>() / s;
        let means: Vec<f64> = (0..units).map(column).collect();
        let of_units = means.iter().map(|z| z * z).sum::<f64>() / (u * (u - 1.0));
        // What seeds and units do together is in both parts; it is counted with the seeds.
        let residual = |row: &Vec<f64>| {
            row.iter()
                .zip(&means)
                .map(|(z, m)| (z - m).powi(2))
                .sum::<f64>()
        };
        let both = match seeds {
            1 => 0.0,
            _ => {
                self.influence.iter().map(residual).sum::<f64>() / ((s - 1.0) * (u - 1.0)) / (s * u)
            }
        };
        Parts {
            seeds: between,
            units: Some(((of_units - both).max(0.0), u - 1.0)),
            nested: false,
        }
    }

    /// Distance from the value to an end of its interval that is missed with probability `tail`.
    fn margin(parts: Parts, tail: f64) -> Option<f64> {
        let part = |p: Option<(f64, f64)>| p.map_or(0.0, |(v, df)| t_upper(tail, df).powi(2) * v);
        if parts.seeds.is_none() && parts.units.is_none() {
            return None;
        }
        let (seeds, units) = (part(parts.seeds), part(parts.units));
        let squared = if parts.nested {
            seeds.max(units)
        } else {
            seeds + units
        };
        squared.is_finite().then(|| squared.sqrt())
    }

    /// The value with its interval. Covers at least as often as it says, with few seeds more often.
    #[must_use]
    pub fn estimate(&self, confidence: f64) -> Estimate {
        around(
            self.value(),
            Contrast::margin(self.parts(), (1.0 - confidence) / 2.0),
        )
    }

    /// Standard error of the value. `None` with a single unit and a single seed, or if it is not finite.
    #[must_use]
    pub fn standard_error(&self) -> Option<f64> {
        let parts = self.parts();
        if parts.seeds.is_none() && parts.units.is_none() {
            return None;
        }
        let (seeds, units) = (
            parts.seeds.map_or(0.0, |p| p.0),
            parts.units.map_or(0.0, |p| p.0),
        );
        let squared = if parts.nested {
            seeds.max(units)
        } else {
            seeds + units
        };
        squared.is_finite().then(|| squared.sqrt())
    }

    /// Two-sided p value of "the true value is 0": the smallest error rate at which the interval leaves 0 out.
    #[must_use]
    pub fn p(&self) -> Option<f64> {
        let (value, parts) = (self.value().abs(), self.parts());
        if !value.is_finite() {
            return None;
        }
        Contrast::margin(parts, 0.25)?;
        if value == 0.0 {
            return Some(1.0);
        }
        Some(p_value(value, |tail| Contrast::margin(parts, tail)))
    }

    /// This minus `other`, of other units: the difference with its interval, and the p value of "no difference". The
    /// squares of the two margins are added.
    #[must_use]
    pub fn apart(&self, other: &Contrast, confidence: f64) -> (Estimate, Option<f64>) {
        let value = self.value() - other.value();
        let (a, b) = (self.parts(), other.parts());
        let margin = |tail| Some(Contrast::margin(a, tail)?.hypot(Contrast::margin(b, tail)?));
        let known = value.is_finite() && margin(0.25).is_some();
        let p = known.then(|| {
            if value == 0.0 {
                1.0
            } else {
                p_value(value.abs(), margin)
            }
        });
        (around(value, margin((1.0 - confidence) / 2.0)), p)
    }
}
