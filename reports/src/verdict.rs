//! What the numbers of a study support, in sentences.
//!
//! Every sentence rests on a test or an interval of the summary: "rises" needs a significant paired change, "better"
//! a significant paired difference after correction, "keeps" only says that no rise was found and how large one could
//! be. Labels come from the records; no scheme is known here.

mod limits;
mod search;
mod words;

use crate::record::Stage;
use crate::summary::{
    Change, Curve, Difference, EffectiveLength, Estimate, Measure, Outcome, PasskeyPoint,
    PerplexityPoint, Sentence, SentenceKind, StudySummary,
};
use limits::{caveats, refusals};
use words::{bracket, joined, number, percent, signed};

/// The verdict of a study.
#[must_use]
pub fn study(study: &StudySummary, passkey_threshold: f64) -> Vec<Sentence> {
    let mut said = Vec::new();
    said.extend(perplexity(study).into_iter().map(finding));
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
fn perplexity(study: &StudySummary) -> Vec<String> {
    let Some(far) = longest(study) else {
        return Vec::new();
    };
    let all = ends(study, &study.curves, far);
    if all.is_empty() {
        return Vec::new();
    }
    let at = place(study, far);
    let held = |e: &&Ends<'_>| e.effective.is_some_and(|x| x.at_end);
    let falls = |e: &&Ends<'_>| held(e) && e.change.nll.interval.is_some_and(|i| i.high < 0.0);
    let rises = |e: &&Ends<'_>| e.change.rises == Some(true);
    let mut said = Vec::new();
    let change = |e: &Ends<'_>| {
        let nats = e.change.nll;
        format!(
            "{} (change {}{} nats)",
            e.label,
            signed(nats.value),
            bracket(nats.interval, signed)
        )
    };
    let better: Vec<String> = all.iter().filter(falls).map(change).collect();
    if !better.is_empty() {
        said.push(format!(
            "At {at} the loss is below the loss at the trained length for {}.",
            joined(&better)
        ));
    }
    let kept: Vec<String> = all
        .iter()
        .filter(|e| held(e) && !falls(e))
        .map(change)
        .collect();
    if !kept.is_empty() {
        said.push(format!(
            "No significant rise in loss was found at any evaluated length up to {at} for {}.",
            joined(&kept)
        ));
    }
    let risen = |e: &Ends<'_>| {
        let (near, far) = (e.near.perplexity, e.far.perplexity);
        let kept = match e.effective {
            Some(x) if x.multiple > 1.0 => {
                format!(", without a significant rise up to {} tokens", x.length)
            }
            _ => String::new(),
        };
        let times = factor(e.change.nll);
        format!(
            "{} from {} to {}{times}{kept}",
            e.label,
            number(near.value),
            number(far.value)
        )
    };
    let worse: Vec<String> = all.iter().filter(rises).map(risen).collect();
    if !worse.is_empty() {
        said.push(format!(
            "At {at} perplexity has risen for {}.",
            worse.join("; ")
        ));
    }
    let between =
        |e: &&Ends<'_>| e.effective.is_some_and(|x| !x.at_end) && e.change.rises == Some(false);
    for e in all.iter().filter(between) {
        let reach = e.effective.map_or(0, |x| x.length);
        said.push(format!(
            "{}'s loss has risen significantly at the evaluated length after {reach} tokens, but not significantly at \
             {far}.",
            e.label
        ));
    }
    said
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
    let range = |e: &EffectiveLength| {
        if e.low == e.high {
            String::new()
        } else {
            format!(" (its intervals allow {} to {} tokens)", e.low, e.high)
        }
    };
    let mut said = Vec::new();
    let mut lengths = info.lengths.clone();
    lengths.reverse();
    for &length in &lengths {
        let reach = |curve: &&Curve| {
            curve
                .effective_passkey
                .as_ref()
                .is_some_and(|e| e.length == length)
        };
        let names: Vec<String> = study
            .curves
            .iter()
            .filter(reach)
            .filter_map(|c| {
                c.effective_passkey
                    .as_ref()
                    .map(|e| format!("{}{}", c.label, range(e)))
            })
            .collect();
        if !names.is_empty() {
            let end = if lengths.first() == Some(&length) {
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
    let none = |curve: &&Curve| {
        curve
            .effective_passkey
            .as_ref()
            .is_some_and(|e| e.length == 0)
    };
    let first = |c: &Curve| {
        c.passkey
            .first()
            .map(|p| format!("{} ({})", c.label, percent(p.accuracy)))
    };
    let failed: Vec<String> = study.curves.iter().filter(none).filter_map(first).collect();
    if let (false, Some(&shortest)) = (failed.is_empty(), info.lengths.first()) {
        said.push(format!(
            "Fewer than {wanted} of the keys are found already at {} by {}.",
            place(study, shortest),
            joined(&failed)
        ));
    }
    let later = |curve: &Curve| {
        let reached = |p: &&PasskeyPoint| p.accuracy.interval.is_some_and(|i| i.low >= threshold);
        let point = curve.passkey.iter().rev().find(reached)?;
        let share = percent(point.accuracy);
        Some(format!(
            "{} finds {share} at {} tokens, though fewer at a shorter length.",
            curve.label, point.length
        ))
    };
    let behind_hole = |c: &&Curve| {
        c.effective_passkey
            .as_ref()
            .is_some_and(|e| later_than(c, e, threshold))
    };
    said.extend(study.curves.iter().filter(behind_hole).filter_map(later));
    said
}

/// Whether the threshold is reached for certain at a length past the effective one.
fn later_than(curve: &Curve, effective: &EffectiveLength, threshold: f64) -> bool {
    let certain = |p: &PasskeyPoint| p.accuracy.interval.is_some_and(|i| i.low >= threshold);
    curve
        .passkey
        .iter()
        .any(|p| p.length > effective.length && certain(p))
}

#[cfg(test)]
mod tests;
