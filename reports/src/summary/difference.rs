//! Differences between curves: paired over the same test units and seeds, where both read the same units.

use super::group::Group;
use super::sample::Sample;
use super::{Difference, MeasureInfo, Options, Outcome};
use crate::record::{Better, Samples};
use crate::stats::{Contrast, Estimate, Interval, holm, paired_bootstrap, paired_shares};

/// A difference with its interval, that of the bootstrap, and its p value.
type Found = (Estimate, Option<Interval>, Option<f64>);

/// Differences of `group` minus `reference` by every measure, at every length that both have, before correction.
pub(super) fn between<'m>(
    group: &Group<'_>,
    reference: &Group<'_>,
    measures: impl Iterator<Item = &'m MeasureInfo>,
    confidence: f64,
    options: &Options,
) -> Vec<Difference> {
    let mut found = Vec::new();
    for info in measures {
        let theirs = reference.lengths(info);
        let shared = group
            .lengths(info)
            .into_iter()
            .filter(|l| theirs.contains(l));
        found.extend(
            shared.filter_map(|l| at_length(group, reference, info, l, confidence, options)),
        );
    }
    found
}

fn at_length(
    group: &Group<'_>,
    reference: &Group<'_>,
    info: &MeasureInfo,
    length: usize,
    confidence: f64,
    options: &Options,
) -> Option<Difference> {
    let (ours, theirs) = (
        Sample::at(group, info, length)?,
        Sample::at(reference, info, length)?,
    );
    let shared = theirs.seeds();
    let seeds: Vec<u64> = ours
        .seeds()
        .into_iter()
        .filter(|s| shared.contains(s))
        .collect();
    let (ours, theirs) = (ours.of_seeds(&seeds)?, theirs.of_seeds(&seeds)?);
    let (difference, bootstrap, p) = match info.record.samples {
        Samples::Panel => panels(&ours, &theirs, confidence, options)?,
        Samples::Trials => trials(&ours, &theirs, confidence)?,
        Samples::Sums => sums(&ours, &theirs, confidence)?,
    };
    Some(Difference {
        key: info.key.clone(),
        what: info.axis(),
        label: group.label.clone(),
        length,
        difference,
        bootstrap,
        p,
        p_holm: None,
        outcome: Outcome::NotComparable,
        units: ours.units(),
        seeds: seeds.len(),
    })
}

fn panels(
    ours: &Sample<'_>,
    theirs: &Sample<'_>,
    confidence: f64,
    options: &Options,
) -> Option<Found> {
    let (ours, theirs) = (ours.panel()?, theirs.panel()?);
    let contrast = ours.contrast().minus(&theirs.contrast())?;
    let bootstrap = paired_bootstrap(&ours, &theirs, confidence, options.resamples, options.seed);
    Some((contrast.estimate(confidence), bootstrap, contrast.p()))
}

/// Sums are paired by number, as trials are, but where all of them are alike: then nothing tells how far they could differ,
/// and the two are taken apart, each with an interval of its own.
fn sums(ours: &Sample<'_>, theirs: &Sample<'_>, confidence: f64) -> Option<Found> {
    let (ours, theirs) = (ours.contrast()?, theirs.contrast()?);
    let paired = ours.paired(&theirs);
    let spread = |c: &Contrast| c.standard_error().is_some_and(|error| error > 0.0);
    if let Some(paired) = paired.filter(spread) {
        return Some((paired.estimate(confidence), None, paired.p()));
    }
    let (difference, p) = ours.apart(&theirs, confidence);
    Some((difference, None, p))
}

/// Trials are paired by the values of the factors and by number: both schemes read the same prompts.
fn trials(ours: &Sample<'_>, theirs: &Sample<'_>, confidence: f64) -> Option<Found> {
    let mut rows: Vec<Vec<i8>> = Vec::new();
    for (seed, points) in &ours.seeds {
        let (_, others) = theirs.seeds.iter().find(|(s, _)| s == seed)?;
        let mut row = Vec::new();
        for point in points {
            let other = others.iter().find(|o| o.at == point.at)?;
            let hit = |x: f64| i8::from(x > 0.5);
            row.extend(
                point
                    .value
                    .iter()
                    .zip(&other.value)
                    .map(|(&a, &b)| hit(a) - hit(b)),
            );
        }
        rows.push(row);
    }
    rows.first()?;
    let (difference, p) = paired_shares(&rows, confidence);
    Some((difference, None, p))
}

/// Corrects all differences by each measure for their number, and says what each supports.
pub(super) fn correct(differences: &mut [Difference], measures: &[MeasureInfo], confidence: f64) {
    for info in measures {
        let tested = |d: &Difference| d.key == info.key && d.p.is_some();
        let mine: Vec<usize> = (0..differences.len())
            .filter(|&i| tested(&differences[i]))
            .collect();
        let p: Vec<f64> = mine.iter().filter_map(|&i| differences[i].p).collect();
        for (&i, adjusted) in mine.iter().zip(holm(&p)) {
            let found = &mut differences[i];
            found.p_holm = Some(adjusted);
            found.outcome = outcome(
                info.record.better,
                found.difference,
                adjusted,
                1.0 - confidence,
            );
        }
    }
}

fn outcome(better: Better, difference: Estimate, p: f64, level: f64) -> Outcome {
    if difference.interval.is_none() {
        return Outcome::NotComparable;
    }
    let better = match better {
        Better::Lower => difference.value < 0.0,
        Better::Higher => difference.value > 0.0,
    };
    match p <= level {
        true if better => Outcome::Better,
        true => Outcome::Worse,
        false => Outcome::NoDifference,
    }
}
