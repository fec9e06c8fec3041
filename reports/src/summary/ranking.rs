//! Where the curves of a study stand: by what they reach past the trained length, each with a range of ranks.
//!
//! The score of a curve is the mean of the study's first headline measure over the evaluated lengths beyond the trained one;
//! of an accuracy, a length that the scheme refuses counts as 0. The rank of a curve is a range: from one more than the
//! number of curves that are significantly better, to the number of curves less those that are significantly worse. Each
//! difference is paired over the same units and seeds, and has an interval at 1 − (1 − confidence) / (n − 1) for n curves, so
//! that all comparisons of one curve hold together (Bonferroni). One seed shows nothing: then every range is whole.

use super::group::{Group, groups, measures};
use super::sample::Sample;
use super::{Estimate, Key, MeasureInfo, difference};
use crate::record::{Better, Samples, Scale, Stage};
use crate::stats::{Evidence, simultaneous};
use crate::store::LoadedRun;
use serde::Serialize;

/// The curves of a study, the best first.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Ranking {
    /// Name of the study.
    pub study: String,
    /// Which measure the score is of.
    pub key: Key,
    /// Its name.
    pub title: String,
    /// What its mean is called (`loss`, `keys found`).
    pub noun: String,
    /// How a score is shown: a loss as it is, in nats.
    pub scale: Scale,
    /// Which way is better.
    pub better: Better,
    /// The lengths that a score is the mean over.
    pub lengths: Vec<usize>,
    /// Those that have a score.
    pub rows: Vec<Ranked>,
    /// Labels of the others, with reasons.
    pub unranked: Vec<(String, String)>,
}

/// One curve among those of its study.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Ranked {
    /// As of the curve.
    pub label: String,
    /// Config name of the scheme.
    pub scheme: String,
    /// What was done to reach its weights.
    pub stage: Stage,
    /// Family of the scheme.
    pub family: String,
    /// The score with its interval.
    pub score: Estimate,
    /// Its place by the value alone; curves with the same value share the first.
    pub place: usize,
    /// The best rank that the data leave.
    pub best: usize,
    /// The worst.
    pub worst: usize,
    /// Seeds with a result.
    pub seeds: usize,
}

impl Ranking {
    /// The curve of this label.
    #[must_use]
    pub fn of(&self, label: &str) -> Option<&Ranked> {
        self.rows.iter().find(|row| row.label == label)
    }

    /// Labels of at most so many curves on each side of a curve, the nearest by value first.
    #[must_use]
    pub fn neighbours(&self, label: &str, each: usize) -> Vec<&str> {
        let Some(at) = self.rows.iter().position(|row| row.label == label) else {
            return Vec::new();
        };
        let mine = self.rows[at].score.value;
        let around = at.saturating_sub(each)..(at + each + 1).min(self.rows.len());
        let mut near: Vec<&Ranked> = around.filter(|i| *i != at).map(|i| &self.rows[i]).collect();
        let apart = |row: &Ranked| (row.score.value - mine).abs();
        near.sort_by(|a, b| apart(a).total_cmp(&apart(b)));
        near.into_iter().map(|row| row.label.as_str()).collect()
    }
}

/// The rankings of every study that has lengths beyond the trained one.
#[must_use]
pub fn rankings(run: &LoadedRun) -> Vec<Ranking> {
    let studies = super::compare::names(run).into_iter();
    studies.filter_map(|study| of_study(run, study)).collect()
}

fn of_study(run: &LoadedRun, study: &str) -> Option<Ranking> {
    let groups = groups(run, study);
    let all = measures(&groups);
    let info = all.iter().find(|m| m.compares())?;
    let trained = groups.iter().filter_map(Group::trained_length).max()?;
    let beyond = info.lengths.iter().copied().filter(|l| *l > trained);
    let field = Field {
        info,
        lengths: beyond.collect(),
        confidence: run.plan.confidence,
    };
    if field.lengths.is_empty() {
        return None;
    }
    let mut unranked = Vec::new();
    let mut scored: Vec<(&Group<'_>, Evidence)> = Vec::new();
    for group in &groups {
        match field.score(group) {
            Ok(score) => scored.push((group, score)),
            Err(why) => unranked.push((group.label.clone(), why)),
        }
    }
    let sign = match info.record.better {
        Better::Lower => 1.0,
        Better::Higher => -1.0,
    };
    scored.sort_by(|a, b| (sign * a.1.value()).total_cmp(&(sign * b.1.value())));
    let ranges = field.ranges(&scored, sign);
    let row = |(i, (group, score)): (usize, &(&Group<'_>, Evidence))| Ranked {
        label: group.label.clone(),
        scheme: group.scheme.to_string(),
        stage: group.stage,
        family: group
            .records()
            .next()
            .map_or_else(String::new, |r| r.scheme.family.clone()),
        score: score.estimate(run.plan.confidence),
        place: 1 + scored
            .iter()
            .take(i)
            .filter(|s| s.1.value() != score.value())
            .count(),
        best: ranges[i].0,
        worst: ranges[i].1,
        seeds: group.seeds().len(),
    };
    Some(Ranking {
        study: study.to_string(),
        key: info.key.clone(),
        title: info.record.title.clone(),
        noun: info.noun().to_string(),
        scale: info.record.scale,
        better: info.record.better,
        lengths: field.lengths.clone(),
        rows: scored.iter().enumerate().map(row).collect(),
        unranked,
    })
}

/// What curves are scored by.
struct Field<'a> {
    info: &'a MeasureInfo,
    lengths: Vec<usize>,
    confidence: f64,
}

impl Field<'_> {
    /// The mean over the lengths of what is found at each.
    fn mean(&self, of: impl Fn(usize) -> Option<Evidence>) -> Option<Evidence> {
        let weight = 1.0 / self.lengths.len() as f64;
        let terms: Option<Vec<(f64, Evidence)>> = self
            .lengths
            .iter()
            .map(|&length| Some((weight, of(length)?)))
            .collect();
        Evidence::sum(&terms?, self.info.record.samples == Samples::Panel)
    }

    /// What a curve reaches at a length; nothing of an accuracy where the scheme refuses it.
    fn at(&self, group: &Group<'_>, length: usize) -> Option<Evidence> {
        match Sample::at(group, self.info, length) {
            Some(sample) => sample.evidence(),
            None => (self.zero_if_refused() && group.refused(self.info).contains(&length))
                .then(|| Evidence::constant(0.0, group.seeds().len())),
        }
    }

    fn zero_if_refused(&self) -> bool {
        self.info.record.scale == Scale::Share && self.info.record.better == Better::Higher
    }

    fn score(&self, group: &Group<'_>) -> Result<Evidence, String> {
        if group.cells.is_empty() {
            return Err("it has no result".into());
        }
        if let Some(score) = self.mean(|length| self.at(group, length)) {
            return match score.value().is_finite() {
                true => Ok(score),
                false => Err("a value is not finite".into()),
            };
        }
        let refused = group.refused(self.info);
        let mut lost = self.lengths.iter().filter(|l| refused.contains(l));
        Err(match lost.next() {
            Some(length) => format!("it refuses length {length}"),
            None => "a length was not measured".into(),
        })
    }

    fn difference(&self, a: &Group<'_>, b: &Group<'_>, length: usize) -> Option<Evidence> {
        match difference::at_length(a, b, self.info, length) {
            Some(pair) => Some(pair.evidence),
            None => self.at(a, length)?.apart(&self.at(b, length)?),
        }
    }

    /// The best and the worst rank of every curve.
    fn ranges(&self, scored: &[(&Group<'_>, Evidence)], sign: f64) -> Vec<(usize, usize)> {
        let n = scored.len();
        let level = simultaneous(self.confidence, n.saturating_sub(1));
        let (mut above, mut below) = (vec![0; n], vec![0; n]);
        for i in 0..n {
            for j in 0..i {
                let (a, b) = (scored[i].0, scored[j].0);
                let found = self.mean(|length| self.difference(a, b, length));
                // With one seed two trainings differ, which says nothing of their schemes.
                let found = found.filter(|e| e.seeds() > 1);
                let Some(interval) = found.and_then(|e| e.estimate(level).interval) else {
                    continue;
                };
                let (better, worse) = match (sign * interval.low, sign * interval.high) {
                    (low, high) if low < 0.0 && high < 0.0 => (i, j),
                    (low, high) if low > 0.0 && high > 0.0 => (j, i),
                    _ => continue,
                };
                above[worse] += 1;
                below[better] += 1;
            }
        }
        (0..n).map(|i| (above[i] + 1, n - below[i])).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{self, Options};

    fn found(seeds: &[u64]) -> Vec<Ranking> {
        rankings(&fixture::run(&Options {
            seeds: seeds.to_vec(),
            language: true,
            retrieval: true,
            ..Options::default()
        }))
    }

    #[test]
    fn ranks_hold_the_place_by_value_and_follow_the_differences() {
        let studies = found(&[0, 1, 2, 3, 4]);
        assert_eq!(studies.len(), 2);
        for rankings in &studies {
            let n = rankings.rows.len();
            assert!(n > 3, "{}", rankings.study);
            let mut last = f64::NEG_INFINITY;
            for (i, row) in rankings.rows.iter().enumerate() {
                let signed = match rankings.better {
                    Better::Lower => row.score.value,
                    Better::Higher => -row.score.value,
                };
                assert!(signed >= last, "the best comes first");
                last = signed;
                assert!(
                    row.best <= i + 1 && i < row.worst && row.worst <= n,
                    "{row:?}"
                );
            }
            assert!(
                rankings.rows.iter().any(|r| (r.best, r.worst) != (1, n)),
                "five seeds tell some apart"
            );
        }
    }

    #[test]
    fn one_seed_ranks_nobody() {
        for rankings in found(&[0]) {
            let n = rankings.rows.len();
            assert!(rankings.rows.iter().all(|r| (r.best, r.worst) == (1, n)));
        }
    }

    #[test]
    fn neighbours_stand_nearest() {
        let all = found(&[0, 1]);
        let first = &all[0];
        let label = &first.rows[1].label;
        let near = first.neighbours(label, 1);
        assert_eq!(near.len(), 2);
        assert!(near.contains(&first.rows[0].label.as_str()));
        assert!(near.contains(&first.rows[2].label.as_str()));
        assert!(first.neighbours("nobody", 2).is_empty());
    }
}
