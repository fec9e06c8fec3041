//! What was measured, in words: everything a reader needs to judge the numbers.

use super::view::{count, grouped};
use crate::figure::plain;
use crate::record::{Role, Samples, Scale, Served};
use crate::summary::{Curve, MeasureInfo, RunInfo, StudySummary, amount, most};
use crate::table::aggregate as tables;
use crate::verdict::small;

/// One sentence under the heading of a study.
pub(super) fn intro(study: &StudySummary) -> String {
    let titles = study.measures.iter().map(|m| m.record.title.as_str());
    let mut measures: Vec<String> = titles.map(small).collect();
    measures.dedup();
    let measures: Vec<&str> = measures.iter().map(String::as_str).collect();
    let Some(data) = &study.data else {
        return "No cell of this study has a result yet.".to_owned();
    };
    match measures.is_empty() {
        true => format!("Models trained on {}.", data.description),
        false => format!(
            "Models trained on {}; measured: {}.",
            data.description,
            list(&measures)
        ),
    }
}

/// `a, b and c`.
fn list(items: &[&str]) -> String {
    match items {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [most @ .., last] => format!("{} and {last}", most.join(", ")),
    }
}

fn numbers(values: impl IntoIterator<Item = impl ToString>) -> String {
    let words: Vec<String> = values.into_iter().map(|v| v.to_string()).collect();
    list(&words.iter().map(String::as_str).collect::<Vec<_>>())
}

/// The paragraphs of a study, each with what it is about.
pub(super) fn paragraphs(study: &StudySummary, run: &RunInfo) -> Vec<(String, String)> {
    let Some(first) = study.curves.first() else {
        return vec![(
            "Nothing measured.".to_owned(),
            "No cell of this study has a result yet.".to_owned(),
        )];
    };
    let mut all: Vec<(String, Option<String>)> = vec![
        ("Model.".into(), Some(model(study, first))),
        ("Training.".into(), Some(training(study))),
        ("Data.".into(), data(study)),
    ];
    let measures = study.measures.iter();
    all.extend(measures.map(|m| {
        (
            format!("{}.", m.record.title.trim_end_matches('.')),
            Some(measure(study, m, run)),
        )
    }));
    all.extend([
        ("Intervals.".into(), Some(intervals(study))),
        ("Effective length.".into(), effective(study)),
        ("Differences.".into(), differences(study)),
        (
            "Several tasks.".into(),
            study
                .aggregate
                .as_ref()
                .map(|a| format!("{} {}", tables::averaging(a), tables::ranking(a))),
        ),
        (
            "Effect of the place.".into(),
            (!study.depth_effects.is_empty()).then(|| tables::DEPTHS.into()),
        ),
    ]);
    all.into_iter()
        .filter_map(|(about, words)| Some((about, words?)))
        .collect()
}

fn model(study: &StudySummary, first: &Curve) -> String {
    let m = &first.model;
    let heads = match m.heads == m.kv_heads {
        true => count(m.heads, "head"),
        false => format!(
            "{} and {}",
            count(m.heads, "query head"),
            count(m.kv_heads, "key/value head")
        ),
    };
    let size = m
        .size
        .as_ref()
        .map_or_else(String::new, |s| format!(" (preset {s})"));
    let mut text = format!(
        "Every scheme runs in the same decoder{size}: {}, width {}, {heads} of {} channels, hidden width {}, vocabulary {}, \
         {} parameters",
        count(m.layers, "layer"),
        m.width,
        m.head_dim,
        m.hidden,
        m.vocab,
        grouped(m.parameters)
    );
    let own: Vec<String> = study
        .curves
        .iter()
        .filter(|c| c.model.scheme_parameters > 0)
        .map(|c| {
            format!(
                "{} learns {} of its own",
                c.label,
                grouped(c.model.scheme_parameters)
            )
        })
        .collect();
    if !own.is_empty() {
        text.push_str(&format!(" ({})", own.join("; ")));
    }
    text.push('.');
    text
}

fn training(study: &StudySummary) -> String {
    let mut text = String::new();
    let scratch = study
        .curves
        .iter()
        .find(|c| c.training_info.steps > 0 && c.training_info.base_steps == 0);
    if let Some(c) = scratch {
        let t = c.training_info;
        text.push_str(&format!(
            "{} steps of {} windows of {} tokens ({} tokens), peak learning rate {}.",
            grouped(t.steps),
            t.batch,
            c.trained_length,
            grouped(t.tokens),
            t.lr
        ));
    }
    for c in study
        .curves
        .iter()
        .filter(|c| c.training_info.steps > 0 && c.training_info.base_steps > 0)
    {
        text.push_str(&format!(
            " {}: {} more steps at length {}.",
            c.label,
            grouped(c.training_info.steps),
            c.last_length
        ));
    }
    let mut told: Vec<(&[String], Vec<&str>)> = Vec::new();
    for c in study.curves.iter().filter(|c| !c.recipe.is_empty()) {
        match told.iter_mut().find(|(recipe, _)| *recipe == c.recipe) {
            Some((_, labels)) => labels.push(&c.label),
            None => told.push((&c.recipe, vec![&c.label])),
        }
    }
    for (recipe, labels) in told {
        text.push_str(&format!(
            " Training of {}: {}.",
            list(&labels),
            recipe.join(". ")
        ));
    }
    let zero: Vec<&str> = study
        .curves
        .iter()
        .filter(|c| c.training_info.steps == 0)
        .map(|c| c.label.as_str())
        .collect();
    if !zero.is_empty() {
        let verb = if zero.len() == 1 { "reads" } else { "read" };
        text.push_str(&format!(
            " {} {verb} the weights of the base without further training.",
            list(&zero)
        ));
    }
    text.push_str(&format!(
        " {} ({}); all schemes see the same batches in the same order.",
        count(study.seeds.len(), "seed"),
        numbers(&study.seeds)
    ));
    text.trim_start().to_owned()
}

fn data(study: &StudySummary) -> Option<String> {
    let data = study.data.as_ref()?;
    let parts: Vec<String> = data
        .parts
        .iter()
        .map(|p| {
            format!(
                "{} ({}, {} tokens)",
                p.name,
                count(p.documents, "document"),
                grouped(p.tokens)
            )
        })
        .collect();
    let parts = if parts.is_empty() {
        String::new()
    } else {
        format!(" Parts: {}.", parts.join(", "))
    };
    Some(format!(
        "{}. Tokenizer: {}.{parts}",
        data.description, data.tokenizer
    ))
}

/// How a measure is taken, and where.
fn measure(study: &StudySummary, info: &MeasureInfo, run: &RunInfo) -> String {
    let record = &info.record;
    let about = record.about.trim();
    let mut text = format!(
        "{}{}",
        capital(about),
        if about.ends_with(['.', '!', '?']) {
            ""
        } else {
            "."
        }
    );
    let factors = record
        .factors
        .iter()
        .zip(&info.values)
        .map(|(f, values)| match values[..] {
            [] => String::new(),
            [one] => format!(", {} {}", f.name, plain(one)),
            [low, .., high] => format!(
                ", {} values of {} from {} to {}",
                values.len(),
                f.name,
                plain(low),
                plain(high)
            ),
        });
    let facts = info.facts.iter().map(|(name, values)| {
        let mut values: Vec<String> = values.iter().map(|v| plain(*v)).collect();
        values.dedup();
        match values.len() {
            1 => format!(", {name} {}", values[0]),
            _ => format!(", {name} {} (for these lengths in turn)", numbers(values)),
        }
    });
    text.push_str(&format!(
        " {} tokens{}{}; {} {} {}.",
        numbers(&info.lengths),
        factors.collect::<String>(),
        facts.collect::<String>(),
        grouped(info.units as u64),
        record.units,
        if record.samples == Samples::Panel {
            "at every length"
        } else {
            "per seed and point"
        }
    ));
    for also in &record.also {
        let part = |name: &str, default: &str| {
            if name.is_empty() {
                default.to_string()
            } else {
                name.to_string()
            }
        };
        let (value, weight) = (part(&also.value, "samples"), part(&also.weight, "weights"));
        let times = if also.times == 1.0 {
            String::new()
        } else {
            format!(", times {:.4}", also.times)
        };
        text.push_str(&format!(
            " {}: sum of the {value} over the sum of the {weight}{times}.",
            capital(&also.quantity)
        ));
    }
    let mut chance: Vec<String> = info
        .chance
        .iter()
        .flatten()
        .map(|c| amount(*c, record.scale))
        .collect();
    chance.dedup();
    text.push_str(&match chance.as_slice() {
        [] => String::new(),
        [one] => format!(" A model that knows nothing reaches {one}."),
        several => format!(
            " A model that knows nothing reaches {} (for these lengths in turn).",
            numbers(several)
        ),
    });
    text.push_str(&match (record.role, record.served) {
        (Role::Profile, _) | (_, Served::Never) => String::new(),
        (_, Served::Margin) => format!(
            " A length is served if the {} gets worse by less than {}{}.",
            info.noun(),
            run.margin,
            info.unit()
        ),
        (_, Served::AtLeast(bound)) => format!(
            " A length is served from {} {} on.",
            most(record.better),
            amount(bound, record.scale)
        ),
        (_, Served::OfOwn(share)) => format!(
            " A length is served from {} of a curve's own mean at the trained length on.",
            amount(share, Scale::Share)
        ),
    });
    let views = study
        .measures
        .iter()
        .filter(|m| m.key.thing() == info.key.thing())
        .count();
    if info.headline && views > 1 {
        text.push_str(" Effective lengths and differences are taken from this view.");
    }
    text
}

fn intervals(study: &StudySummary) -> String {
    let basis = study.interval_basis.trim().trim_end_matches('.');
    let has = |samples: Samples| study.measures.iter().any(|m| m.record.samples == samples);
    let several = study.seeds.len() > 1;
    let mut text = format!("{}.", capital(basis));
    if has(Samples::Trials) {
        text.push_str(match several {
            false => " Shares of trials have Wilson intervals.",
            true => {
                " Shares of trials have Wilson intervals, for which the trials count as the smaller number that gives the \
                 spread between seeds (after Korn and Graubard 1998)."
            }
        });
    }
    let sums =
        |m: &MeasureInfo| m.record.scale == Scale::Share && m.record.samples != Samples::Trials;
    if study.measures.iter().any(sums) {
        text.push_str(
            " Shares of answers, several to a unit, have Wilson intervals with the number of answers that gives the spread \
             over units and seeds.",
        );
    }
    if has(Samples::Sums) && several {
        text.push_str(" Where every seed has units of its own, the wider of both spreads counts.");
    }
    text
}

fn effective(study: &StudySummary) -> Option<String> {
    let several = study.compared().count() > 1;
    let rule = |m: &MeasureInfo| {
        let found = study
            .curves
            .iter()
            .find_map(|c| c.measured(&m.key)?.effective.as_ref())?;
        let rule = found.rule.trim().trim_end_matches('.');
        Some(if several {
            format!("{}: {rule}", m.record.title)
        } else {
            rule.to_owned()
        })
    };
    let rules: Vec<String> = study.compared().filter_map(rule).collect();
    (!rules.is_empty()).then(|| format!("{}.", capital(&rules.join("; "))))
}

fn differences(study: &StudySummary) -> Option<String> {
    let reference = study.reference.as_ref()?;
    if study.differences.is_empty() {
        return None;
    }
    let declared = match reference.declared {
        true => "the declared reference",
        false => "the first trained scheme, as no reference was declared",
    };
    Some(format!(
        "Differences are taken to {} ({declared}), paired over the same test units and seeds where both read the same. \
         Interval and p value are one two-sided test, simultaneous over all comparisons by a measure in the study (Bonferroni): \
         a difference is significant where its interval leaves 0 out.",
        reference.label
    ))
}

fn capital(words: &str) -> String {
    let mut letters = words.chars();
    letters
        .next()
        .map_or_else(String::new, |c| c.to_uppercase().chain(letters).collect())
}
