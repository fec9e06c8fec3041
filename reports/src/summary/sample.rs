//! The units of one curve at one length, and the estimates that they give.

use super::MeasureInfo;
use super::group::Group;
use crate::record::{PointRecord, Samples, Scale};
use crate::stats::{Contrast, Estimate, Evidence, Panel, clustered, mean, share, share_evidence};

/// The points of each seed, ordered by the values of the factors.
#[derive(Clone)]
pub(super) struct Sample<'a> {
    samples: Samples,
    scale: Scale,
    pub(super) seeds: Vec<(u64, Vec<&'a PointRecord>)>,
}

impl<'a> Sample<'a> {
    /// Everything at a length; `None` if no seed has it.
    pub(super) fn at(group: &Group<'a>, info: &MeasureInfo, length: usize) -> Option<Sample<'a>> {
        let of = |(seed, record): (u64, &'a crate::record::MeasureRecord)| {
            let mut points: Vec<&PointRecord> = record
                .points
                .iter()
                .filter(|p| p.length == length)
                .collect();
            points.sort_by(|a, b| a.at.partial_cmp(&b.at).unwrap_or(std::cmp::Ordering::Equal));
            (seed, points)
        };
        let seeds = group.measured(info).map(of).collect();
        let (samples, scale) = (info.record.samples, info.record.scale);
        Sample {
            samples,
            scale,
            seeds,
        }
        .kept()
    }

    fn kept(mut self) -> Option<Sample<'a>> {
        self.seeds.retain(|(_, points)| !points.is_empty());
        (!self.seeds.is_empty()).then_some(self)
    }

    /// The points that are asked for.
    pub(super) fn only(&self, wanted: impl Fn(&PointRecord) -> bool) -> Option<Sample<'a>> {
        let mut found = self.clone();
        found
            .seeds
            .iter_mut()
            .for_each(|(_, points)| points.retain(|p| wanted(p)));
        found.kept()
    }

    /// Of these seeds; `None` if one lacks it.
    pub(super) fn of_seeds(&self, wanted: &[u64]) -> Option<Sample<'a>> {
        let mut found = self.clone();
        found.seeds.retain(|(seed, _)| wanted.contains(seed));
        (found.seeds.len() == wanted.len()).then_some(found)
    }

    pub(super) fn seeds(&self) -> Vec<u64> {
        self.seeds.iter().map(|s| s.0).collect()
    }

    pub(super) fn points(&self) -> impl Iterator<Item = &'a PointRecord> + '_ {
        self.seeds.iter().flat_map(|s| s.1.iter().copied())
    }

    /// Units of a seed; the smallest number where they differ. Of a panel the same units are read at every point.
    pub(super) fn units(&self) -> usize {
        let of = |points: &[&PointRecord]| match self.samples {
            Samples::Panel => points.first().map_or(0, |p| p.value.len()),
            Samples::Trials | Samples::Sums => points.iter().map(|p| p.value.len()).sum(),
        };
        self.seeds.iter().map(|s| of(&s.1)).min().unwrap_or(0)
    }

    /// Sum of the values and of the weights over all seeds.
    pub(super) fn totals(&self) -> (f64, f64) {
        let pairs = self
            .points()
            .flat_map(|p| pairs(p, "", "").unwrap_or_default());
        pairs.fold((0.0, 0.0), |(v, w), x| (v + x.0, w + x.1))
    }

    /// Mean of each column that every point has, over all units.
    pub(super) fn columns(&self) -> Vec<(String, f64)> {
        let names = self
            .points()
            .next()
            .into_iter()
            .flat_map(|p| p.columns.keys());
        let of = |name: &String| {
            let all: Option<Vec<&Vec<f64>>> = self
                .points()
                .map(|p| p.columns.get(name).map(|c| &c.0))
                .collect();
            let all: Vec<f64> = all?.into_iter().flatten().copied().collect();
            Some((name.clone(), mean(&all)))
        };
        names.filter_map(of).collect()
    }

    /// One row per seed, of a column over another (empty: value and weight). The points of a panel are added up unit by
    /// unit; `None` if they do not have the same units, or no such column.
    fn rows(&self, value: &str, weight: &str) -> Option<Vec<Vec<(f64, f64)>>> {
        let row = |points: &Vec<&PointRecord>| {
            let mut all = points.iter().map(|p| pairs(p, value, weight));
            let mut row = all.next()??;
            for more in all {
                let more = more?;
                match self.samples {
                    Samples::Panel if more.len() != row.len() => return None,
                    Samples::Panel => row
                        .iter_mut()
                        .zip(more)
                        .for_each(|(a, b)| *a = (a.0 + b.0, a.1 + b.1)),
                    Samples::Trials | Samples::Sums => row.extend(more),
                }
            }
            Some(row)
        };
        self.seeds.iter().map(|(_, points)| row(points)).collect()
    }

    fn contrast_of(&self, value: &str, weight: &str) -> Option<Contrast> {
        let rows = self.rows(value, weight)?;
        match self.samples {
            Samples::Panel => Panel::new(rows).map(|p| p.contrast()),
            Samples::Trials | Samples::Sums => Contrast::nested(rows),
        }
    }

    /// The mean with what each unit adds to it.
    pub(super) fn contrast(&self) -> Option<Contrast> {
        self.contrast_of("", "")
    }

    /// The mean with all that the interval of a sum of means needs. Of shares it does not collapse where all units are alike.
    pub(super) fn evidence(&self) -> Option<Evidence> {
        let found = self.contrast()?;
        let spread = found.standard_error().is_some_and(|error| error > 0.0);
        match (self.samples, self.scale) {
            (Samples::Panel, Scale::Share) if spread => Some(found.evidence().within(0.0, 1.0)),
            (_, Scale::Share) => share_evidence(&self.rows("", "")?),
            _ => Some(found.evidence()),
        }
    }

    /// The mean; `None` if seeds do not have the same units where they should.
    pub(super) fn mean(&self, confidence: f64) -> Option<Estimate> {
        if self.samples == Samples::Trials {
            let hits = |points: &Vec<&PointRecord>| {
                let all = || points.iter().flat_map(|p| &p.value);
                (all().filter(|&&x| x > 0.5).count(), all().count())
            };
            let counts: Vec<_> = self.seeds.iter().map(|(_, points)| hits(points)).collect();
            return Some(share(&counts, confidence));
        }
        let contrast = self.contrast()?;
        Some(self.estimate(&contrast, self.scale, self.totals().1, confidence))
    }

    /// A ratio with its interval; of a share it stays inside 0..=1, with at most so many answers counted.
    fn estimate(&self, found: &Contrast, scale: Scale, answers: f64, confidence: f64) -> Estimate {
        match scale {
            Scale::Share => clustered(found, self.units(), answers, confidence),
            Scale::Exp | Scale::Plain => found.estimate(confidence),
        }
    }

    /// Another number from the same units.
    pub(super) fn also(
        &self,
        what: &crate::record::AlsoRecord,
        confidence: f64,
    ) -> Option<Estimate> {
        let rows = self.rows(&what.value, &what.weight)?;
        let answers = rows.iter().flatten().map(|pair| pair.1).sum();
        let found = self
            .contrast_of(&what.value, &what.weight)?
            .times(what.times);
        let estimate = self.estimate(&found, what.scale, answers, confidence);
        Some(super::measured::shown(estimate, what.scale))
    }
}

/// A column of a point over another, unit by unit.
pub(crate) fn pairs(point: &PointRecord, value: &str, weight: &str) -> Option<Vec<(f64, f64)>> {
    let value = match value {
        "" => &point.value,
        name => &point.columns.get(name)?.0,
    };
    let weights: Option<&Vec<f64>> = match weight {
        "" => None,
        name => Some(&point.columns.get(name)?.0),
    };
    let weight = |i: usize| weights.map_or_else(|| Some(point.weight(i)), |w| w.get(i).copied());
    let pair = |(i, &x): (usize, &f64)| Some((x, weight(i)?));
    value.iter().enumerate().map(pair).collect()
}
