//! Effective lengths: how far a curve is still served, by a stated rule.

use super::group::{Group, Per};
use super::{Change, EffectiveLength, Options, PasskeyPoint};
use crate::record::Protocol;
use crate::stats::{Contrast, Panel};

/// The longest evaluated length up to which the loss is not significantly above the loss at the trained length.
///
/// Its interval asks how far the data speak for themselves. Lower end: the longest length up to which every rise of
/// more than [`Options::notable`] is excluded. Upper end: the longest length up to which no rise is significant when the
/// test is corrected for the number of lengths (Bonferroni). `None` if the trained length was not evaluated, or if there
/// is a single unit and a single seed.
pub(super) fn perplexity(
    group: &Group<'_>,
    protocol: Protocol,
    confidence: f64,
    options: &Options,
) -> Option<EffectiveLength> {
    let trained = group.trained_length()?;
    let seeds = group.seeds_at(protocol, trained);
    let base = group.panel(protocol, trained, Per::Token, &seeds)?;
    base.contrast().one_sided_margin(confidence)?;
    let lengths: Vec<usize> = group
        .lengths(protocol)
        .into_iter()
        .filter(|&l| l > trained)
        .collect();
    let corrected = 1.0 - (1.0 - confidence) / lengths.len().max(1) as f64;
    let steps: Vec<(usize, Contrast)> = lengths
        .iter()
        .map(|&length| excess(group, protocol, length, &seeds, &base).map(|c| (length, c)))
        .collect::<Option<_>>()?;
    let reach = |kept: &dyn Fn(&Contrast) -> bool| {
        steps
            .iter()
            .take_while(|(_, c)| kept(c))
            .last()
            .map_or(trained, |step| step.0)
    };
    // A loss that is not finite is never kept.
    let not_above = |c: &Contrast, level| {
        c.value().is_finite() && c.exceeds(options.tolerance, level) == Some(false)
    };
    let notable = options.notable.max(options.tolerance);
    let excluded = |c: &Contrast| {
        let margin = c.one_sided_margin(confidence);
        margin.is_some_and(|margin| c.value() + margin < notable)
    };
    let length = reach(&|c| not_above(c, confidence));
    let longest = lengths.last().copied().unwrap_or(trained);
    let over = match seeds.len() {
        1 => format!("{} test segments", base.units()),
        n => format!("{n} seeds and {} test segments", base.units()),
    };
    Some(EffectiveLength {
        length,
        multiple: length as f64 / trained as f64,
        low: reach(&excluded).min(length),
        high: reach(&|c| not_above(c, corrected)).max(length),
        at_end: length == longest,
        longest,
        refused_beyond: length == longest
            && group.refused("perplexity").iter().any(|&r| r > longest),
        rule: format!(
            "the longest evaluated length up to which no length has a loss significantly above the loss at the trained \
             length{} (one-sided paired test at {}%, over {over}); lower end of its interval: up to there every rise of \
             more than {notable} nats is excluded; upper end: no rise is significant after correction for the number of \
             lengths",
            if options.tolerance > 0.0 {
                format!(" by more than {} nats", options.tolerance)
            } else {
                String::new()
            },
            100.0 * confidence
        ),
    })
}

/// How the loss changes from the trained length to every other evaluated one, paired over units and seeds.
pub(super) fn changes(group: &Group<'_>, protocol: Protocol, confidence: f64) -> Vec<Change> {
    let Some(trained) = group.trained_length() else {
        return Vec::new();
    };
    let seeds = group.seeds_at(protocol, trained);
    let Some(base) = group.panel(protocol, trained, Per::Token, &seeds) else {
        return Vec::new();
    };
    let change = |length: usize| {
        let contrast = excess(group, protocol, length, &seeds, &base)?;
        let rises = match contrast.value() {
            value if value.is_finite() => contrast.exceeds(0.0, confidence),
            f64::NEG_INFINITY => Some(false),
            _ => Some(true),
        };
        let multiple = length as f64 / trained as f64;
        Some(Change {
            length,
            multiple,
            nll: contrast.estimate(confidence),
            rises,
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

/// The longest evaluated length such that it and every shorter one reach the threshold. The interval asks the same of
/// the lower and of the upper ends of the accuracies' intervals.
pub(super) fn passkey(
    group: &Group<'_>,
    points: &[PasskeyPoint],
    threshold: f64,
) -> Option<EffectiveLength> {
    let (trained, longest) = (group.trained_length()?, points.last()?.length);
    let reach = |passes: &dyn Fn(&PasskeyPoint) -> bool| {
        points
            .iter()
            .take_while(|p| passes(p))
            .last()
            .map_or(0, |p| p.length)
    };
    let length = reach(&|p| p.accuracy.value >= threshold);
    let low = reach(&|p| p.accuracy.interval.is_some_and(|i| i.low >= threshold));
    let high = reach(&|p| p.accuracy.interval.is_none_or(|i| i.high >= threshold));
    Some(EffectiveLength {
        length,
        multiple: length as f64 / trained as f64,
        low: low.min(length),
        high: high.max(length),
        at_end: length == longest,
        longest,
        refused_beyond: length == longest && group.refused("passkey").iter().any(|&r| r > longest),
        rule: format!(
            "the longest evaluated length such that at it and at every shorter one at least {}% of the keys are found; \
             its interval asks the same of the ends of the accuracies' intervals",
            100.0 * threshold
        ),
    })
}
