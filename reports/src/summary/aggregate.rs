//! What several tasks show together: average scores and ranks of schemes.
//!
//! Scores are shares of right answers. A length that a scheme refuses to read counts as 0: nothing is answered there.
//! Averages are sums of the same evidence as single means and differences: what the seeds of a study have in common over
//! its tasks and lengths counts in full, and two curves are paired over the same prompts and seeds.

use super::difference;
use super::group::{Group, sorted};
use super::sample::Sample;
use super::{Key, MeasureInfo, StudySummary};
use crate::record::{Better, Samples, Scale};
use crate::stats::{Estimate, Evidence, simultaneous};
use serde::Serialize;

/// Several tasks of a study, or of all studies of a run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Aggregate {
    /// Study, key and title of each.
    pub tasks: Vec<(String, Key, String)>,
    /// Whether the tasks were trained at different lengths: then they are averaged at the same multiples of them, as the
    /// same number of tokens is far for one and near for another.
    pub multiples: bool,
    /// Whether curves of one study were trained at different lengths: then a number of tokens is another multiple for each,
    /// and nothing is averaged within the trained length and beyond it.
    pub mixed: bool,
    /// Where all tasks were evaluated, smallest first: lengths in tokens, or multiples of the trained length.
    pub columns: Vec<f64>,
    /// One entry for each curve.
    pub scores: Vec<Score>,
    /// Ranks of the curves beyond the trained length, best first; empty with a single curve.
    pub ranks: Vec<Rank>,
    /// Pairs of a task and a length that no rank rests on, as all curves are at chance there.
    pub at_chance: usize,
}

/// Average score of one curve over all tasks (Hsieh et al. 2024, "RULER").
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Score {
    /// As of the curve.
    pub label: String,
    /// As of the curve.
    pub index: usize,
    /// In each column; none where a task has no score.
    pub by_column: Vec<Option<Estimate>>,
    /// Mean over the columns; none if one lacks its score, here and below.
    pub average: Option<Estimate>,
    /// The same, the n-th column with weight n.
    pub increasing: Option<Estimate>,
    /// The same, the n-th column from the end with weight n.
    pub decreasing: Option<Estimate>,
    /// Mean over the columns up to the trained length.
    pub within: Option<Estimate>,
    /// The same beyond it.
    pub beyond: Option<Estimate>,
}

/// Where a curve stands among all curves beyond the trained length.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Rank {
    /// As of the curve.
    pub label: String,
    /// As of the curve.
    pub index: usize,
    /// The best rank that the data leave: one more than the number of curves whose average score is significantly higher,
    /// paired and simultaneous over all pairs of curves.
    pub best: usize,
    /// The worst: the number of curves less those whose average score is significantly lower.
    pub worst: usize,
    /// Mean of 1 over the rank in every place; curves with the same score share the mean of their ranks.
    pub reciprocal: f64,
    /// Over so many pairs of a task and a length.
    pub places: usize,
}

/// A study with its cells.
#[derive(Clone, Copy)]
pub(super) struct Part<'a> {
    pub(super) study: &'a StudySummary,
    pub(super) groups: &'a [Group<'a>],
}

pub(super) fn is_task(info: &MeasureInfo) -> bool {
    info.compares() && info.record.scale == Scale::Share && info.record.better == Better::Higher
}

/// Over the tasks of all studies, if more than one study has some.
pub(super) fn across(parts: &[Part<'_>], confidence: f64) -> Option<Aggregate> {
    let with = parts.iter().filter(|p| p.study.compared().any(is_task));
    let with: Vec<Part<'_>> = with.copied().collect();
    (with.len() > 1).then(|| of(&with, confidence)).flatten()
}

/// Over all tasks of some studies, if there are several.
pub(super) fn of(parts: &[Part<'_>], confidence: f64) -> Option<Aggregate> {
    let tasks = Tasks::of(parts, confidence);
    (tasks.all.len() > 1).then(|| tasks.aggregate())
}

/// The tasks that are averaged, and where.
pub(super) struct Tasks<'a> {
    parts: &'a [Part<'a>],
    /// Place of its study, and the task.
    all: Vec<(usize, &'a MeasureInfo)>,
    multiples: bool,
    columns: Vec<f64>,
    /// The column of the trained length; none where curves of a study were trained at several.
    trained: Option<f64>,
    confidence: f64,
}

/// One task at one column, with its weight.
type Place = (usize, usize, f64);

impl<'a> Tasks<'a> {
    pub(super) fn of(parts: &'a [Part<'a>], confidence: f64) -> Tasks<'a> {
        let tasks = |(i, part): (usize, &'a Part<'a>)| {
            part.study
                .compared()
                .filter(|m| is_task(m))
                .map(move |m| (i, m))
        };
        let all: Vec<(usize, &MeasureInfo)> = parts.iter().enumerate().flat_map(tasks).collect();
        let trained: Vec<Option<usize>> =
            all.iter().map(|(i, _)| parts[*i].study.trained()).collect();
        let known = trained.iter().all(Option::is_some);
        let multiples = known && trained.iter().any(|t| *t != trained[0]);
        let first = trained.first().copied().flatten().filter(|_| known);
        let trained = if multiples {
            Some(1.0)
        } else {
            first.map(|t| t as f64)
        };
        let mut tasks = Tasks {
            parts,
            all,
            multiples,
            columns: Vec::new(),
            trained,
            confidence,
        };
        let of = |t: usize| tasks.all[t].1.lengths.iter().map(move |&l| (t, l));
        let columns = |t: usize| {
            of(t)
                .filter_map(|(t, l)| tasks.column(t, l))
                .collect::<Vec<f64>>()
        };
        let others: Vec<Vec<f64>> = (1..tasks.all.len()).map(columns).collect();
        let shared = |x: &f64| others.iter().all(|o| o.contains(x));
        if !tasks.all.is_empty() {
            tasks.columns = sorted(columns(0).into_iter().filter(shared));
        }
        tasks
    }

    /// The column of a length of a task.
    fn column(&self, task: usize, length: usize) -> Option<f64> {
        let (part, _) = self.all[task];
        match self.multiples {
            false => Some(length as f64),
            true => Some(length as f64 / self.parts[part].study.trained()? as f64),
        }
    }

    /// The length of a task in a column.
    fn length(&self, task: usize, column: usize) -> Option<usize> {
        let lengths = self.all[task].1.lengths.iter();
        let wanted = self.columns.get(column).copied();
        lengths.copied().find(|&l| self.column(task, l) == wanted)
    }

    fn group(&self, task: usize, label: &str) -> Option<&'a Group<'a>> {
        let mut groups = self.parts[self.all[task].0].groups.iter();
        groups.find(|g| g.label == label && !g.cells.is_empty())
    }

    /// Every curve that a study has.
    fn labels(&self) -> Vec<(&'a str, usize)> {
        let mut labels: Vec<(&str, usize)> = Vec::new();
        for curve in self.parts.iter().flat_map(|p| &p.study.curves) {
            if labels.iter().all(|l| l.0 != curve.label) {
                labels.push((&curve.label, curve.index));
            }
        }
        labels
    }

    /// The share of a curve in a task at a length; 0 where the scheme refuses it.
    fn share(&self, task: usize, length: usize, label: &str) -> Option<Evidence> {
        let (info, group) = (self.all[task].1, self.group(task, label)?);
        match Sample::at(group, info, length) {
            Some(sample) => sample.evidence(),
            None => group
                .refused(info)
                .contains(&length)
                .then(|| Evidence::constant(0.0, group.seeds().len())),
        }
    }

    /// The same less that of another curve, paired.
    fn difference(&self, task: usize, length: usize, label: &str, other: &str) -> Option<Evidence> {
        let (info, a, b) = (
            self.all[task].1,
            self.group(task, label)?,
            self.group(task, other)?,
        );
        if let Some(pair) = difference::at_length(a, b, info, length) {
            return Some(pair.evidence);
        }
        self.share(task, length, label)?
            .apart(&self.share(task, length, other)?)
    }

    /// The weighted sum of what `of` gives in each place. Lengths of a panel share their units; the seeds of other studies
    /// are other trainings.
    fn sum(
        &self,
        places: &[Place],
        of: &dyn Fn(usize, usize) -> Option<Evidence>,
    ) -> Option<Evidence> {
        let mut studies: Vec<Vec<(f64, Evidence)>> =
            self.parts.iter().map(|_| Vec::new()).collect();
        for (task, &(part, info)) in self.all.iter().enumerate() {
            let mine = places.iter().filter(|p| p.0 == task);
            let term = |&(_, column, weight): &Place| {
                Some((weight, of(task, self.length(task, column)?)?))
            };
            let terms: Vec<(f64, Evidence)> = mine.map(term).collect::<Option<_>>()?;
            if !terms.is_empty() {
                let shared = info.record.samples == Samples::Panel;
                studies[part].push((1.0, Evidence::sum(&terms, shared)?));
            }
        }
        let studies = studies.iter().filter(|terms| !terms.is_empty());
        let studies: Vec<Evidence> = studies
            .map(|terms| Evidence::sum(terms, false))
            .collect::<Option<_>>()?;
        Evidence::independent(&studies)
    }

    /// The average score of a curve less that of another, in one column.
    pub(super) fn between(&self, label: &str, other: &str, column: usize) -> Option<Evidence> {
        let of = |task: usize, length: usize| self.difference(task, length, label, other);
        self.sum(&self.places(&[(column, 1.0)]), &of)
    }

    /// All tasks at some columns, each column with a weight of its own; the weights sum to 1.
    fn places(&self, columns: &[(usize, f64)]) -> Vec<Place> {
        let total = columns.iter().map(|c| c.1).sum::<f64>() * self.all.len() as f64;
        let of = |&(column, weight): &(usize, f64)| {
            (0..self.all.len()).map(move |task| (task, column, weight / total))
        };
        columns.iter().flat_map(of).collect()
    }

    /// Columns on one side of the trained length.
    fn side(&self, beyond: bool) -> Vec<usize> {
        let here = |i: &usize| {
            self.trained
                .is_some_and(|t| (self.columns[*i] > t) == beyond)
        };
        (0..self.columns.len()).filter(here).collect()
    }

    /// The mean share of a curve over places.
    fn mean(&self, label: &str, places: &[Place]) -> Option<Estimate> {
        let found = self.sum(places, &|task, length| self.share(task, length, label))?;
        Some(found.estimate(self.confidence))
    }

    fn score(&self, label: &str, index: usize) -> Score {
        let n = self.columns.len();
        let weighted = |of: &dyn Fn(usize) -> f64| {
            let columns: Vec<(usize, f64)> = (0..n).map(|i| (i, of(i))).collect();
            self.mean(label, &self.places(&columns))
        };
        let side = |beyond: bool| {
            let columns: Vec<(usize, f64)> =
                self.side(beyond).into_iter().map(|i| (i, 1.0)).collect();
            self.mean(label, &self.places(&columns))
        };
        Score {
            label: label.into(),
            index,
            by_column: (0..n)
                .map(|i| self.mean(label, &self.places(&[(i, 1.0)])))
                .collect(),
            average: weighted(&|_| 1.0),
            increasing: weighted(&|i| (i + 1) as f64),
            decreasing: weighted(&|i| (n - i) as f64),
            within: side(false),
            beyond: side(true),
        }
    }

    /// Whether no curve is shown to be above chance in a place, simultaneously over the curves.
    fn at_chance(&self, task: usize, length: usize, labels: &[(&str, usize)]) -> bool {
        let level = simultaneous(self.confidence, labels.len());
        let above = |label: &str, chance: f64| {
            let found = self.share(task, length, label).map(|e| e.estimate(level));
            found.is_some_and(|e| e.interval.map_or(e.value, |i| i.low) > chance)
        };
        let chance = self.all[task].1.chance_at(length);
        chance.is_some_and(|c| labels.iter().all(|l| !above(l.0, c)))
    }

    /// Ranks of the curves that have a score in every place, and how many places are at chance.
    fn ranks(&self, labels: &[(&str, usize)]) -> (Vec<Rank>, usize) {
        let beyond: Vec<(usize, f64)> = self.side(true).into_iter().map(|i| (i, 1.0)).collect();
        let mut places = self.places(&beyond);
        let everywhere = |l: &&(&str, usize)| self.mean(l.0, &places).is_some();
        let labels: Vec<(&str, usize)> = labels.iter().filter(everywhere).copied().collect();
        let asked = places.len();
        places.retain(|&(task, column, _)| {
            let length = self.length(task, column);
            length.is_some_and(|l| !self.at_chance(task, l, &labels))
        });
        let at_chance = asked - places.len();
        if labels.len() < 2 || places.is_empty() {
            return (Vec::new(), at_chance);
        }
        let weight = 1.0 / places.len() as f64;
        places.iter_mut().for_each(|p| p.2 = weight);
        let mut reciprocal = vec![0.0; labels.len()];
        for &(task, column, _) in &places {
            let value = |l: &(&str, usize)| self.share(task, self.length(task, column)?, l.0);
            let scores: Vec<f64> = labels
                .iter()
                .map(|l| value(l).map_or(f64::NAN, |e| e.value()))
                .collect();
            for (sum, found) in reciprocal.iter_mut().zip(reciprocal_ranks(&scores)) {
                *sum += weight * found;
            }
        }
        let pairs = labels.len() * (labels.len() - 1) / 2;
        let level = simultaneous(self.confidence, pairs);
        let (mut above, mut below) = (vec![0; labels.len()], vec![0; labels.len()]);
        for i in 0..labels.len() {
            for j in 0..i {
                let of = |task: usize, length: usize| {
                    self.difference(task, length, labels[i].0, labels[j].0)
                };
                let interval = self
                    .sum(&places, &of)
                    .and_then(|e| e.estimate(level).interval);
                let (better, worse) = match interval {
                    Some(x) if x.low > 0.0 => (i, j),
                    Some(x) if x.high < 0.0 => (j, i),
                    _ => continue,
                };
                above[worse] += 1;
                below[better] += 1;
            }
        }
        let rank = |(i, &(label, index)): (usize, &(&str, usize))| Rank {
            label: label.into(),
            index,
            best: above[i] + 1,
            worst: labels.len() - below[i],
            reciprocal: reciprocal[i],
            places: places.len(),
        };
        let mut all: Vec<Rank> = labels.iter().enumerate().map(rank).collect();
        all.sort_by(|a, b| b.reciprocal.total_cmp(&a.reciprocal));
        (all, at_chance)
    }

    fn aggregate(&self) -> Aggregate {
        let labels = self.labels();
        let (ranks, at_chance) = self.ranks(&labels);
        let task = |&(part, info): &(usize, &MeasureInfo)| {
            let study = &self.parts[part].study.name;
            (study.clone(), info.key.clone(), info.record.title.clone())
        };
        Aggregate {
            tasks: self.all.iter().map(task).collect(),
            multiples: self.multiples,
            mixed: self.trained.is_none(),
            columns: self.columns.clone(),
            scores: labels.iter().map(|l| self.score(l.0, l.1)).collect(),
            ranks,
            at_chance,
        }
    }
}

/// 1 over the rank of every score among all, the largest first; equal scores share the mean of their ranks.
fn reciprocal_ranks(scores: &[f64]) -> Vec<f64> {
    let of = |x: &f64| {
        let above = scores.iter().filter(|y| *y > x).count() as f64;
        let equal = scores.iter().filter(|y| *y == x).count() as f64;
        1.0 / (above + (equal + 1.0) / 2.0)
    };
    scores.iter().map(of).collect()
}

#[cfg(test)]
mod tests;
