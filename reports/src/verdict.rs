//! What the numbers of a study support, in sentences.
//!
//! Every sentence rests on an interval or a test of the summary. Of a loss the first thing that is said is how much it
//! may have risen, against the run's margin; whether a rise is significant comes second. "Better" needs a significant
//! paired difference after correction. Labels come from the records; no scheme is known here.

mod limits;
mod search;
mod words;

use crate::record::Stage;
use crate::summary::{
    Change, Curve, Difference, EffectiveLength, Estimate, Measure, Outcome, PerplexityPoint,
    Sentence, SentenceKind, Service, StudySummary,
};
use limits::{caveats, refusals};
use words::{bracket, joined, number, percent, signed};

/// The verdict of a study: `margin` in nats per token, `passkey_threshold` as a share.
#[must_use]
pub fn study(study: &StudySummary, margin: f64, passkey_threshold: f64) -> Vec<Sentence> {
    let mut said = Vec::new();
    said.extend(perplexity(study, margin).into_iter().map(finding));
    said.extend(fine_tuning(study).into_iter().map(finding));
    said.extend(search::outcomes(study).into_iter().map(finding));
    said.extend(
        against_reference(study, Measure::Perplexity)
            .into_iter()
            .map(finding),
    );
    said.extend(passkey(study, passkey_threshold).into_iter().map(finding));
    said.extend(
        against_reference(study, Measure::Passkey)
            .into_iter()
            .map(finding),
    );
    said.extend(refusals(study).into_iter().map(finding));
    said.extend(caveats(study).into_iter().map(caveat));
    said
}

fn finding(text: String) -> Sentence {
    Sentence {
        text,
        kind: SentenceKind::Finding,
    }
}

fn caveat(text: String) -> Sentence {
    Sentence {
        text,
        kind: SentenceKind::Caveat,
    }
}

/// A curve with its loss at the trained length and at the longest evaluated one.
struct Ends<'a> {
    label: &'a str,
    near: &'a PerplexityPoint,
    far: &'a PerplexityPoint,
    change: &'a Change,
    effective: Option<&'a EffectiveLength>,
}

/// The longest length that any curve of the study was read at under the headline protocol.
fn longest(study: &StudySummary) -> Option<usize> {
    let lengths = study
        .curves
        .iter()
        .flat_map(|c| points(study, c))
        .map(|p| p.length);
    lengths.max()
}

fn points<'a>(study: &StudySummary, curve: &'a Curve) -> &'a [PerplexityPoint] {
    let of = curve
        .perplexity
        .iter()
        .find(|p| Some(p.protocol) == study.headline);
    of.map_or(&[], |p| p.points.as_slice())
}

fn ends<'a>(study: &StudySummary, curves: &'a [Curve], far: usize) -> Vec<Ends<'a>> {
    let of = |curve: &'a Curve| {
        let points = points(study, curve);
        Some(Ends {
            label: &curve.label,
            near: points.iter().find(|p| p.length == curve.trained_length)?,
            far: points.iter().find(|p| p.length == far)?,
            change: curve.changes.iter().find(|c| c.length == far)?,
            effective: curve.effective_perplexity.as_ref(),
        })
    };
    curves.iter().filter_map(of).collect()
}

/// `8× the trained length (1024 tokens)`; only the tokens where curves were trained at different lengths.
fn place(study: &StudySummary, length: usize) -> String {
    match study.trained_lengths.as_slice() {
        [trained] if *trained != length => {
            let multiple = length as f64 / *trained as f64;
            format!(
                "{}× the trained length ({length} tokens)",
                number(multiple).trim_end_matches(".00")
            )
        }
        [_] => format!("the trained length ({length} tokens)"),
        _ => format!("{length} tokens"),
    }
}

/// How perplexity at the longest length compares with perplexity at the trained length.
fn perplexity(study: &StudySummary, margin: f64) -> Vec<String> {
    let Some(far) = longest(study) else {
        return Vec::new();
    };
    let all = ends(study, &study.curves, far);
    let at = place(study, far);
    let falls = |e: &Ends<'_>| e.change.nll.interval.is_some_and(|i| i.high < 0.0);
    let listed = |wanted: &dyn Fn(&Ends<'_>) -> bool, words: &dyn Fn(&Ends<'_>) -> String| {
        let items: Vec<String> = all.iter().filter(|e| wanted(e)).map(words).collect();
        (!items.is_empty()).then(|| joined(&items))
    };
    let mut said = Vec::new();
    let below = listed(&|e| falls(e), &|e| change(e));
    said.extend(
        below.map(|who| {
            format!("At {at} the loss is below the loss at the trained length for {who}.")
        }),
    );
    let kept = listed(
        &|e| e.change.service == Service::Served && !falls(e),
        &|e| change(e),
    );
    said.extend(kept.map(|who| {
        format!(
            "At {at} a rise of the loss by {margin} nats per token or more is excluded for {who}."
        )
    }));
    let open = listed(&|e| e.change.service == Service::NotShown, &|e| {
        format!("{}{}", change(e), reached(e, margin))
    });
    said.extend(open.map(|who| {
        format!(
            "At {at} it is not shown whether the loss rises by {margin} nats per token or more for {who}."
        )
    }));
    let risen = |e: &Ends<'_>| {
        let (near, far) = (e.near.perplexity, e.far.perplexity);
        format!(
            "{} from {} to {}{}{}",
            e.label,
            number(near.value),
            number(far.value),
            factor(e.change.nll),
            reached(e, margin)
        )
    };
    let lost = |e: &&Ends<'_>| e.change.service == Service::NotServed;
    let worse: Vec<String> = all.iter().filter(lost).map(risen).collect();
    if !worse.is_empty() {
        said.push(format!(
            "At {at} perplexity has risen for {}.",
            worse.join("; ")
        ));
    }
    for curve in &study.curves {
        let reach = curve.effective_perplexity.as_ref();
        if let Some(reach) = reach.filter(|reach| !reach.gaps.is_empty()) {
            said.push(format!(
                "The loss of {} is served at {} tokens, though {}.",
                curve.label,
                reach.length,
                reach.holes()
            ));
        }
    }
    said
}

/// `alibi (change +0.021 [+0.012, +0.030] nats, a significant rise)`.
fn change(e: &Ends<'_>) -> String {
    let nats = e.change.nll;
    let significant = match e.change.rises {
        Some(true) => ", a significant rise",
        _ => "",
    };
    format!(
        "{} (change {}{} nats{significant})",
        e.label,
        signed(nats.value),
        bracket(nats.interval, signed)
    )
}

/// How far a loss that is not served at the longest length is served.
fn reached(e: &Ends<'_>, margin: f64) -> String {
    match e.effective {
        Some(x) if x.multiple > 1.0 => {
            let to = if x.gaps.is_empty() { "up to" } else { "at" };
            format!(", by less than {margin} nats {to} {} tokens", x.length)
        }
        _ => String::new(),
    }
}

/// What fine-tuning did for a scheme that was also read without it; said only where the paired difference is
/// significant.
fn fine_tuning(study: &StudySummary) -> Vec<String> {
    let Some(far) = longest(study) else {
        return Vec::new();
    };
    let value = |tuned: &Curve, stage: Stage| {
        let same = |c: &&Curve| c.scheme.name == tuned.scheme.name && c.scheme.stage == stage;
        let points = points(study, study.curves.iter().find(same)?);
        Some(number(
            points.iter().find(|p| p.length == far)?.perplexity.value,
        ))
    };
    let told = |d: &&Difference| matches!(d.outcome, Outcome::Better | Outcome::Worse);
    let mine = |d: &&Difference| d.measure == Measure::Perplexity && d.length == far;
    let changed: Vec<String> = study
        .fine_tuning
        .iter()
        .filter(mine)
        .filter(told)
        .filter_map(|d| {
            let tuned = study.curves.iter().find(|c| c.label == d.label)?;
            let (before, after) = (
                value(tuned, Stage::ZeroShot)?,
                value(tuned, Stage::FineTuned)?,
            );
            Some(format!(
                "{} from {before} to {after}{}",
                tuned.scheme.name,
                factor(d.difference)
            ))
        })
        .collect();
    if changed.is_empty() {
        return Vec::new();
    }
    vec![format!(
        "Fine-tuning changes the perplexity at {}: {}.",
        place(study, far),
        changed.join("; ")
    )]
}

/// ` (×3.49 [3.41, 3.57])` from a difference of losses; small changes get a digit more, so that they do not read as none.
fn factor(nats: Estimate) -> String {
    let ratio = nats.map(f64::exp);
    let small = (ratio.value - 1.0).abs() < 0.0995;
    let text = |x: f64| if small { format!("{x:.3}") } else { number(x) };
    match ratio.interval {
        Some(_) => format!(" (×{}{})", text(ratio.value), bracket(ratio.interval, text)),
        None => String::new(),
    }
}

/// Who is told apart from the reference, at the trained length and at the longest.
fn against_reference(study: &StudySummary, measure: Measure) -> Vec<String> {
    let mine: Vec<&Difference> = study
        .differences
        .iter()
        .filter(|d| d.measure == measure)
        .collect();
    let far = mine
        .iter()
        .filter(|d| d.outcome != Outcome::NotComparable)
        .map(|d| d.length)
        .max();
    let trained = match study.trained_lengths.as_slice() {
        [one] => Some(*one),
        _ => None,
    };
    let mut lengths = vec![trained, far];
    lengths.dedup();
    lengths
        .into_iter()
        .flatten()
        .filter_map(|length| at_length(study, &mine, measure, length))
        .collect()
}

fn at_length(
    study: &StudySummary,
    mine: &[&Difference],
    measure: Measure,
    length: usize,
) -> Option<String> {
    let reference = study.reference.as_ref()?;
    let mut parts = Vec::new();
    for (outcome, words) in [
        (Outcome::Better, "better"),
        (Outcome::Worse, "worse"),
        (Outcome::NoDifference, "not told apart from it"),
    ] {
        let here = mine
            .iter()
            .filter(|d| d.length == length && d.outcome == outcome);
        let names: Vec<String> = here.map(|d| d.label.clone()).collect();
        if !names.is_empty() {
            let verb = if names.len() == 1 { "is" } else { "are" };
            parts.push(format!("{} {verb} {words}", joined(&names)));
        }
    }
    if parts.is_empty() {
        return None;
    }
    let all = mine.iter().filter(|d| d.length == length);
    if all.clone().count() > 1 && all.clone().all(|d| d.outcome == Outcome::NoDifference) {
        parts = vec!["no other curve is told apart from it".into()];
    }
    let what = match measure {
        Measure::Perplexity => "loss",
        Measure::Passkey => "retrieval",
    };
    let n = mine.iter().filter(|d| d.p_holm.is_some()).count();
    let corrected = if n > 1 {
        format!(", corrected for {n} comparisons")
    } else {
        String::new()
    };
    Some(format!(
        "Against {} in {what} at {} (paired{corrected}): {}.",
        reference.label,
        place(study, length),
        parts.join("; ")
    ))
}

/// How far keys are found.
fn passkey(study: &StudySummary, threshold: f64) -> Vec<String> {
    let Some(info) = &study.passkey else {
        return Vec::new();
    };
    let wanted = format!("{:.0}%", 100.0 * threshold);
    let open = |e: &EffectiveLength| match e.high > e.length {
        true => format!(" (up to {} tokens are not excluded)", e.high),
        false => String::new(),
    };
    let reaches: Vec<(&Curve, &EffectiveLength)> = study
        .curves
        .iter()
        .filter_map(|c| Some((c, c.effective_passkey.as_ref()?)))
        .collect();
    let mut said = Vec::new();
    for &length in info.lengths.iter().rev() {
        let here = reaches
            .iter()
            .filter(|(_, e)| e.length == length && e.gaps.is_empty());
        let names: Vec<String> = here
            .map(|(c, e)| format!("{}{}", c.label, open(e)))
            .collect();
        if !names.is_empty() {
            let end = if info.lengths.last() == Some(&length) {
                ", the longest evaluated"
            } else {
                ""
            };
            let verb = if names.len() == 1 { "finds" } else { "find" };
            said.push(format!(
                "{} {verb} at least {wanted} of the keys up to {}{end}.",
                joined(&names),
                place(study, length)
            ));
        }
    }
    for (curve, e) in reaches.iter().filter(|(_, e)| !e.gaps.is_empty()) {
        said.push(format!(
            "{} finds at least {wanted} of the keys at {} tokens{}, though {}.",
            curve.label,
            e.length,
            open(e),
            e.holes()
        ));
    }
    let none = |lost: bool| -> Vec<String> {
        let here = reaches
            .iter()
            .filter(|(_, e)| e.length == 0 && (e.high == 0) == lost);
        here.filter_map(|(c, _)| {
            let p = c.passkey.first()?;
            Some(format!("{} ({})", c.label, percent(p.accuracy)))
        })
        .collect()
    };
    let Some(&shortest) = info.lengths.first() else {
        return said;
    };
    let (lost, open) = (none(true), none(false));
    if !lost.is_empty() {
        said.push(format!(
            "Fewer than {wanted} of the keys are found at every evaluated length, already at {}, by {}.",
            place(study, shortest),
            joined(&lost)
        ));
    }
    if !open.is_empty() {
        said.push(format!(
            "That {wanted} of the keys are found is shown at no length (share at {}) for {}.",
            place(study, shortest),
            joined(&open)
        ));
    }
    said
}

#[cfg(test)]
mod tests;
