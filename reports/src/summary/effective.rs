//! Effective lengths: how far a curve is still served, by a stated rule.

use super::group::{Group, Per};
use super::{Change, EffectiveLength, Options, PasskeyPoint};
use crate::record::Protocol;
use crate::stats::{Contrast, Panel, bootstrap};

/// The longest evaluated length up to which the loss is not significantly above the loss at the trained length.
///
/// The interval is the percentile interval of the same rule over bootstrap resamples of units (and seeds). `None` if
/// the trained length was not evaluated, or if there is a single unit and a single seed.
pub(super) fn perplexity(
    group: &Group<'_>,
    protocol: Protocol,
    confidence: f64,
    options: &Options,
) -> Option<EffectiveLength> {
    let trained = group.trained_length()?;
    let seeds = group.seeds_at(protocol, trained);
    let base = group.panel(protocol, trained, Per::Token, &seeds)?;
    let steps: Vec<Step> = group
        .lengths(protocol)
        .into_iter()
        .filter(|&length| length > trained)
        .map(|length| Step::new(group, protocol, length, &seeds, &base)?.judged(confidence))
        .collect::<Option<_>>()?;
    base.contrast().one_sided_margin(confidence)?;
    let reach = |excess: &dyn Fn(&Step) -> f64| {
        let kept = |step: &&Step| excess(step) - step.margin <= options.tolerance;
        steps
            .iter()
            .take_while(kept)
            .last()
            .map_or(trained, |step| step.length)
    };
    let length = reach(&|step| step.contrast.value());
    let shape = (base.seeds(), base.units());
    let draws = bootstrap(shape, options.resamples, options.seed, |s, u| {
        let at_trained = base.weighted(s, u);
        reach(&|step: &Step| step.panel.weighted(s, u) - at_trained) as f64
    });
    let tail = (1.0 - confidence) / 2.0;
    let (low, high) = nearest_ranks(&draws, tail)?;
    let longest = steps.last().map_or(trained, |step| step.length);
    let tolerance = match options.tolerance {
        0.0 => String::new(),
        t => format!(" by more than {t} nats"),
    };
    let over = match seeds.len() {
        1 => format!("{} test segments", base.units()),
        n => format!("{n} seeds and {} test segments", base.units()),
    };
    Some(EffectiveLength {
        length,
        multiple: length as f64 / trained as f64,
        low: low.min(length),
        high: high.max(length),
        at_end: length == longest,
        longest,
        refused_beyond: length == longest
            && group.refused("perplexity").iter().any(|&r| r > longest),
        rule: format!(
            "the longest evaluated length up to which no length has a loss significantly above the loss at the trained \
             length{tolerance} (one-sided paired test at {}%, over {over})",
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
        let step = Step::new(group, protocol, length, &seeds, &base)?;
        let rises = match step.contrast.value() {
            value if value.is_finite() => step.contrast.exceeds(0.0, confidence),
            value => Some(!(value < 0.0)),
        };
        let multiple = length as f64 / trained as f64;
        Some(Change {
            length,
            multiple,
            nll: step.contrast.estimate(confidence),
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

/// One evaluated length past the trained one.
struct Step {
    length: usize,
    panel: Panel,
    contrast: Contrast,
    /// Distance to the lower end of the one-sided interval of the excess.
    margin: f64,
}

impl Step {
    fn new(
        group: &Group<'_>,
        protocol: Protocol,
        length: usize,
        seeds: &[u64],
        base: &Panel,
    ) -> Option<Step> {
        let panel = group.panel(protocol, length, Per::Token, seeds)?;
        let contrast = panel.contrast().minus(&base.contrast())?;
        Some(Step {
            length,
            panel,
            contrast,
            margin: 0.0,
        })
    }

    /// With the margin of its test; a loss that is not finite is never kept.
    fn judged(self, confidence: f64) -> Option<Step> {
        if !self.contrast.value().is_finite() {
            return Some(Step {
                margin: f64::NEG_INFINITY,
                ..self
            });
        }
        let margin = self.contrast.one_sided_margin(confidence)?;
        Some(Step { margin, ..self })
    }
}

/// The values at ranks `tail` and 1 − `tail`: lengths are not interpolated.
fn nearest_ranks(sorted: &[f64], tail: f64) -> Option<(usize, usize)> {
    let last = sorted.len().checked_sub(1)?;
    let low = (tail * sorted.len() as f64).floor() as usize;
    Some((
        sorted[low.min(last)] as usize,
        sorted[last - low.min(last)] as usize,
    ))
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
