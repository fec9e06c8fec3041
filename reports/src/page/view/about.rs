//! What the page says of its schemes, and where the run comes from.

use super::*;

/// Every curve of the run once, in the order of the plan; settings from the first study that has it.
pub(super) fn schemes(summary: &Summary) -> Vec<SchemeView> {
    let mut rows: Vec<(usize, SchemeView)> = Vec::new();
    for curve in summary.studies.iter().flat_map(|s| &s.curves) {
        let row = SchemeView {
            swatch: swatch(curve.index),
            label: curve.label.clone(),
            title: curve.scheme.title.clone(),
            idea: curve.scheme.idea.clone(),
            stage: stage(&curve.scheme),
            formula: curve.scheme.formula.clone(),
            settings: settings(&curve.scheme.settings),
            paper: curve.scheme.paper.clone(),
        };
        let known = rows.iter().any(|(i, known)| {
            *i == curve.index && known.settings == row.settings && known.formula == row.formula
        });
        if !known {
            rows.push((curve.index, row));
        }
    }
    rows.sort_by_key(|(index, _)| *index);
    rows.into_iter().map(|(_, row)| row).collect()
}

fn stage(scheme: &SchemeRecord) -> String {
    let base = scheme.base.as_deref();
    match (scheme.stage, base) {
        (Stage::Trained, _) => "trained from scratch".to_owned(),
        (Stage::ZeroShot, Some(base)) => format!("weights of {base}, no further training"),
        (Stage::ZeroShot, None) => "no further training".to_owned(),
        (Stage::FineTuned, Some(base)) => format!("weights of {base}, fine-tuned"),
        (Stage::FineTuned, None) => "fine-tuned".to_owned(),
    }
}

/// `key = value` lines.
fn settings(value: &Value) -> Vec<String> {
    match value {
        Value::Object(map) => map
            .iter()
            .map(|(key, value)| format!("{key} = {value}"))
            .collect(),
        Value::Null => Vec::new(),
        other => vec![other.to_string()],
    }
}

pub(super) fn provenance(summary: &Summary) -> Vec<(String, String, bool)> {
    let run = &summary.run;
    let mut pairs: Vec<(String, String, bool)> = Vec::new();
    let mut pair = |name: &str, value: &str, code: bool| {
        if !value.is_empty() {
            pairs.push((name.to_owned(), value.to_owned(), code));
        }
    };
    pair("Command", &run.command, true);
    pair("Made", &run.created, false);
    pair("Farspan", &run.version, false);
    pair("Machine", &run.machine, false);
    pair("Config hash (blake3)", &run.config_hash, true);
    let counts = run.counts;
    let states = [
        (counts.done, "done"),
        (counts.diverged, "diverged"),
        (counts.failed, "failed"),
        (counts.unfinished, "unfinished"),
        (counts.unreadable, "unreadable"),
    ];
    let states: Vec<String> = states
        .iter()
        .filter(|(n, _)| *n > 0)
        .map(|(n, word)| format!("{n} {word}"))
        .collect();
    pair(
        "Cells",
        &format!("{} planned: {}", counts.planned, states.join(", ")),
        false,
    );
    for study in &summary.studies {
        let name = heading(&study.name);
        if let Some(data) = &study.data {
            pair(&format!("{name}: data"), &data.description, false);
            pair(&format!("{name}: data hash"), &data.hash, true);
            pair(&format!("{name}: tokenizer"), &data.tokenizer, false);
            pair(
                &format!("{name}: tokenizer hash"),
                &data.tokenizer_hash,
                true,
            );
        }
        for engine in &study.engines {
            let halves = match engine.fused_halves.as_str() {
                "" => String::new(),
                halves => format!(", fused halves of a layer: {halves}"),
            };
            let words = format!(
                "{}, attention {}{halves}, version {}",
                engine.device, engine.attention, engine.version
            );
            pair(&format!("{name}: engine"), &words, false);
        }
    }
    pairs
}
