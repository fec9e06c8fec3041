//! Effective lengths: how far a curve is still served, by a stated rule.
//!
//! A length counts where the data *show* that it is served: the whole interval of what was measured there lies on the good
//! side of a bound. So few units never lengthen a reach, they only leave more lengths open; and many never shorten the
//! reach of a curve that stays inside the bound, however significant its rise becomes.

use super::group::{Group, Per};
use super::{Change, EffectiveLength, PasskeyPoint, Service};
use crate::record::Protocol;
use crate::stats::{Contrast, Estimate, Interval, Panel};

/// Whether a loss that changes by `rise` nats per token from the trained length on has kept below `margin`.
pub(super) fn kept(rise: Estimate, margin: f64) -> Service {
    held(rise.interval, |x| x < margin)
}

/// Whether a share of keys reaches `threshold`.
pub(super) fn found(accuracy: Estimate, threshold: f64) -> Service {
    held(accuracy.interval, |x| x >= threshold)
}

/// What an interval says when its ends are asked: both, none or one of them hold.
fn held(interval: Option<Interval>, holds: impl Fn(f64) -> bool) -> Service {
    match interval.map(|i| (holds(i.low), holds(i.high))) {
        Some((true, true)) => Service::Served,
        Some((false, false)) => Service::NotServed,
        _ => Service::NotShown,
    }
}

/// The longest length that is served, and what is open or lost below and beyond it. `least` is served without saying.
fn reach(
    asked: &[(usize, Service)],
    least: usize,
    trained: usize,
    refused: &[usize],
    rule: String,
) -> EffectiveLength {
    let last = |wanted: &dyn Fn(Service) -> bool| {
        let found = asked.iter().rev().find(|(_, service)| wanted(*service));
        found.map_or(least, |(length, _)| *length)
    };
    let length = last(&|s| s == Service::Served);
    let longest = last(&|_| true);
    let shorter = asked.iter().filter(|(l, _)| *l < length);
    EffectiveLength {
        length,
        multiple: length as f64 / trained as f64,
        high: last(&|s| s != Service::NotServed).max(length),
        gaps: shorter
            .filter(|(_, s)| *s != Service::Served)
            .copied()
            .collect(),
        at_end: length == longest,
        longest,
        refused_beyond: length == longest && refused.iter().any(|&r| r > longest),
        rule,
    }
}

/// The longest evaluated length whose loss is shown to be less than `margin` above the loss at the trained length.
///
/// `None` if the trained length was not evaluated, if its loss is not finite, or if there is a single unit and a single
/// seed.
pub(super) fn perplexity(
    group: &Group<'_>,
    protocol: Protocol,
    changes: &[Change],
    confidence: f64,
    margin: f64,
) -> Option<EffectiveLength> {
    let trained = group.trained_length()?;
    let seeds = group.seeds_at(protocol, trained);
    let base = group.panel(protocol, trained, Per::Token, &seeds)?;
    base.estimate(confidence).interval?;
    let beyond = changes.iter().filter(|c| c.length > trained);
    let asked: Vec<(usize, Service)> = beyond.map(|c| (c.length, c.service)).collect();
    let over = match seeds.len() {
        1 => format!("{} test segments", base.units()),
        n => format!("{n} seeds and {} test segments", base.units()),
    };
    let rule = format!(
        "the longest evaluated length at which the loss is shown to rise by less than {margin} nats per token over the loss \
         at the trained length: the whole {}% interval of the paired difference, over {over}, lies below. A length that is \
         served counts even where a shorter one is not, and where the interval holds {margin} nothing is shown",
        100.0 * confidence
    );
    let refused = group.refused("perplexity");
    Some(reach(&asked, trained, trained, &refused, rule))
}

/// How the loss changes from the trained length to every other evaluated one, paired over units and seeds.
pub(super) fn changes(
    group: &Group<'_>,
    protocol: Protocol,
    confidence: f64,
    margin: f64,
) -> Vec<Change> {
    let Some(trained) = group.trained_length() else {
        return Vec::new();
    };
    let seeds = group.seeds_at(protocol, trained);
    let Some(base) = group.panel(protocol, trained, Per::Token, &seeds) else {
        return Vec::new();
    };
    let change = |length: usize| {
        let nll = excess(group, protocol, length, &seeds, &base)?.estimate(confidence);
        // A loss that became infinite, or no number, has no interval, yet has risen.
        let lost = base.value().is_finite() && !nll.value.is_finite();
        Some(Change {
            length,
            multiple: length as f64 / trained as f64,
            nll,
            rises: nll.interval.map(|i| i.low > 0.0).or(lost.then_some(true)),
            service: match lost {
                true => Service::NotServed,
                false => kept(nll, margin),
            },
        })
    };
    group
        .lengths(protocol)
        .into_iter()
        .filter(|&l| l != trained)
        .filter_map(change)
        .collect()
}

/// Loss at `length` minus loss at the trained length, paired over units and seeds.
fn excess(
    group: &Group<'_>,
    protocol: Protocol,
    length: usize,
    seeds: &[u64],
    base: &Panel,
) -> Option<Contrast> {
    let panel = group.panel(protocol, length, Per::Token, seeds)?;
    panel.contrast().minus(&base.contrast())
}

/// The longest evaluated length at which the share of keys found is shown to reach the threshold.
pub(super) fn passkey(
    group: &Group<'_>,
    points: &[PasskeyPoint],
    confidence: f64,
    threshold: f64,
) -> Option<EffectiveLength> {
    let trained = group.trained_length()?;
    points.last()?;
    let asked: Vec<(usize, Service)> = points.iter().map(|p| (p.length, p.service)).collect();
    let rule = format!(
        "the longest evaluated length at which at least {}% of the keys are shown to be found: the whole {}% interval of the \
         accuracy lies there. A length that is served counts even where a shorter one is not, and where the interval holds \
         the threshold nothing is shown",
        100.0 * threshold,
        100.0 * confidence
    );
    let refused = group.refused("passkey");
    Some(reach(&asked, 0, trained, &refused, rule))
}

#[cfg(test)]
mod tests;
