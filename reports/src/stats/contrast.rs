//! Ratios of sums, differences of such, and their intervals.

use super::evidence::{Evidence, Parts};
use super::{Estimate, Panel, mean, variance};

/// A ratio of sums, or a difference of such, with what each unit contributes to it (its first-order influence).
#[derive(Clone, Debug, PartialEq)]
pub struct Contrast {
    pub(super) per_seed: Vec<f64>,
    /// One row per seed, one column per unit; each row sums to zero.
    pub(super) influence: Vec<Vec<f64>>,
    /// Whether every seed has units of its own.
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
                own: (df > 0.0).then_some((sum, df)),
                units: None,
            };
        }
        if units < 2 {
            return Parts {
                seeds: between,
                ..Parts::default()
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
            own: None,
            units: Some(((of_units - both).max(0.0), u - 1.0)),
        }
    }

    /// The value with all that its interval and its test need.
    #[must_use]
    pub fn evidence(&self) -> Evidence {
        Evidence {
            value: self.value(),
            centre: self.value(),
            per_seed: self.per_seed.clone(),
            parts: vec![self.parts()],
            range: (f64::NEG_INFINITY, f64::INFINITY),
        }
    }

    /// The value with its interval. Covers at least as often as it says, with few seeds more often.
    #[must_use]
    pub fn estimate(&self, confidence: f64) -> Estimate {
        self.evidence().estimate(confidence)
    }

    /// Standard error of the value. `None` with a single unit and a single seed, or if it is not finite.
    #[must_use]
    pub fn standard_error(&self) -> Option<f64> {
        let squared = self.parts().squared_error()?;
        squared.is_finite().then(|| squared.sqrt())
    }
}
