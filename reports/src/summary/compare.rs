//! Two runs against each other: paired differences of the curves that both have.

use super::group::{Group, groups, measures};
use super::{Difference, MeasureInfo, difference};
use crate::error::CompareError;
use crate::store::LoadedRun;
use serde::Serialize;

/// Two runs against each other.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// Names of the first and the second run.
    pub names: (String, String),
    /// Confidence of the intervals: the first run's.
    pub confidence: f64,
    /// Studies that both have.
    pub studies: Vec<Compared>,
    /// What was left out, in sentences.
    pub left_out: Vec<String>,
}

/// One study of two runs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Compared {
    /// Its name.
    pub study: String,
    /// What both measured, in the view that both take for it.
    pub measures: Vec<MeasureInfo>,
    /// Second run minus first run, by curve and length; corrected over all of the study.
    pub differences: Vec<Difference>,
}

/// Compares two runs over the same data: second minus first, curve by curve.
///
/// With `lenient`, curves that have results in only one run are left out and listed; without, they are errors.
///
/// # Errors
/// [`CompareError::OtherData`] if a study read other data or tokens; [`CompareError::Missing`];
/// [`CompareError::NothingShared`].
pub fn compare(
    first: &LoadedRun,
    second: &LoadedRun,
    lenient: bool,
) -> Result<Comparison, CompareError> {
    let confidence = first.plan.confidence;
    let (mut studies, mut left_out) = (Vec::new(), Vec::new());
    for study in names(first) {
        if !names(second).contains(&study) {
            left_out.push(format!("study {study} is only in the first run"));
            continue;
        }
        let (a, b) = (groups(first, study), groups(second, study));
        same_data(study, &a, &b)?;
        let theirs = measures(&b);
        let both =
            |m: &MeasureInfo| m.compares() && theirs.iter().any(|t| t.key == m.key && t.compares());
        let measures: Vec<MeasureInfo> = measures(&a).into_iter().filter(both).collect();
        let mut pairs = Vec::new();
        for ours in &a {
            let Some(theirs) = b.iter().find(|g| g.label == ours.label) else {
                left_out.push(format!("{study}: {} is only in the first run", ours.label));
                continue;
            };
            let side = match (ours.cells.is_empty(), theirs.cells.is_empty()) {
                (false, false) => {
                    let found = difference::between(theirs, ours, measures.iter());
                    if found.is_empty() {
                        left_out.push(format!(
                            "{study}: {} has no length and seed in common",
                            ours.label
                        ));
                    }
                    pairs.extend(found);
                    continue;
                }
                (true, true) => {
                    left_out.push(format!(
                        "{study}: {} has no result in either run",
                        ours.label
                    ));
                    continue;
                }
                (true, false) => "first",
                (false, true) => "second",
            };
            if !lenient {
                return Err(CompareError::Missing {
                    study: study.to_string(),
                    label: ours.label.clone(),
                    side,
                });
            }
            left_out.push(format!(
                "{study}: {} has no result in the {side} run",
                ours.label
            ));
        }
        let extra = b.iter().filter(|g| !a.iter().any(|o| o.label == g.label));
        left_out.extend(extra.map(|g| format!("{study}: {} is only in the second run", g.label)));
        let family = difference::counted(&pairs, &measures);
        let differences = difference::corrected(pairs, &family, confidence);
        studies.push(Compared {
            study: study.to_string(),
            measures,
            differences,
        });
    }
    if studies.iter().all(|s| s.differences.is_empty()) {
        return Err(CompareError::NothingShared {
            first: list(first),
            second: list(second),
        });
    }
    let names = (first.plan.name.clone(), second.plan.name.clone());
    Ok(Comparison {
        names,
        confidence,
        studies,
        left_out,
    })
}

/// Studies of a run in the order of its plan.
pub(super) fn names(run: &LoadedRun) -> Vec<&str> {
    let mut names: Vec<&str> = Vec::new();
    for cell in &run.plan.cells {
        if !names.contains(&cell.study.as_str()) {
            names.push(&cell.study);
        }
    }
    names
}

fn list(run: &LoadedRun) -> String {
    let with_results: Vec<&str> = names(run)
        .into_iter()
        .filter(|study| run.results().any(|(_, r)| r.study == *study))
        .collect();
    if with_results.is_empty() {
        "none".into()
    } else {
        with_results.join(", ")
    }
}

fn same_data(study: &str, a: &[Group<'_>], b: &[Group<'_>]) -> Result<(), CompareError> {
    for first in a.iter().flat_map(Group::records) {
        for second in b.iter().flat_map(Group::records) {
            let (x, y) = (&first.data, &second.data);
            let differs = if x.hash != y.hash {
                Some(("the data hash", &x.hash, &y.hash))
            } else if x.tokenizer_hash != y.tokenizer_hash {
                Some(("the tokenizer hash", &x.tokenizer_hash, &y.tokenizer_hash))
            } else {
                None
            };
            if let Some((what, x, y)) = differs {
                let (first, second) = (x.clone(), y.clone());
                return Err(CompareError::OtherData {
                    study: study.to_string(),
                    what,
                    first,
                    second,
                });
            }
        }
    }
    Ok(())
}
