//! Whether schemes can be trained at the lengths that they are trained at.

use super::check::{LONGEST, MOST_AT_ONCE, Rules};
use super::problem::{Problems, join};
use super::schemes::Checked;
use super::tree::{Mark, Node};
use super::types::{FinetuneConfig, StudyConfig, TaskConfig};
use crate::model::Architecture;
use farspan_pe::Len;
use serde_json::Map;

/// Checks a fine-tuning as far as no study is needed.
pub(super) fn finetune(
    finetune: &FinetuneConfig,
    node: &Node,
    path: &str,
    problems: &mut Problems,
) {
    let mut rules = Rules {
        node,
        path,
        problems,
    };
    let FinetuneConfig {
        steps,
        length,
        times,
        lr,
        batch,
        accumulate,
        lora,
        ..
    } = finetune;
    let most = 1u64 << 40;
    let holds = (1..=most).contains(steps);
    rules.rule("steps", "at least 1, at most 2^40", steps, holds);
    if let (Some(_), Some(times)) = (length, times) {
        rules.rule("times", "`length` or `times`, not both", times, false);
    }
    if let Some(length) = *length {
        rules.within("length", 2..=LONGEST, " tokens", length);
    }
    for (key, number) in [("times", times), ("lr", lr)] {
        if let Some(number) = *number {
            rules.positive(key, number);
        }
    }
    if let Some(batch) = *batch {
        rules.within("batch", 1..=MOST_AT_ONCE, " windows", batch);
    }
    if let Some(parts) = *accumulate {
        rules.within("accumulate", 1..=MOST_AT_ONCE as u64, " batches", parts);
    }
    if let Some(lora) = lora {
        rules.within("lora.rank", 1..=4096, "", lora.rank);
        rules.positive("lora.alpha", lora.alpha);
    }
}

/// Checks that a scheme of a study can be trained at the lengths that it is trained at, by making its plans.
pub(super) fn scheme(
    scheme: &Checked,
    study: &StudyConfig,
    name: &str,
    architecture: &Architecture,
    problems: &mut Problems,
) {
    let trained = study.train.length;
    if let Some((path, at)) = scheme
        .idle_finetune()
        .filter(|_| study.model.checkpoint.is_none())
    {
        let what = format!(
            "{} is trained from scratch; only extensions are fine-tuned",
            scheme.config.id
        );
        problems.add(&at, path, what);
        return;
    }
    // Reported already; a plan for such a length may not even fit into memory.
    if !(2..=LONGEST).contains(&trained) {
        return;
    }
    let finetune = scheme.config.finetune.as_ref();
    let least = match &study.task {
        TaskConfig::Text => 2,
        TaskConfig::Of(task) => task.task(&Map::new()).map_or(2, |task| task.shortest()),
    };
    if let Some(length) = finetune.map(|f| f.window(trained))
        && !(least..=LONGEST).contains(&length)
    {
        let what = format!(
            "study {name}: expected fine-tuning at {least} to {LONGEST} tokens, found {length}"
        );
        problems.add(
            &scheme.finetune_mark(),
            join(&scheme.path, "finetune"),
            what,
        );
        return;
    }
    for length in [trained]
        .into_iter()
        .chain(finetune.map(|f| f.window(trained)))
    {
        if let Err(error) = scheme
            .parsed
            .layer_plans(&architecture.geometry, Len(length))
        {
            let (path, at, what) = scheme.complaint(&error);
            problems.add(
                &at,
                path,
                format!("study {name}, training at {length} tokens: {what}"),
            );
        }
    }
    positions(scheme, study, name, architecture, problems);
}

/// Checks that the windows of a scheme can be drawn: those of training, or for an extension those of fine-tuning.
fn positions(
    scheme: &Checked,
    study: &StudyConfig,
    name: &str,
    architecture: &Architecture,
    problems: &mut Problems,
) {
    let Ok(recipe) = scheme.parsed.recipe(&architecture.geometry) else {
        return;
    };
    let trained = study.train.length;
    let (asked, length, path, at) = match (&scheme.config.base, &scheme.config.finetune) {
        (None, None) => (
            study.train.positions,
            trained,
            "train.positions".to_string(),
            Mark::Default,
        ),
        (_, Some(finetune)) => (
            finetune.positions,
            finetune.window(trained),
            join(&scheme.path, "finetune.positions"),
            scheme.finetune_mark(),
        ),
        (Some(_), None) => return,
    };
    let Some(sampler) = recipe.positions.or(asked) else {
        return;
    };
    if asked.is_some() && recipe.positions.is_some() {
        let what = format!(
            "study {name}: scheme {} draws positions by its own rule: leave this out",
            scheme.config.id
        );
        problems.add(&at, path, what);
        return;
    }
    if let Err(error) = sampler.check_length(length) {
        let (own, at_own, what) = scheme.complaint(&error);
        let what = format!("study {name}, training at {length} tokens: {what}");
        match asked {
            Some(_) => problems.add(&at, path, what),
            None => problems.add(&at_own, own, what),
        }
    }
}
