//! How far what is asked for is right: measures that are served from a bound on.

use super::words::joined;
use super::{About, place, value};
use crate::record::{Better, Served};
use crate::summary::{Curve, EffectiveLength, MeasureInfo, Measured, StudySummary, amount, most};

/// `at least 80%`, `at least 85% of its share at the trained length`.
fn wanted(info: &MeasureInfo) -> String {
    match info.record.served {
        Served::OfOwn(share) => format!(
            "at least {:.0}% of its share at the trained length",
            100.0 * share
        ),
        Served::AtLeast(bound) => format!(
            "{} {}",
            most(info.record.better),
            amount(bound, info.record.scale)
        ),
        Served::Margin | Served::Never => String::new(),
    }
}

/// What is right at the trained length, and until where.
pub(super) fn sentences(about: About<'_>) -> Vec<String> {
    let (study, info) = (about.study, about.info);
    let (title, quantity, scale) = (&info.record.title, &info.record.quantity, info.record.scale);
    let wanted = wanted(info);
    let open = |e: &EffectiveLength| match e.high > e.length {
        true => format!(" (up to {} tokens are not excluded)", e.high),
        false => String::new(),
    };
    let mut said = Vec::new();
    let at_trained = |(c, m): (&Curve, &Measured)| {
        Some(format!(
            "{} {}",
            c.label,
            value(m.at(c.trained_length)?.shown, scale)
        ))
    };
    let start: Vec<String> = about.measured().filter_map(at_trained).collect();
    if !start.is_empty() {
        let at = study
            .trained()
            .map_or("the trained length".into(), |l| place(study, l));
        said.push(format!("{title}, {quantity} at {at}: {}.", joined(&start)));
    }
    let reaches: Vec<(&Curve, &Measured, &EffectiveLength)> = about
        .measured()
        .filter_map(|(c, m)| Some((c, m, m.effective.as_ref()?)))
        .collect();
    for &length in info.lengths.iter().rev() {
        let here = reaches
            .iter()
            .filter(|(_, _, e)| e.length == length && e.gaps.is_empty());
        let names: Vec<String> = here
            .map(|(c, _, e)| format!("{}{}", c.label, open(e)))
            .collect();
        if !names.is_empty() {
            let end = match info.lengths.last() == Some(&length) {
                true => ", the longest evaluated",
                false => "",
            };
            let at = place(study, length);
            said.push(format!(
                "{title}: {quantity} {wanted} up to {at}{end} by {}.",
                joined(&names)
            ));
        }
    }
    for (curve, _, e) in reaches.iter().filter(|(_, _, e)| !e.gaps.is_empty()) {
        let (at, open, holes) = (e.length, open(e), e.holes());
        said.push(format!(
            "{title}: {quantity} {wanted} at {at} tokens{open}, though {holes}, by {}.",
            curve.label
        ));
    }
    let none = |lost: bool| -> Vec<String> {
        let here = reaches
            .iter()
            .filter(|(_, _, e)| e.length == 0 && (e.high == 0) == lost);
        let words = |(c, m, _): &(&Curve, &Measured, &EffectiveLength)| {
            let first = m.points.first()?;
            Some(format!(
                "{} ({} at {} tokens)",
                c.label,
                value(first.shown, scale),
                first.length
            ))
        };
        here.filter_map(words).collect()
    };
    let (lost, open) = (none(true), none(false));
    if !lost.is_empty() {
        let beyond = match info.record.better {
            Better::Higher => wanted.replacen("at least", "below", 1),
            Better::Lower => wanted.replacen("at most", "above", 1),
        };
        said.push(format!(
            "{title}: {quantity} {beyond} at every evaluated length by {}.",
            joined(&lost)
        ));
    }
    if !open.is_empty() {
        said.push(format!(
            "{title}: {quantity} {wanted} is shown at no length for {}.",
            joined(&open)
        ));
    }
    said.extend(unlearned(study, info));
    said
}

/// A note on curves that are shown not to reach the bound at the trained length already: what they do beyond it says nothing
/// of length. Of a measure that asks for a share of a curve's own, on those that do not rise above chance there.
pub(crate) fn unlearned(study: &StudySummary, info: &MeasureInfo) -> Option<String> {
    let fails = |c: &&Curve| {
        let Some(point) = c.measured(&info.key).and_then(|m| m.at(c.trained_length)) else {
            return false;
        };
        match (info.record.served, info.chance_at(c.trained_length)) {
            (Served::AtLeast(bound), _) => match info.record.better {
                Better::Higher => point.mean.interval.map_or(point.mean.value, |i| i.high) < bound,
                Better::Lower => point.mean.interval.map_or(point.mean.value, |i| i.low) > bound,
            },
            (Served::OfOwn(_), Some(chance)) => point.mean.interval.is_none_or(|i| i.low <= chance),
            _ => false,
        }
    };
    let names: Vec<String> = study
        .curves
        .iter()
        .filter(fails)
        .map(|c| c.label.clone())
        .collect();
    if names.is_empty() {
        return None;
    }
    let chance = study.trained().and_then(|l| info.chance_at(l));
    let chance = chance.map(|c| amount(c, info.record.scale));
    let (bound, beside) = match (info.record.served, chance) {
        (Served::AtLeast(_), Some(chance)) => (wanted(info), format!(" (chance: {chance})")),
        (Served::AtLeast(_), None) => (wanted(info), String::new()),
        (_, chance) => (
            format!("above chance ({})", chance.unwrap_or_default()),
            String::new(),
        ),
    };
    Some(format!(
        "{}: {} {bound} is not reached even at the trained length by {}{beside}; what follows beyond it says little of length.",
        info.record.title,
        info.record.quantity,
        joined(&names)
    ))
}
