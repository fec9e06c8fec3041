//! What was done in training beside the plain loss of the next token, in sentences for the record.

use super::{CellConfig, CellTeacher};
use crate::config::types::TrainConfig;
use farspan_pe::recipe::Recipe;
use serde_json::Value;

/// One sentence for each recipe that the training of `config` follows; none where it follows none.
pub(super) fn recipe(config: &CellConfig, scheme: &Recipe) -> Vec<String> {
    if config.train.steps == 0 {
        return Vec::new();
    }
    let mut sentences = Vec::new();
    match config.stages.as_slice() {
        [] => sentences.extend(details(&config.train, config)),
        stages => {
            for (number, stage) in (1..).zip(stages) {
                let train = &stage.train;
                let mut parts = vec![format!(
                    "stage {number}: {} steps of {} windows of {} tokens, peak rate {}",
                    train.steps, train.batch, train.length, train.lr
                )];
                parts.extend(changed(&stage.settings, &config.scheme.settings));
                parts.extend(details(train, config));
                sentences.push(parts.join("; "));
            }
        }
    }
    sentences.extend(config.teacher.as_ref().map(teacher));
    sentences.extend(
        scheme
            .added
            .as_ref()
            .map(|added| format!("added to the loss: {}", added.describe())),
    );
    sentences
}

fn details(train: &TrainConfig, config: &CellConfig) -> Vec<String> {
    let mut parts = Vec::new();
    if !train.lengths.is_empty() {
        let share =
            |s: &crate::config::types::LengthShare| format!("{} tokens ({})", s.length, s.share);
        let shares: Vec<String> = train.lengths.iter().map(share).collect();
        parts.push(format!(
            "lengths of windows by share of tokens: {}",
            shares.join(", ")
        ));
    }
    if let Some(mask) = train.mask_inputs.filter(|mask| mask.share > 0.0) {
        let added = if mask.adds_entry() {
            ", added to the vocabulary"
        } else {
            ""
        };
        let id = mask.id(config.architecture.vocab);
        parts.push(format!(
            "{} of the inputs masked by token {id}{added}",
            mask.share
        ));
    }
    parts
}

/// Settings of a stage that differ from those that are measured.
fn changed(stage: &Value, all: &Value) -> Option<String> {
    let settings = stage.as_object()?.iter();
    let other = settings.filter(|(key, value)| all.get(key) != Some(value));
    let words: Vec<String> = other
        .map(|(key, value)| format!("{key} = {value}"))
        .collect();
    (!words.is_empty()).then(|| words.join(", "))
}

fn teacher(teacher: &CellTeacher) -> String {
    let who = match &teacher.checkpoint {
        Some(checkpoint) => format!("{} (blake3 {})", checkpoint.name, &checkpoint.hash[..16]),
        None => "the weights that it began with".into(),
    };
    let what = match teacher.tokens {
        Some(tokens) => format!(" on the first {tokens} tokens of each window"),
        None => String::new(),
    };
    format!(
        "loss: {} cross-entropy + {} KL to {who} under {}{what}, temperature {}",
        // 1 less a weight of 0.9 has digits of its own.
        (teacher.text * 1e9).round() / 1e9,
        teacher.weight,
        teacher.scheme.id,
        teacher.temperature
    )
}
