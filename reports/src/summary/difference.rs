//! Differences between curves: paired over the same test units and seeds, where both read the same units.

use super::group::Group;
use super::sample::Sample;
use super::{Difference, MeasureInfo, Outcome};
use crate::record::{Better, Samples, Scale};
use crate::stats::{Contrast, Estimate, Evidence, paired_shares, simultaneous};

/// A difference before it is known how many are made at once.
pub(super) struct Pair {
    pub(super) found: Difference,
    pub(super) evidence: Evidence,
}

/// Differences of `group` minus `reference` by every measure, at every length that both have.
pub(super) fn between<'m>(
    group: &Group<'_>,
    reference: &Group<'_>,
    measures: impl Iterator<Item = &'m MeasureInfo>,
) -> Vec<Pair> {
    let mut found = Vec::new();
    for info in measures {
        let theirs = reference.lengths(info);
        let shared = group.lengths(info).into_iter();
        let shared = shared.filter(|l| theirs.contains(l));
        found.extend(shared.filter_map(|l| at_length(group, reference, info, l)));
    }
    found
}

/// Difference of `group` minus `reference` at one length, over the seeds that both have.
pub(super) fn at_length(
    group: &Group<'_>,
    reference: &Group<'_>,
    info: &MeasureInfo,
    length: usize,
) -> Option<Pair> {
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
    let evidence = match info.record.samples {
        Samples::Panel => units(&ours, &theirs, info, Contrast::minus)?,
        Samples::Sums => units(&ours, &theirs, info, Contrast::paired)?,
        Samples::Trials => trials(&ours, &theirs)?,
    };
    let evidence = match info.record.scale {
        Scale::Share => evidence.within(-1.0, 1.0),
        Scale::Exp | Scale::Plain => evidence,
    };
    Some(Pair {
        found: Difference {
            key: info.key.clone(),
            what: info.axis(),
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
            units: ours.units(),
            seeds: seeds.len(),
        },
        evidence,
    })
}

/// Units are paired, those of a panel over all seeds, others by number within a seed. Where all differences of shares are
/// alike, nothing tells how far they could differ, and the two are taken apart, each with a spread of its own.
fn units(
    ours: &Sample<'_>,
    theirs: &Sample<'_>,
    info: &MeasureInfo,
    pair: fn(&Contrast, &Contrast) -> Option<Contrast>,
) -> Option<Evidence> {
    let paired = pair(&ours.contrast()?, &theirs.contrast()?);
    let spread = |c: &Contrast| c.standard_error().is_some_and(|error| error > 0.0);
    let share = info.record.scale == Scale::Share;
    match paired {
        Some(paired) if spread(&paired) || !share => Some(paired.evidence()),
        None if info.record.samples == Samples::Panel => None,
        _ => ours.evidence()?.apart(&theirs.evidence()?),
    }
}

/// Trials are paired by the values of the factors and by number: both schemes read the same prompts.
fn trials(ours: &Sample<'_>, theirs: &Sample<'_>) -> Option<Evidence> {
    let mut rows: Vec<Vec<i8>> = Vec::new();
    for (seed, points) in &ours.seeds {
        let (_, others) = theirs.seeds.iter().find(|(s, _)| s == seed)?;
        let mut row = Vec::new();
        for point in points {
            let other = others.iter().find(|o| o.at == point.at)?;
            let hit = |x: f64| i8::from(x > 0.5);
            let both = point.value.iter().zip(&other.value);
            row.extend(both.map(|(&a, &b)| hit(a) - hit(b)));
        }
        rows.push(row);
    }
    paired_shares(&rows)
}

/// How many of the differences are by each measure.
pub(super) fn counted<'m>(
    pairs: &[Pair],
    measures: &'m [MeasureInfo],
) -> Vec<(&'m MeasureInfo, usize)> {
    let count = |m: &MeasureInfo| pairs.iter().filter(|p| p.found.key == m.key).count();
    measures.iter().map(|m| (m, count(m))).collect()
}

/// Makes the differences by each measure simultaneous over so many comparisons.
pub(super) fn corrected(
    pairs: Vec<Pair>,
    family: &[(&MeasureInfo, usize)],
    confidence: f64,
) -> Vec<Difference> {
    let of = |pair: Pair| {
        let measure = family.iter().find(|(m, _)| m.key == pair.found.key);
        let made = measure.map(|(info, made)| (info.record.better, *made));
        made.map_or(pair.found.clone(), |(better, made)| {
            pair.corrected(better, made, confidence)
        })
    };
    pairs.into_iter().map(of).collect()
}

impl Pair {
    /// The difference, simultaneous over so many comparisons (Bonferroni), interval and p value alike, with what it
    /// supports: what its interval leaves out.
    pub(super) fn corrected(
        self,
        better: Better,
        comparisons: usize,
        confidence: f64,
    ) -> Difference {
        let mut found = self.found;
        found.comparisons = comparisons;
        found.difference = self
            .evidence
            .estimate(simultaneous(confidence, comparisons));
        found.p = self.evidence.p();
        found.p_adjusted = found.p.map(|p| (p * comparisons.max(1) as f64).min(1.0));
        found.outcome = outcome(&found, better);
        found
    }
}

fn outcome(found: &Difference, better: Better) -> Outcome {
    let Some(interval) = found.difference.interval else {
        return Outcome::NotComparable;
    };
    let gains = match better {
        Better::Lower => interval.high < 0.0,
        Better::Higher => interval.low > 0.0,
    };
    match (interval.contains(0.0), gains, found.seeds > 1) {
        (true, ..) => Outcome::NoDifference,
        (false, true, true) => Outcome::Better,
        (false, false, true) => Outcome::Worse,
        (false, true, false) => Outcome::BetterOnce,
        (false, false, false) => Outcome::WorseOnce,
    }
}
