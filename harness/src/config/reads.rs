//! Rules of what is read: text, or a task over tokens.

use super::check::Rules;
use super::problem::join;
use super::tree::Mark;
use super::types::TaskSettings;
use crate::measure::task::shortest;
use farspan_datasets::{DataConfig, DataError};

pub(super) fn text(data: &DataConfig, rules: &mut Rules<'_>) {
    match data.validate() {
        Ok(()) => {}
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
pub(super) fn task(task: &TaskSettings, length: usize, rules: &mut Rules<'_>) {
    let at = format!("task.{}", task.id);
    match task.open() {
        Ok(task) => {
            let least = shortest(task.as_ref());
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
