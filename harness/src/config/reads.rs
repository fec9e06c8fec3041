//! Rules of what is read: text, or a task over tokens.

use super::check::Rules;
use super::problem::join;
use super::tree::Mark;
use super::types::{Named, StudyConfig};
use farspan_datasets::DataError;
use serde_json::Map;

/// Text, which a checkpoint that is only asked in words does without.
pub(super) fn text(study: &StudyConfig, rules: &mut Rules<'_>) {
    let data = &study.data;
    match data.validate() {
        Ok(()) => {
            let read = !data.sources().is_empty() || study.evaluate.words.is_some();
            let expected = "exactly one of corpus, files, jsonl and parquet, or [evaluate.words]";
            rules.rule("data", expected, "none of them", read);
        }
        Err(DataError::Setting {
            key,
            expected,
            found,
        }) => rules.rule(key, &expected, found, false),
        Err(other) => {
            rules
                .problems
                .add(&Mark::Default, join(rules.path, "data"), other.to_string())
        }
    }
}

/// The settings of a task, and whether windows of `length` tokens hold an example.
pub(super) fn task(task: &Named, length: usize, rules: &mut Rules<'_>) {
    let at = format!("task.{}", task.id);
    match task.task(&Map::new()) {
        Ok(task) => {
            let least = task.shortest();
            let rule = format!("at least {least} tokens ({})", task.why());
            rules.rule("train.length", &rule, length, length >= least);
        }
        Err(DataError::TaskSetting {
            key,
            expected,
            found,
            ..
        }) => rules.rule(&join(&at, &key), &expected, found, false),
        Err(DataError::Setting {
            key,
            expected,
            found,
        }) => rules.rule(&join(&at, key), &expected, found, false),
        Err(other) => rules.rule(&at, "a task", other, false),
    }
}
