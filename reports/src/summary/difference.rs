//! Paired differences between curves over the same test units and seeds.

use super::group::{Group, Per};
use super::{Difference, Measure, Options, Outcome};
use crate::record::Protocol;
use crate::stats::{Estimate, holm, paired_bootstrap, paired_shares};

/// Differences of `group` minus `reference` at every length that both have, before correction.
pub(super) fn between(
    group: &Group<'_>,
    reference: &Group<'_>,
    protocol: Option<Protocol>,
    confidence: f64,
    options: &Options,
) -> Vec<Difference> {
    let mut found = Vec::new();
    if let Some(protocol) = protocol {
        let shared = |length: &usize| reference.lengths(protocol).contains(length);
        let lengths = group.lengths(protocol).into_iter().filter(shared);
        found.extend(lengths.filter_map(|length| {
            perplexity(group, reference, protocol, length, confidence, options)
        }));
    }
    let shared = |length: &usize| reference.passkey_lengths().contains(length);
    let lengths = group.passkey_lengths().into_iter().filter(shared);
    found.extend(lengths.filter_map(|length| passkey(group, reference, length, confidence)));
    found
}

fn perplexity(
    group: &Group<'_>,
    reference: &Group<'_>,
    protocol: Protocol,
    length: usize,
    confidence: f64,
    options: &Options,
) -> Option<Difference> {
    let theirs = reference.seeds_at(protocol, length);
    let seeds: Vec<u64> = group
        .seeds_at(protocol, length)
        .into_iter()
        .filter(|s| theirs.contains(s))
        .collect();
    let ours = group.panel(protocol, length, Per::Token, &seeds)?;
    let theirs = reference.panel(protocol, length, Per::Token, &seeds)?;
    let contrast = ours.contrast().minus(&theirs.contrast())?;
    Some(Difference {
        measure: Measure::Perplexity,
        protocol: Some(protocol),
        label: group.label.clone(),
        length,
        difference: contrast.estimate(confidence),
        bootstrap: paired_bootstrap(&ours, &theirs, confidence, options.resamples, options.seed),
        p: contrast.p(),
        p_holm: None,
        outcome: Outcome::NotComparable,
        units: ours.units(),
        seeds: seeds.len(),
    })
}

fn passkey(
    group: &Group<'_>,
    reference: &Group<'_>,
    length: usize,
    confidence: f64,
) -> Option<Difference> {
    let theirs = reference.passkey_at(length);
    let mut rows: Vec<Vec<i8>> = Vec::new();
    for (seed, records) in group.passkey_at(length) {
        let Some((_, others)) = theirs.iter().find(|(s, _)| *s == seed) else {
            continue;
        };
        let mut row = Vec::new();
        for record in records {
            // Trials are paired by depth and number: both schemes read the same prompts.
            let other = others.iter().find(|o| o.depth == record.depth)?;
            let pairs = record.hits.iter().zip(&other.hits);
            row.extend(pairs.map(|(&a, &b)| i8::from(a) - i8::from(b)));
        }
        rows.push(row);
    }
    let units = rows.first()?.len();
    let (difference, p) = paired_shares(&rows, confidence);
    Some(Difference {
        measure: Measure::Passkey,
        protocol: None,
        label: group.label.clone(),
        length,
        difference,
        bootstrap: None,
        p,
        p_holm: None,
        outcome: Outcome::NotComparable,
        units,
        seeds: rows.len(),
    })
}

/// Corrects all differences of each measure for their number, and says what each supports.
pub(super) fn correct(differences: &mut [Difference], confidence: f64) {
    for measure in [Measure::Perplexity, Measure::Passkey] {
        let mine: Vec<usize> = (0..differences.len())
            .filter(|&i| differences[i].measure == measure && differences[i].p.is_some())
            .collect();
        let p: Vec<f64> = mine.iter().filter_map(|&i| differences[i].p).collect();
        for (&i, adjusted) in mine.iter().zip(holm(&p)) {
            differences[i].p_holm = Some(adjusted);
            differences[i].outcome = outcome(
                measure,
                differences[i].difference,
                adjusted,
                1.0 - confidence,
            );
        }
    }
}

fn outcome(measure: Measure, difference: Estimate, p: f64, level: f64) -> Outcome {
    if difference.interval.is_none() {
        return Outcome::NotComparable;
    }
    let better = match measure {
        Measure::Perplexity => difference.value < 0.0,
        Measure::Passkey => difference.value > 0.0,
    };
    match p <= level {
        true if better => Outcome::Better,
        true => Outcome::Worse,
        false => Outcome::NoDifference,
    }
}
