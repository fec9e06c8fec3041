//! Rules that types cannot say.

use super::problem::{Problems, join};
use super::studies::Draft;
use super::tree::{Mark, Node};
use super::types::{StudyConfig, TaskConfig, TrainConfig};
use super::{reads, recipes};
use crate::checkpoint::config::read;
use crate::measure::Kind;
use crate::model::Architecture;
use crate::origin;
use farspan_datasets::TokenizerConfig;
use std::fmt::Display;
use std::ops::RangeInclusive;

/// Longest length, in tokens: positions above it are not exact in single precision.
pub const LONGEST: usize = 1 << 24;
/// Most windows of a batch, and batches of a step.
pub(super) const MOST_AT_ONCE: usize = 65_536;
/// A run counts its training tokens in 64 bits.
const MOST_TOKENS: f64 = (1u64 << 62) as f64;
/// Multiples of the trained length that are measured unless lengths are given.
const MULTIPLES: [usize; 4] = [1, 2, 4, 8];

/// Checks values below one table of the config.
pub struct Rules<'a> {
    pub(super) node: &'a Node,
    pub(super) path: &'a str,
    pub(super) problems: &'a mut Problems,
}

impl std::fmt::Debug for Rules<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rules")
            .field("table", &self.path)
            .finish_non_exhaustive()
    }
}

impl Rules<'_> {
    /// Unless `holds`, the value at `key` is reported as not what was `expected`.
    pub fn rule(&mut self, key: &str, expected: &str, found: impl Display, holds: bool) {
        if holds {
            return;
        }
        let at = self
            .node
            .dotted(key)
            .map_or(Mark::Default, |node| node.at.clone());
        let default = if at == Mark::Default {
            " (the default)"
        } else {
            ""
        };
        let what = format!("expected {expected}, found {found}{default}");
        self.problems.add(&at, join(self.path, key), what);
    }

    /// A number that must be above 0 and finite.
    pub fn positive(&mut self, key: &str, x: f64) {
        self.rule(key, "a finite number above 0", x, x > 0.0 && x.is_finite());
    }

    /// `" (as ARGUMENT says)"` if the value at `key` was set on the command line: a rule that follows from it names it.
    pub fn said(&self, key: &str) -> String {
        match self.node.dotted(key).map(|node| &node.at) {
            Some(Mark::Argument(argument)) => format!(" (as {argument} says)"),
            _ => String::new(),
        }
    }

    /// How many problems were told so far.
    pub fn told(&self) -> usize {
        self.problems.told()
    }

    /// A whole number in a range; `unit` is what is counted.
    pub fn within<T: Display + PartialOrd>(
        &mut self,
        key: &str,
        range: RangeInclusive<T>,
        unit: &str,
        found: T,
    ) {
        let rule = format!("{} to {}{unit}", range.start(), range.end());
        let holds = range.contains(&found);
        self.rule(key, &rule, found, holds);
    }

    /// Lengths to measure at: `why` names what takes at least `least` tokens.
    pub fn lengths(&mut self, key: &str, lengths: &[usize], least: usize, why: &str) {
        let some = !lengths.is_empty();
        self.rule(key, "at least one length", "an empty list", some);
        let increasing = lengths.windows(2).all(|pair| pair[0] < pair[1]);
        let rule = "lengths in increasing order, none twice";
        self.rule(key, rule, format!("{lengths:?}"), increasing);
        if let Some(short) = lengths.iter().find(|&&length| length < least) {
            let rule = format!("lengths of at least {least} tokens ({why})");
            self.rule(key, &rule, short, false);
        }
        if let Some(long) = lengths.iter().find(|&&length| length > LONGEST) {
            let rule = format!("lengths of at most {LONGEST} tokens");
            self.rule(key, &rule, long, false);
        }
    }
}

/// Fills in the measurements that follow from the rest, and checks everything that needs no scheme.
pub(super) fn study(
    study: &mut StudyConfig,
    draft: &Draft,
    problems: &mut Problems,
    warnings: &mut Vec<String>,
) -> Option<Architecture> {
    checkpoint(study, &draft.merged);
    fill(study, &draft.merged);
    let mut rules = Rules {
        node: &draft.merged,
        path: &draft.path,
        problems,
    };
    train(&study.train, &mut rules);
    recipes::train(&study.train, study.model.checkpoint.is_some(), &mut rules);
    steps(study, &mut rules);
    match &study.task {
        TaskConfig::Text => reads::text(study, &mut rules),
        TaskConfig::Of(task) => reads::task(task, study.train.length, &mut rules),
    }
    for (id, measure) in study.evaluate.asked() {
        let key = format!("evaluate.{id}");
        let empty = Node::empty(Mark::Default);
        let mut rules = Rules {
            node: draft.merged.dotted(&key).unwrap_or(&empty),
            path: &join(&draft.path, &key),
            problems,
        };
        measure.check(study, &mut rules);
    }
    warn(study, &draft.name, warnings);
    match study.model.architecture(1, study.train.length) {
        Ok(architecture) => Some(architecture),
        Err(broken) => {
            let key = if broken.key.is_empty() {
                "model".to_string()
            } else {
                join("model", broken.key)
            };
            let at = draft
                .merged
                .dotted(&key)
                .map_or(Mark::Default, |node| node.at.clone());
            problems.add(&at, join(&draft.path, &key), broken.what);
            None
        }
    }
}

/// What follows from a checkpoint: the trained length, the tokenizer, and that nothing is trained from scratch.
fn checkpoint(study: &mut StudyConfig, node: &Node) {
    let absent = |key: &str| node.dotted(key).is_none();
    let Some(name) = &study.model.checkpoint else {
        return;
    };
    if absent("train.steps") {
        study.train.steps = 0;
    }
    if study.data.sources().is_empty() && absent("data.validation") && absent("data.test") {
        (study.data.validation, study.data.test) = (0.0, 1.0);
    }
    // What is wrong with the folder is told with the sizes.
    let Ok(dir) = origin::folder(name) else {
        return;
    };
    if absent("data.tokenizer") {
        let file = dir.join("tokenizer.json");
        study.data.tokenizer = TokenizerConfig::File(file.display().to_string());
        if absent("data.bos") {
            study.data.bos = true;
        }
    }
    if let (true, Ok(architecture)) = (absent("train.length"), study.model.architecture(1, 0)) {
        study.train.length = architecture.geometry.trained_length;
    }
}

/// Steps of training from scratch, which a checkpoint has behind it.
fn steps(study: &StudyConfig, rules: &mut Rules<'_>) {
    let TrainConfig { steps, length, .. } = study.train;
    if study.model.checkpoint.is_none() {
        rules.rule("train.steps", "at least 1", steps, steps >= 1);
        return;
    }
    let task = "task \"text\", in which a checkpoint can be asked in words";
    let found = format!("task {:?}", study.task.id());
    rules.rule(
        "model.checkpoint",
        task,
        found,
        study.task == TaskConfig::Text,
    );
    let why = "0, as the checkpoint is trained (`finetune` of a scheme trains it further)";
    rules.rule("train.steps", why, steps, steps == 0);
    if let Ok(architecture) = study.model.architecture(1, 0) {
        let trained = architecture.geometry.trained_length;
        let rule = format!("{trained} tokens, the checkpoint's trained length");
        rules.rule("train.length", &rule, length, length == trained);
    }
}

/// The trained length where lengths are mixed, measures that nobody asked for, and what nobody set in the others: lengths are
/// multiples of the trained length.
fn fill(study: &mut StudyConfig, node: &Node) {
    let longest = study.train.lengths.iter().map(|share| share.length).max();
    if let (Some(longest), None) = (longest, node.dotted("train.length")) {
        study.train.length = longest;
    }
    let trained = study.train.length.min(LONGEST);
    let lengths = MULTIPLES.map(|m| m * trained);
    let kind = Kind {
        task: &study.task,
        checkpoint: study.model.checkpoint.is_some(),
        text: !study.data.sources().is_empty() || study.model.checkpoint.is_none(),
    };
    study.evaluate.add_defaults(&kind);
    for (id, measure) in study.evaluate.asked_mut() {
        let absent = |key: &str| node.dotted(&format!("evaluate.{id}.{key}")).is_none();
        measure.complete(&study.task, &lengths, &absent);
    }
}

fn train(train: &TrainConfig, rules: &mut Rules<'_>) {
    let TrainConfig {
        length,
        batch,
        steps,
        ..
    } = *train;
    rules.within("train.length", 2..=LONGEST, " tokens", length);
    rules.within("train.batch", 1..=MOST_AT_ONCE, " windows", batch);
    let most = MOST_AT_ONCE as u64;
    rules.within("train.accumulate", 1..=most, " batches", train.accumulate);
    let tokens = steps as f64 * train.step_tokens() as f64;
    rules.rule(
        "train.steps",
        "fewer than 2^62 training tokens in all",
        format!("{tokens:.1e}"),
        tokens < MOST_TOKENS,
    );
    rules.positive("train.lr", train.lr);
    let rate = train.final_lr;
    let unit = (0.0..=1.0).contains(&rate);
    rules.rule("train.final_lr", "a fraction from 0 to 1", rate, unit);
    for (key, beta) in [("train.beta1", train.beta1), ("train.beta2", train.beta2)] {
        let below = (0.0..1.0).contains(&beta);
        rules.rule(key, "a decay from 0 to below 1", beta, below);
    }
    let (decay, rule) = (train.weight_decay, "a finite number, 0 or more");
    let finite = decay >= 0.0 && decay.is_finite();
    rules.rule("train.weight_decay", rule, decay, finite);
    rules.positive("train.clip", train.clip);
    rules.positive("train.scheme_lr", train.scheme_lr);
}

/// What runs, but probably not as it was meant.
fn warn(study: &StudyConfig, name: &str, warnings: &mut Vec<String>) {
    let TrainConfig {
        length,
        steps,
        warmup,
        ..
    } = study.train;
    if warmup >= steps && study.model.checkpoint.is_none() {
        warnings.push(format!(
            "study {name}: train.warmup ({warmup}) is not below train.steps ({steps}), so the learning rate \
             never reaches its peak"
        ));
    }
    if let Some(checkpoint) = &study.model.checkpoint {
        let read = origin::folder(checkpoint).and_then(|dir| read(&dir, &study.model.reading()));
        // What is wrong with it is told with the sizes.
        for note in read.into_iter().flat_map(|found| found.architecture.notes) {
            warnings.push(format!("study {name}, {checkpoint}: {note}"));
        }
    }
    for (_, measure) in study.evaluate.asked() {
        let lengths = measure.lengths();
        if !lengths.contains(&length) {
            warnings.push(format!(
                "study {name}: the trained length {length} is not among the measured lengths {lengths:?}, so \
                 nothing can be held against it"
            ));
        }
    }
}
