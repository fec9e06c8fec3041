//! Rules of what is read and what is measured.

use super::check::Rules;
use super::problem::join;
use super::tree::Mark;
use super::types::{PasskeyGridConfig, PerplexityConfig, Stride, StudyConfig};
use farspan_datasets::DataError;
use farspan_datasets::tasks::passkey::Passkey;

pub(super) fn text(study: &StudyConfig, rules: &mut Rules<'_>) {
    if let Err(error) = study.data.validate() {
        data(&error, rules);
    }
    let Some(perplexity) = &study.evaluate.perplexity else {
        return;
    };
    let PerplexityConfig {
        lengths,
        segments,
        stride,
        target,
        protocols,
        unit: _,
        bos: _,
    } = perplexity;
    let key = |name: &str| format!("evaluate.perplexity.{name}");
    let why = "one to read, one to predict";
    rules.lengths(&key("lengths"), lengths, 2, why);
    if let Some(count) = segments.count() {
        rules.within(&key("segments"), 1..=1_000_000, "", count);
    }
    let mut named = protocols.clone();
    named.sort();
    named.dedup();
    let names: Vec<_> = protocols.iter().map(|p| p.name()).collect();
    let rule = "some of non-overlap, sliding and fixed-target, each once";
    let once = named.len() == protocols.len() && !protocols.is_empty();
    rules.rule(&key("protocols"), rule, names.join(", "), once);
    let shortest = lengths.iter().copied().min().unwrap_or(usize::MAX);
    let rule = format!("1 to the shortest length, {shortest}");
    let fits = |tokens| (1..=shortest).contains(&tokens);
    match *stride {
        Stride::Fraction(share) => {
            let rule = "a fraction above 0, at most 1, or { tokens = N }";
            rules.rule(&key("stride"), rule, share, share > 0.0 && share <= 1.0);
        }
        Stride::Fixed { tokens } => {
            rules.rule(&key("stride.tokens"), &rule, tokens, fits(tokens));
        }
    }
    rules.rule(&key("target"), &rule, target, fits(*target));
}

/// An error of the data settings, at the key that it names.
fn data(error: &DataError, rules: &mut Rules<'_>) {
    match error {
        DataError::Setting {
            key,
            expected,
            found,
        } => rules.rule(key, expected, found, false),
        other => rules
            .problems
            .add(&Mark::Default, join(rules.path, "data"), other.to_string()),
    }
}

pub(super) fn passkey(study: &StudyConfig, rules: &mut Rules<'_>) {
    let least = match Passkey::new(&study.passkey) {
        Ok(task) => task.min_length(),
        Err(error) => return data(&error, rules),
    };
    let why = "markers, key and question";
    let length = study.train.length;
    let rule = format!("at least {least} tokens ({why})");
    rules.rule("train.length", &rule, length, length >= least);
    let Some(grid) = &study.evaluate.passkey else {
        return;
    };
    let PasskeyGridConfig {
        lengths,
        depths,
        trials,
        threshold,
    } = grid;
    let key = |name: &str| format!("evaluate.passkey.{name}");
    rules.lengths(&key("lengths"), lengths, least, why);
    rules.within(&key("depths"), 1..=1000, "", *depths);
    rules.within(&key("trials"), 1..=100_000, "", *trials);
    let (rule, fraction) = (
        "a fraction above 0, at most 1",
        *threshold > 0.0 && *threshold <= 1.0,
    );
    rules.rule(&key("threshold"), rule, threshold, fraction);
}
