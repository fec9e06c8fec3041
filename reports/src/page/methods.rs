//! What was measured, in words: everything a reader needs to judge the numbers.

use super::view::{count, grouped};
use crate::record::Protocol;
use crate::summary::{Curve, ProtocolInfo, RunInfo, StudySummary};

/// One sentence under the heading of a study.
pub(super) fn intro(study: &StudySummary) -> String {
    let mut measures = Vec::new();
    if study.headline.is_some() {
        measures.push("perplexity on held-out text");
    }
    if study.curves.iter().any(|c| c.position.is_some()) {
        measures.push("loss by position in the window");
    }
    if study.passkey.is_some() {
        measures.push("retrieval of a passkey hidden at all depths of a prompt");
    }
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
    let perplexity = (!study.protocols.is_empty()).then(|| perplexity(study));
    let all = [
        ("Model.", Some(model(study, first))),
        ("Training.", Some(training(study))),
        ("Data.", data(study)),
        ("Perplexity.", perplexity),
        ("Passkey.", passkey(study, run)),
        ("Intervals.", Some(intervals(study))),
        ("Effective length.", effective(study)),
        ("Differences.", differences(study)),
    ];
    all.into_iter()
        .filter_map(|(about, words)| Some((about.to_owned(), words?)))
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

fn perplexity(study: &StudySummary) -> String {
    let mut text = String::from(
        "Perplexity is exp of the mean loss in nats per scored token; bits per byte is the summed loss over ln 2 and over \
         the UTF-8 bytes of the scored tokens, so it does not depend on the tokenizer.",
    );
    for protocol in &study.protocols {
        text.push(' ');
        text.push_str(&laid(protocol));
        if Some(protocol.protocol) == study.headline && study.protocols.len() > 1 {
            text.push_str(" Effective lengths and differences are taken from this protocol.");
        }
    }
    let window = study
        .curves
        .iter()
        .filter_map(|c| c.position.as_ref())
        .map(|p| p.length)
        .max();
    if let Some(window) = window {
        text.push_str(&format!(
            " Loss by position is the mean over non-overlapping windows of the longest length served (up to {window} tokens)."
        ));
    }
    text
}

fn laid(info: &ProtocolInfo) -> String {
    let lengths = numbers(info.strides.iter().map(|(length, _)| length));
    let mut strides: Vec<usize> = info.strides.iter().map(|(_, stride)| *stride).collect();
    strides.dedup();
    let strides = match strides[..] {
        [one] => format!("{one} tokens"),
        _ => format!("{} tokens (for these lengths in turn)", numbers(&strides)),
    };
    let units = count(info.units, "test segment");
    match info.protocol {
        Protocol::NonOverlap => format!(
            "Non-overlapping windows of {lengths} tokens: each token is scored given only its own window ({units}; a last \
             window that would reach past its segment begins earlier and scores what is left)."
        ),
        Protocol::Sliding => format!(
            "Sliding windows of {lengths} tokens, each {strides} after the one before: a window scores the tokens that \
             no window before it held, so that nearly every scored token has most of a window before it ({units})."
        ),
        Protocol::FixedTarget => format!(
            "Fixed targets: the same tokens, in blocks of {strides}, are scored at every length, each by the window of \
             {lengths} tokens that ends with it ({units}); only the context differs between lengths."
        ),
    }
}

fn passkey(study: &StudySummary, run: &RunInfo) -> Option<String> {
    let info = study.passkey.as_ref()?;
    Some(format!(
        "Prompts of {} tokens with the key at {} from start to end, {} per length, depth and seed. A trial counts \
         if every symbol of the key is the most probable one, which is the same as greedy decoding. A length counts as \
         served from an accuracy of {}. The same prompts are given to every scheme.",
        numbers(&info.lengths),
        count(info.depths.len(), "depth"),
        count(info.trials, "trial"),
        run.passkey_threshold
    ))
}

fn intervals(study: &StudySummary) -> String {
    let basis = study.interval_basis.trim().trim_end_matches('.');
    let passkey = match (study.passkey.is_some(), study.seeds.len()) {
        (false, _) => "",
        (true, 1) => " Passkey accuracies have Wilson intervals over trials.",
        (true, _) => {
            " Passkey accuracies have Wilson intervals, for which the trials count as the smaller number that gives the \
             spread between seeds (after Korn and Graubard 1998)."
        }
    };
    format!("{}.{passkey}", capital(basis))
}

fn effective(study: &StudySummary) -> Option<String> {
    let rules = study
        .curves
        .iter()
        .find_map(|c| c.effective_perplexity.as_ref())
        .into_iter()
        .chain(
            study
                .curves
                .iter()
                .find_map(|c| c.effective_passkey.as_ref()),
        )
        .map(|e| e.rule.trim().trim_end_matches('.').to_owned());
    let rules: Vec<String> = rules.collect();
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
        "Differences are taken to {} ({declared}), paired over the same test units and seeds, with a t interval and a paired \
         bootstrap beside it; p values are corrected by Holm's method over all comparisons of a measure in the study.",
        reference.label
    ))
}

fn capital(words: &str) -> String {
    let mut letters = words.chars();
    letters
        .next()
        .map_or_else(String::new, |c| c.to_uppercase().chain(letters).collect())
}
