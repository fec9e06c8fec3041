//! What could not be measured, and what limits the rest.

use super::points;
use super::words::joined;
use crate::summary::{Curve, StudySummary};
use std::collections::BTreeSet;

/// Fewer test segments than this get a caveat.
const FEW_UNITS: usize = 20;
/// Fewer passkey trials per length than this get a caveat.
const FEW_TRIALS: usize = 100;

/// Which schemes cannot be read past some length, in their own words.
pub(super) fn refusals(study: &StudySummary) -> Vec<String> {
    let of = |curve: &Curve| {
        let first = curve.refused.iter().min_by_key(|r| r.length)?;
        let reason = first.reason.trim_end_matches('.');
        Some(format!(
            "{} cannot be read at {} tokens: {reason}.",
            curve.label, first.length
        ))
    };
    study.curves.iter().filter_map(of).collect()
}

/// What limits all of the above.
pub(super) fn caveats(study: &StudySummary) -> Vec<String> {
    let mut said = Vec::new();
    for gone in &study.absent {
        said.push(format!(
            "{} has no result: {}.",
            gone.label,
            gone.reason.trim_end_matches('.')
        ));
    }
    let seeds: Vec<usize> = study.curves.iter().map(|c| c.seeds.len()).collect();
    match (seeds.iter().min(), seeds.iter().max()) {
        (Some(_), Some(1)) => said.push(
            "One seed: differences between schemes may be differences between two trainings; intervals are over test \
             units only."
                .into(),
        ),
        (Some(&few), Some(&most)) if few != most => {
            said.push(format!("Curves rest on {few} to {most} seeds; those with fewer are less certain."));
        }
        _ => {}
    }
    if let Some(units) = study
        .protocols
        .iter()
        .map(|p| p.units)
        .min()
        .filter(|&n| n < FEW_UNITS)
    {
        let word = if units == 1 { "segment" } else { "segments" };
        said.push(format!(
            "Only {units} test {word}: small changes of loss can neither be shown nor excluded."
        ));
    }
    let trials = study
        .curves
        .iter()
        .flat_map(|c| &c.passkey)
        .map(|p| p.trials)
        .min();
    if let Some(trials) = trials.filter(|&n| n < FEW_TRIALS) {
        said.push(format!(
            "Only {trials} passkey trials at a length: accuracies are rough."
        ));
    }
    let lost: Vec<String> = study
        .curves
        .iter()
        .filter(|c| !c.perplexity.is_empty())
        .filter(|c| {
            !points(study, c)
                .iter()
                .any(|p| p.length == c.trained_length)
        })
        .map(|c| c.label.clone())
        .collect();
    // What a checkpoint's config leaves open holds for all that read it; a scheme's own note names the scheme.
    let mut notes: Vec<&String> = study.curves.iter().flat_map(|c| &c.model.notes).collect();
    let mut seen = BTreeSet::new();
    notes.retain(|note| seen.insert(*note));
    said.extend(
        notes
            .iter()
            .map(|note| format!("Of the checkpoint: {}.", note.trim_end_matches('.'))),
    );
    if !lost.is_empty() {
        said.push(format!(
            "Perplexity at the trained length was not measured for {}: nothing can be said about what they keep.",
            joined(&lost)
        ));
    }
    said
}
