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
    let key = "evaluate.perplexity";
    rules.lengths(
        &format!("{key}.lengths"),
        lengths,
        2,
        "one to read, one to predict",
    );
    rules.rule(
        &format!("{key}.segments"),
        "1 to 1000000",
        segments.count().unwrap_or_default(),
        segments
            .count()
            .is_none_or(|count| (1..=1_000_000).contains(&count)),
    );
    let mut named = protocols.clone();
    named.sort();
    named.dedup();
    rules.rule(
        &format!("{key}.protocols"),
        "some of non-overlap, sliding and fixed-target, each once",
        protocols
            .iter()
            .map(|p| p.name())
            .collect::<Vec<_>>()
            .join(", "),
        named.len() == protocols.len() && !protocols.is_empty(),
    );
    let shortest = lengths.iter().copied().min().unwrap_or(usize::MAX);
    let rule = format!("1 to the shortest length, {shortest}");
    match *stride {
        Stride::Fraction(share) => rules.rule(
            &format!("{key}.stride"),
            "a fraction above 0, at most 1, or { tokens = N }",
            share,
            share > 0.0 && share <= 1.0,
        ),
        Stride::Fixed { tokens } => rules.rule(
            &format!("{key}.stride.tokens"),
            &rule,
            tokens,
            (1..=shortest).contains(&tokens),
        ),
    }
    rules.rule(
        &format!("{key}.target"),
        &rule,
        target,
        (1..=shortest).contains(target),
    );
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
    let key = "evaluate.passkey";
    rules.lengths(&format!("{key}.lengths"), lengths, least, why);
    rules.rule(
        &format!("{key}.depths"),
        "1 to 1000",
        depths,
        (1..=1000).contains(depths),
    );
    rules.rule(
        &format!("{key}.trials"),
        "1 to 100000",
        trials,
        (1..=100_000).contains(trials),
    );
    let fraction = *threshold > 0.0 && *threshold <= 1.0;
    rules.rule(
        &format!("{key}.threshold"),
        "a fraction above 0, at most 1",
        threshold,
        fraction,
    );
}
