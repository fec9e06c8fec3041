//! What could not be measured, and what limits the rest.

use super::words::{joined, number};
use crate::record::{Samples, Served};
use crate::summary::{Curve, MeasureInfo, StudySummary};
use std::collections::BTreeSet;

/// Fewer units with a sum each than this get a caveat.
const FEW_UNITS: usize = 20;
/// Fewer trials per length than this get a caveat.
const FEW_TRIALS: usize = 100;

/// What the comparisons of the study can show whatever is measured, from the number of seeds and of comparisons alone.
pub(super) fn design(study: &StudySummary) -> Option<String> {
    let design = study.design?;
    let reference = &study.reference.as_ref()?.label;
    let (seeds, n) = (design.seeds, design.comparisons);
    let comparisons = if n == 1 {
        "comparison".into()
    } else {
        format!("{n} comparisons")
    };
    if seeds < 2 {
        return Some(format!(
            "One seed: a difference from {reference} is one between trainings and says nothing of the schemes; {} or more seeds \
             can show differences of the schemes over {comparisons}.",
            design.enough()
        ));
    }
    let least = number(design.least());
    Some(match design.shows() {
        false => format!(
            "{seeds} seeds and {comparisons} cannot show a difference from {reference}: to be significant it would have to be \
             {least} times its own standard deviation between seeds. Use {} seeds or more, or fewer schemes and lengths.",
            design.enough()
        ),
        true => format!(
            "{seeds} seeds and {comparisons}: a difference from {reference} is significant only if it is more than {least} times \
             its own standard deviation between seeds; more test units do not help below that."
        ),
    })
}

/// Which schemes cannot be read past some length, in their own words, or which measure has no value there.
pub(super) fn refusals(study: &StudySummary) -> Vec<String> {
    let of = |curve: &Curve| {
        let first = curve.refused.iter().min_by_key(|r| r.length)?;
        let reason = first.reason.trim_end_matches('.');
        let (label, length) = (&curve.label, first.length);
        let mut read = curve.measured.iter().flat_map(|m| &m.points);
        // What another measure read there can be read; this one found nothing to measure.
        if read.any(|point| point.length == length) {
            let of = |m: &&MeasureInfo| m.record.measure == first.measure;
            let title = study.measures.iter().find(of).map(|m| &m.record.title);
            let title = title.unwrap_or(&first.measure);
            return Some(format!(
                "{title} of {label} has no value at {length} tokens: {reason}."
            ));
        }
        Some(format!(
            "{label} cannot be read at {length} tokens: {reason}."
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
        (Some(&few), Some(&most)) if few != most => {
            said.push(format!(
                "Curves rest on {few} to {most} seeds; those with fewer are less certain."
            ));
        }
        _ => {}
    }
    let mut few: Vec<String> = Vec::new();
    for info in study.compared() {
        let points = || {
            study
                .curves
                .iter()
                .filter_map(|c| c.measured(&info.key))
                .flat_map(|m| &m.points)
        };
        let units = &info.record.units;
        few.extend(match info.record.samples {
            Samples::Trials => {
                let least = points()
                    .map(|p| p.weight as usize)
                    .min()
                    .filter(|&n| n < FEW_TRIALS);
                least.map(|n| format!("Only {n} {units} at a length: shares are rough."))
            }
            Samples::Panel | Samples::Sums => {
                let least = points().map(|p| p.units).min().filter(|&n| n < FEW_UNITS);
                least.map(|n| {
                    format!(
                        "Only {n} {units}: small changes of {} can neither be shown nor excluded.",
                        info.noun()
                    )
                })
            }
        });
    }
    few.dedup();
    said.extend(few);
    // What a checkpoint's config leaves open holds for all that read it; a scheme's own note names the scheme.
    let mut notes: Vec<&String> = study.curves.iter().flat_map(|c| &c.model.notes).collect();
    let mut seen = BTreeSet::new();
    notes.retain(|note| seen.insert(*note));
    said.extend(
        notes
            .iter()
            .map(|note| format!("Of the checkpoint: {}.", note.trim_end_matches('.'))),
    );
    for info in study
        .compared()
        .filter(|m| matches!(m.record.served, Served::Margin | Served::OfOwn(_)))
    {
        let lost = |c: &&Curve| {
            c.measured(&info.key)
                .is_some_and(|m| m.at(c.trained_length).is_none())
        };
        let lost: Vec<String> = study
            .curves
            .iter()
            .filter(lost)
            .map(|c| c.label.clone())
            .collect();
        if !lost.is_empty() {
            said.push(format!(
                "{} at the trained length was not measured for {}: nothing can be said about what they keep.",
                info.record.title,
                joined(&lost)
            ));
        }
    }
    said
}
