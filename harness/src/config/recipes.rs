//! What mixtures of lengths, masks, teachers and stages of fine-tuning must hold.

use super::check::{LONGEST, MOST_AT_ONCE, Rules};
use super::types::{FinetuneConfig, LengthShare, MaskInputs, TeacherConfig, TrainConfig};

/// How far shares may be from a sum of 1: written with few digits, they are not exact.
const ROUNDING: f64 = 1e-6;
/// Most stages of a fine-tuning.
const MOST_STAGES: usize = 64;

/// Checks the recipes of `[train]`.
pub(super) fn train(train: &TrainConfig, has_checkpoint: bool, rules: &mut Rules<'_>) {
    lengths("train", &train.lengths, rules);
    let longest = train.lengths.iter().map(|share| share.length).max();
    if let Some(longest) = longest {
        let rule = format!("{longest} tokens, the longest of train.lengths");
        rules.rule("train.length", &rule, train.length, train.length == longest);
        whole_windows("train", &train.lengths, train.batch * train.length, rules);
    }
    if let Some(mask) = &train.mask_inputs {
        masks("train", mask, rules);
        let rule = "a token id, as the vocabulary of a checkpoint takes no entry more";
        let fits = !(has_checkpoint && mask.adds_entry());
        rules.rule("train.mask_inputs.token", rule, "\"added\"", fits);
    }
    if let Some(taught) = &train.teacher {
        teacher("train", taught, rules);
        let rule =
            "a model (a folder of a checkpoint, or RUN:CELL), as nothing is there to begin with";
        let given = taught.from.is_some();
        rules.rule("train.teacher.from", rule, "none", given);
    }
}

fn at(table: &str, key: &str) -> String {
    match table {
        "" => key.to_string(),
        table => format!("{table}.{key}"),
    }
}

fn lengths(table: &str, lengths: &[LengthShare], rules: &mut Rules<'_>) {
    if lengths.is_empty() {
        return;
    }
    let key = at(table, "lengths");
    for (i, share) in lengths.iter().enumerate() {
        let length = format!("{key}.{i}.length");
        rules.within(&length, 2..=LONGEST, " tokens", share.length);
        let twice = lengths[..i].iter().any(|s| s.length == share.length);
        rules.rule(
            &length,
            "different lengths",
            format!("{} twice", share.length),
            !twice,
        );
        let fine = share.share > 0.0 && share.share <= 1.0;
        let rule = "a share above 0, at most 1";
        rules.rule(&format!("{key}.{i}.share"), rule, share.share, fine);
    }
    let sum: f64 = lengths.iter().map(|share| share.share).sum();
    let whole = (sum - 1.0).abs() <= ROUNDING;
    rules.rule(
        &key,
        "shares that sum to 1",
        format!("a sum of {sum}"),
        whole,
    );
}

/// Whether windows of each length fill a batch of `tokens` tokens, so that all lengths have one budget.
pub(super) fn whole_windows(
    table: &str,
    lengths: &[LengthShare],
    tokens: usize,
    rules: &mut Rules<'_>,
) {
    for (i, share) in lengths.iter().enumerate() {
        let key = format!("{}.{i}.length", at(table, "lengths"));
        let rule = format!("a divisor of the {tokens} tokens of a batch");
        let fits = share.length != 0 && tokens.is_multiple_of(share.length);
        rules.rule(&key, &rule, share.length, fits);
    }
}

fn masks(table: &str, mask: &MaskInputs, rules: &mut Rules<'_>) {
    let key = at(table, "mask_inputs.share");
    let fine = (0.0..1.0).contains(&mask.share);
    rules.rule(&key, "a share from 0 to below 1", mask.share, fine);
}

fn teacher(table: &str, teacher: &TeacherConfig, rules: &mut Rules<'_>) {
    let fine = teacher.weight > 0.0 && teacher.weight <= 1.0;
    let rule = "a weight above 0, at most 1";
    rules.rule(&at(table, "teacher.weight"), rule, teacher.weight, fine);
    rules.positive(&at(table, "teacher.temperature"), teacher.temperature);
}

/// Checks a fine-tuning and its stages as far as no study is needed.
pub(super) fn finetune(finetune: &FinetuneConfig, rules: &mut Rules<'_>) {
    one("", finetune, rules);
    if let Some(taught) = &finetune.teacher {
        teacher("", taught, rules);
        let rule = "`teacher` or `keep_short`, not both";
        let alone = finetune.keep_short.is_none();
        rules.rule("keep_short", rule, "both", alone);
    }
    if let Some(weight) = finetune.keep_short {
        let fine = weight >= 0.0 && weight.is_finite();
        rules.rule("keep_short", "a finite weight, 0 or more", weight, fine);
    }
    let own = finetune.settings.is_empty();
    let rule = "them in a stage; elsewhere they stand in the scheme's own table";
    rules.rule("settings", rule, "them beside the stages", own);
    let stages = &finetune.stages;
    let few = stages.len() <= MOST_STAGES;
    rules.rule("stages", "at most 64 stages", stages.len(), few);
    if !stages.is_empty() {
        let rule = "it in each stage alone";
        rules.rule("steps", rule, finetune.steps, finetune.steps == 0);
    }
    for (i, stage) in stages.iter().enumerate() {
        let table = format!("stages.{i}");
        one(&table, stage, rules);
        for (key, unset) in [
            ("stages", stage.stages.is_empty()),
            ("lora", stage.lora.is_none()),
            ("checkpointing", !stage.checkpointing),
            ("teacher", stage.teacher.is_none()),
            ("keep_short", stage.keep_short.is_none()),
        ] {
            let rule = "it beside the list of stages, for all of them";
            rules.rule(&at(&table, key), rule, "it in a stage", unset);
        }
        let last = i + 1 == stages.len();
        let rule = "none in the last stage, whose scheme is the one that is measured";
        let fine = !last || stage.settings.is_empty();
        rules.rule(&at(&table, "settings"), rule, "settings", fine);
    }
}

/// One fine-tuning, or one stage of it.
fn one(table: &str, finetune: &FinetuneConfig, rules: &mut Rules<'_>) {
    let most = 1u64 << 40;
    if finetune.stages.is_empty() {
        let holds = (1..=most).contains(&finetune.steps);
        let rule = "at least 1, at most 2^40";
        rules.rule(&at(table, "steps"), rule, finetune.steps, holds);
    }
    let key = |key: &str| at(table, key);
    if let (Some(_), Some(times)) = (finetune.length, finetune.times) {
        rules.rule(&key("times"), "`length` or `times`, not both", times, false);
    }
    if let Some(length) = finetune.length {
        rules.within(&key("length"), 2..=LONGEST, " tokens", length);
    }
    for (name, number) in [("times", finetune.times), ("lr", finetune.lr)] {
        if let Some(number) = number {
            rules.positive(&key(name), number);
        }
    }
    if let Some(batch) = finetune.batch {
        rules.within(&key("batch"), 1..=MOST_AT_ONCE, " windows", batch);
    }
    if let Some(parts) = finetune.accumulate {
        rules.within(
            &key("accumulate"),
            1..=MOST_AT_ONCE as u64,
            " batches",
            parts,
        );
    }
    lengths(table, &finetune.lengths, rules);
    if let Some(mask) = &finetune.mask_inputs {
        masks(table, mask, rules);
    }
}
