//! Effective lengths: how far a curve is still served, by a stated rule.
//!
//! A length counts where the data *show* that it is served: the whole interval of what was measured there lies on the good
//! side of a bound. So few units never lengthen an effective length, they only leave more lengths open; and many never shorten
//! that of a curve that stays inside the bound, however significant its rise becomes.

use super::group::Group;
use super::sample::Sample;
use super::{Change, EffectiveLength, MeasureInfo, MeasuredPoint, Service};
use crate::record::{Better, RunPlan, Samples, Scale, Served};
use crate::stats::{Estimate, Interval, combined};

/// Whether a mean that gets worse by `worse` from the trained length on has kept below `margin`.
pub(super) fn kept(worse: Estimate, margin: f64) -> Service {
    held(worse.interval, |x| x < margin)
}

/// Whether a mean reaches `bound`.
pub(super) fn found(mean: Estimate, bound: f64, better: Better) -> Service {
    held(mean.interval, |x| match better {
        Better::Higher => x >= bound,
        Better::Lower => x <= bound,
    })
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
fn longest(
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
    let evaluated = last(&|_| true);
    let shorter = asked.iter().filter(|(l, _)| *l < length);
    EffectiveLength {
        length,
        multiple: length as f64 / trained as f64,
        high: last(&|s| s != Service::NotServed).max(length),
        gaps: shorter
            .filter(|(_, s)| *s != Service::Served)
            .copied()
            .collect(),
        at_end: length == evaluated,
        longest: evaluated,
        refused_beyond: length == evaluated && refused.iter().any(|&r| r > evaluated),
        rule,
    }
}

/// Asks every length how it changed from the trained one, and whether it is served.
pub(super) fn ask(
    group: &Group<'_>,
    info: &MeasureInfo,
    points: &mut [MeasuredPoint],
    plan: &RunPlan,
) {
    let Some(trained) = group.trained_length() else {
        return;
    };
    let base = Sample::at(group, info, trained);
    let at_trained = points.iter().find(|p| p.length == trained).map(|p| p.mean);
    // The mean here minus `factor` times the mean at the trained length.
    let against = |point: &MeasuredPoint, factor: f64| {
        if info.record.samples != Samples::Panel {
            return Some(combined(point.mean, at_trained?, factor));
        }
        let base = base.as_ref()?;
        let here = Sample::at(group, info, point.length)?.of_seeds(&base.seeds())?;
        let found = here.contrast()?.minus(&base.contrast()?.times(factor))?;
        Some(found.estimate(plan.confidence))
    };
    let sign = info.worse();
    for point in points {
        let change = match point.length == trained {
            true => None,
            false => against(point, 1.0),
        };
        // A mean that became infinite, or no number, has no interval, yet is worse.
        let lost = at_trained.is_some_and(|m| m.value.is_finite()) && !point.mean.value.is_finite();
        point.change = change.map(|mean| Change {
            mean,
            worse: mean
                .interval
                .map(|i| toward(i, sign).low > 0.0)
                .or(lost.then_some(true)),
        });
        let own =
            |share: f64| against(point, share).map(|left| found(left, 0.0, info.record.better));
        point.service = match (info.record.served, change) {
            (Served::Never, _) => None,
            (Served::AtLeast(bound), _) => Some(found(point.mean, bound, info.record.better)),
            (Served::Margin | Served::OfOwn(_), _) if point.length == trained => {
                Some(Service::Served)
            }
            (Served::Margin | Served::OfOwn(_), Some(_)) if lost => Some(Service::NotServed),
            (Served::Margin, change) => change.map(|mean| {
                let interval = mean.interval.map(|i| toward(i, sign));
                kept(Estimate { interval, ..mean }, plan.margin)
            }),
            (Served::OfOwn(share), _) => own(share),
        };
    }
}

/// An interval of a change, as one of getting worse.
fn toward(i: Interval, sign: f64) -> Interval {
    match sign < 0.0 {
        true => Interval {
            low: -i.high,
            high: -i.low,
        },
        false => i,
    }
}

/// The longest evaluated length that is served, by the rule of the measure.
///
/// `None` if the measure has no rule; where the rule asks the trained length, if that was not evaluated, if its mean is
/// not finite, or if there is a single unit and a single seed.
pub(super) fn length(
    group: &Group<'_>,
    info: &MeasureInfo,
    points: &[MeasuredPoint],
    plan: &RunPlan,
) -> Option<EffectiveLength> {
    if !info.compares() {
        return None;
    }
    let trained = group.trained_length()?;
    let (least, base) = match info.record.served {
        Served::Never => return None,
        Served::AtLeast(_) => (0, None),
        Served::Margin | Served::OfOwn(_) => {
            let base = points.iter().find(|p| p.length == trained)?;
            base.mean.interval?;
            (trained, Some(base))
        }
    };
    let asked = points.iter().filter(|p| p.length > least);
    let asked: Vec<_> = asked.filter_map(|p| Some((p.length, p.service?))).collect();
    let rule = rule(info, base, plan);
    Some(longest(&asked, least, trained, &group.refused(info), rule))
}

fn rule(info: &MeasureInfo, base: Option<&MeasuredPoint>, plan: &RunPlan) -> String {
    let (noun, unit, units) = (info.noun(), info.unit(), &info.record.units);
    let level = format!("{}%", crate::figure::plain(100.0 * plan.confidence));
    let over = match base {
        Some(p) if p.seeds > 1 => format!("{} seeds and {} {units}", p.seeds, p.units),
        Some(p) => format!("{} {units}", p.units),
        None => String::new(),
    };
    let paired = match info.record.samples {
        Samples::Panel => "the paired difference",
        Samples::Trials | Samples::Sums => "the difference, from the intervals of both",
    };
    let (turn, over_it) = match info.record.better {
        Better::Lower => ("rise", "over"),
        Better::Higher => ("fall", "below"),
    };
    let (asked, open) = match info.record.served {
        Served::Margin => (
            format!(
                "the {noun} is shown to {turn} by less than {}{unit} {over_it} the {noun} at the trained length: the whole \
                 {level} interval of {paired}, over {over}, lies below",
                plan.margin
            ),
            plan.margin.to_string(),
        ),
        Served::OfOwn(share) => (
            format!(
                "the mean ({noun}) is shown to be at least {} of the curve's own at the trained length: the whole {level} \
                 interval of what is left of {paired} (this mean minus that share of the other), over {over}, lies there",
                amount(share, Scale::Share)
            ),
            "0".into(),
        ),
        Served::AtLeast(bound) => (
            format!(
                "the mean ({noun}) is shown to be {} {}: its whole {level} interval lies there",
                most(info.record.better),
                amount(bound, info.record.scale)
            ),
            "the bound".into(),
        ),
        Served::Never => Default::default(),
    };
    format!(
        "the longest evaluated length at which {asked}. A length that is served counts even where a shorter one is not, and \
         where the interval holds {open} nothing is shown"
    )
}

/// `at least` or `at most`, as better is.
pub(crate) fn most(better: Better) -> &'static str {
    match better {
        Better::Higher => "at least",
        Better::Lower => "at most",
    }
}

/// `80%` of a share; else the number.
pub(crate) fn amount(x: f64, scale: Scale) -> String {
    match scale {
        Scale::Share => format!("{}%", crate::figure::plain(100.0 * x)),
        Scale::Exp | Scale::Plain => crate::figure::plain(x),
    }
}

#[cfg(test)]
mod tests;
