//! The table of a study: schemes by lengths, in the manner of RULER's (Hsieh et al. 2024, table 3), with what is asked
//! first: which is best, how far each is served, how it differs from the reference, what it costs.

use super::aggregate::{Aggregate, Part, Tasks};
use super::difference::{self, Pair};
use super::group::Group;
use super::{
    Curve, Difference, EffectiveLength, Estimate, Key, MeasureInfo, Outcome, Service, StudySummary,
};
use crate::record::{Better, Scale, State};
use crate::stats::{Evidence, simultaneous};
use serde::Serialize;

/// One measure of a study, or the average over its tasks, of every curve at every length.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Results {
    /// Which measure; none for the average over tasks.
    pub key: Option<Key>,
    /// Heading (`Perplexity, fixed target`, `Average of 3 tasks`).
    pub title: String,
    /// What the numbers are (`perplexity`, `keys found`).
    pub quantity: String,
    /// How they are shown.
    pub scale: Scale,
    /// Which way is better.
    pub better: Better,
    /// Lengths in tokens, shortest first.
    pub lengths: Vec<usize>,
    /// At which length differences to the reference are shown: the longest at which any curve can be compared.
    pub compared_at: Option<usize>,
    /// One for each curve in the order of the plan, then those without a result.
    pub rows: Vec<ResultRow>,
}

/// One curve in the table of a study.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ResultRow {
    /// As of the curve.
    pub label: String,
    /// As of the curve.
    pub index: usize,
    /// Whether the differences are to this curve.
    pub reference: bool,
    /// One for each length.
    pub cells: Vec<ResultCell>,
    /// The longest length that is served, where the measure calls lengths so.
    pub effective: Option<EffectiveLength>,
    /// Difference to the reference where the table compares; none of the reference itself, or where both were not read.
    pub difference: Option<Difference>,
    /// Training tokens per second over the reference's.
    pub speed: Option<f64>,
    /// Peak memory over the reference's.
    pub memory: Option<f64>,
}

/// One curve at one length.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ResultCell {
    /// What was measured.
    Found {
        /// As it is shown.
        shown: Estimate,
        /// How it compares with the best of its length.
        best: ToBest,
        /// Whether the length is shown to be served.
        service: Option<Service>,
    },
    /// The scheme refused the length.
    Refused,
    /// Not asked.
    Missing,
    /// The curve has no result, for its cells are in this state.
    Absent(State),
}

/// How a value compares with the best of its length: paired, two-sided, with the same correction as the differences to the
/// reference, so that the two never disagree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ToBest {
    /// It is the best.
    Best,
    /// Not significantly different from the best.
    NoDifference,
    /// Significantly worse.
    Worse,
    /// Not finite, or too few units to say.
    NotComparable,
}

impl ToBest {
    /// Whether it is printed in bold: the best, and what cannot be told from it.
    #[must_use]
    pub fn bold(self) -> bool {
        matches!(self, ToBest::Best | ToBest::NoDifference)
    }
}

/// How many comparisons with one curve a measure allows: at every length, of all other curves that were read there. It does
/// not depend on which curve that is, so another reference, or the best of each length, is held to the same test.
pub(super) fn family(groups: &[&Group<'_>], info: &MeasureInfo) -> usize {
    let lengths: Vec<usize> = groups.iter().flat_map(|g| g.lengths(info)).collect();
    let curves = |l: &usize| lengths.iter().filter(|other| *other == l).count();
    info.lengths
        .iter()
        .map(|l| curves(l).saturating_sub(1))
        .sum()
}

/// The value of a curve at a length, and whether the length is served.
type ValueOf<'a> = dyn Fn(&Group<'_>, usize) -> Option<(Estimate, Option<Service>)> + 'a;

/// What a table is made from: values by group and length, and how two groups differ there.
pub(super) struct Source<'a> {
    pub(super) lengths: &'a [usize],
    pub(super) better: Better,
    pub(super) confidence: f64,
    pub(super) comparisons: usize,
    /// The value as it is shown, and whether it is served.
    pub(super) value: &'a ValueOf<'a>,
    /// The first minus the second.
    pub(super) difference: &'a dyn Fn(&Group<'_>, &Group<'_>, usize) -> Option<Evidence>,
}

impl Source<'_> {
    /// How each group compares with the best at a length.
    fn to_best(&self, groups: &[&Group<'_>], length: usize) -> Vec<ToBest> {
        let sign = if self.better == Better::Lower {
            1.0
        } else {
            -1.0
        };
        let value = |group: &Group<'_>| Some(sign * (self.value)(group, length)?.0.value);
        let values: Vec<Option<f64>> = groups
            .iter()
            .map(|g| value(g).filter(|v| v.is_finite()))
            .collect();
        let finite = values
            .iter()
            .enumerate()
            .filter_map(|(i, v)| Some((i, (*v)?)));
        let Some((first, _)) = finite.min_by(|a, b| a.1.total_cmp(&b.1)) else {
            return vec![ToBest::NotComparable; groups.len()];
        };
        let compare = |i: usize| {
            values[i]?;
            let found = (self.difference)(groups[i], groups[first], length)?;
            let interval = found
                .estimate(simultaneous(self.confidence, self.comparisons))
                .interval?;
            Some(if interval.contains(0.0) {
                ToBest::NoDifference
            } else {
                ToBest::Worse
            })
        };
        let of = |i: usize| match i == first {
            true => ToBest::Best,
            false => compare(i).unwrap_or(ToBest::NotComparable),
        };
        (0..groups.len()).map(of).collect()
    }

    /// The cells of every group.
    fn cells(
        &self,
        groups: &[&Group<'_>],
        refused: &dyn Fn(&Group<'_>, usize) -> bool,
    ) -> Vec<Vec<ResultCell>> {
        let mut rows: Vec<Vec<ResultCell>> = groups.iter().map(|_| Vec::new()).collect();
        for &length in self.lengths {
            let best = self.to_best(groups, length);
            for (i, group) in groups.iter().enumerate() {
                rows[i].push(match (self.value)(group, length) {
                    Some((shown, service)) => ResultCell::Found {
                        shown,
                        best: best[i],
                        service,
                    },
                    None if refused(group, length) => ResultCell::Refused,
                    None => ResultCell::Missing,
                });
            }
        }
        rows
    }
}

/// A curve of the study by its label.
fn curve<'a>(study: &'a StudySummary, group: &Group<'_>) -> Option<&'a Curve> {
    study.curves.iter().find(|c| c.label == group.label)
}

/// The table of one measure; none if no curve was read by it.
pub(super) fn of_measure(
    study: &StudySummary,
    info: &MeasureInfo,
    groups: &[&Group<'_>],
    confidence: f64,
) -> Option<Results> {
    let value = |group: &Group<'_>, length: usize| {
        let point = curve(study, group)?.measured(&info.key)?.at(length)?;
        Some((point.shown, point.service))
    };
    let source = Source {
        lengths: &info.lengths,
        better: info.record.better,
        confidence,
        comparisons: family(groups, info),
        value: &value,
        difference: &|a, b, length| Some(difference::at_length(a, b, info, length)?.evidence),
    };
    let refused = |group: &Group<'_>, length: usize| group.refused(info).contains(&length);
    let mine: Vec<&Difference> = study
        .differences
        .iter()
        .filter(|d| d.key == info.key)
        .collect();
    let effective = |group: &Group<'_>| curve(study, group)?.measured(&info.key)?.effective.clone();
    let (compared_at, rows) = rows(
        study,
        groups,
        source.cells(groups, &refused),
        &mine,
        &effective,
    )?;
    Some(Results {
        key: Some(info.key.clone()),
        title: info.record.title.clone(),
        quantity: info.record.quantity.clone(),
        scale: info.record.scale,
        better: info.record.better,
        lengths: info.lengths.clone(),
        compared_at,
        rows,
    })
}

/// The table of the average over the tasks of one study.
pub(super) fn of_average(part: Part<'_>, found: &Aggregate, confidence: f64) -> Option<Results> {
    let (study, parts) = (part.study, [part]);
    let tasks = Tasks::of(&parts, confidence);
    let lengths: Vec<usize> = found.columns.iter().map(|c| *c as usize).collect();
    let groups: Vec<&Group<'_>> = part.groups.iter().filter(|g| !g.cells.is_empty()).collect();
    let value = |group: &Group<'_>, length: usize| {
        let score = found.scores.iter().find(|s| s.label == group.label)?;
        let at = lengths.iter().position(|&l| l == length)?;
        Some((score.by_column[at]?, None))
    };
    let difference = |a: &Group<'_>, b: &Group<'_>, length: usize| {
        let at = lengths.iter().position(|&l| l == length)?;
        tasks.between(&a.label, &b.label, at)
    };
    let read = |length: &usize| {
        groups
            .iter()
            .filter(|g| value(g, *length).is_some())
            .count()
    };
    let comparisons = lengths.iter().map(|l| read(l).saturating_sub(1)).sum();
    let quantity = "average share right";
    let mut differences: Vec<Difference> = Vec::new();
    let reference = study.reference.as_ref();
    let reference = groups
        .iter()
        .find(|g| reference.is_some_and(|r| r.label == g.label));
    for group in groups
        .iter()
        .filter(|g| reference.is_some_and(|r| r.label != g.label))
    {
        for &length in &lengths {
            let evidence = reference.and_then(|r| difference(group, r, length));
            let pair = evidence.map(|evidence| Pair {
                found: Difference {
                    key: Key::default(),
                    what: quantity.into(),
                    label: group.label.clone(),
                    length,
                    difference: Estimate {
                        value: evidence.value(),
                        interval: None,
                    },
                    p: None,
                    p_adjusted: None,
                    comparisons: 0,
                    outcome: Outcome::NotComparable,
                    units: 0,
                    seeds: evidence.seeds(),
                },
                evidence,
            });
            differences.extend(pair.map(|p| p.corrected(Better::Higher, comparisons, confidence)));
        }
    }
    let source = Source {
        lengths: &lengths,
        better: Better::Higher,
        confidence,
        comparisons,
        value: &value,
        difference: &difference,
    };
    let differences: Vec<&Difference> = differences.iter().collect();
    let (compared_at, rows) = rows(
        study,
        &groups,
        source.cells(&groups, &|_, _| false),
        &differences,
        &|_| None,
    )?;
    Some(Results {
        key: None,
        title: format!("Average of {} tasks", found.tasks.len()),
        quantity: quantity.into(),
        scale: Scale::Share,
        better: Better::Higher,
        lengths,
        compared_at,
        rows,
    })
}

/// The rows of all groups, and where they are compared; none if nothing was found.
pub(super) fn rows(
    study: &StudySummary,
    groups: &[&Group<'_>],
    cells: Vec<Vec<ResultCell>>,
    differences: &[&Difference],
    effective: &dyn Fn(&Group<'_>) -> Option<EffectiveLength>,
) -> Option<(Option<usize>, Vec<ResultRow>)> {
    let found = |c: &ResultCell| matches!(c, ResultCell::Found { .. });
    if !cells.iter().flatten().any(found) {
        return None;
    }
    let comparable = differences
        .iter()
        .filter(|d| d.difference.interval.is_some());
    let compared_at = comparable.map(|d| d.length).max();
    let lengths = cells.first().map_or(0, Vec::len);
    let row = |(group, cells): (&&Group<'_>, Vec<ResultCell>)| {
        let cost = curve(study, group).and_then(|c| c.cost.as_ref());
        let mut here = differences.iter().filter(|d| Some(d.length) == compared_at);
        ResultRow {
            label: group.label.clone(),
            index: group.index,
            reference: study
                .reference
                .as_ref()
                .is_some_and(|r| r.label == group.label),
            cells,
            effective: effective(group),
            difference: here.find(|d| d.label == group.label).map(|d| (*d).clone()),
            speed: cost.and_then(|c| c.relative_speed),
            memory: cost.and_then(|c| c.relative_memory),
        }
    };
    let absent = study.absent.iter().map(|gone| ResultRow {
        label: gone.label.clone(),
        index: gone.index,
        reference: false,
        cells: vec![ResultCell::Absent(gone.state); lengths],
        effective: None,
        difference: None,
        speed: None,
        memory: None,
    });
    Some((
        compared_at,
        groups.iter().zip(cells).map(row).chain(absent).collect(),
    ))
}
