//! Whether schemes can be trained at the lengths that they are trained at.

use super::check::{LONGEST, Rules};
use super::problem::{Problems, join};
use super::recipes;
use super::schemes::Checked;
use super::tree::{Mark, Node};
use super::types::{FinetuneConfig, LengthShare, MaskInputs, StudyConfig, TaskConfig};
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
    recipes::finetune(finetune, &mut rules);
    if let Some(lora) = &finetune.lora {
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
    let stages = scheme.config.finetune.iter().flat_map(FinetuneConfig::each);
    let stages: Vec<FinetuneConfig> = stages.collect();
    let least = match &study.task {
        TaskConfig::Text => 2,
        TaskConfig::Of(task) => task.task(&Map::new()).map_or(2, |task| task.shortest()),
    };
    let in_range = |length: &usize| (least..=LONGEST).contains(length);
    let windows = |stage: &FinetuneConfig| {
        let mixed = stage.lengths.iter().map(|share| share.length);
        mixed.chain([stage.window(trained)]).collect::<Vec<_>>()
    };
    if let Some(length) = stages.iter().flat_map(windows).find(|l| !in_range(l)) {
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
    let own = [(&scheme.parsed, vec![trained])];
    let tuned = scheme.stages.iter().zip(stages.iter().map(windows));
    for (parsed, lengths) in own.into_iter().chain(tuned) {
        for length in lengths {
            let Err(error) = parsed.layer_plans(&architecture.geometry, Len(length)) else {
                continue;
            };
            let (path, at, what) = scheme.complaint(&error);
            let what = format!("study {name}, training at {length} tokens: {what}");
            problems.add(&at, path, what);
        }
    }
    mixtures(scheme, study, name, &stages, problems);
    positions(scheme, study, name, architecture, problems);
}

/// Checks what fine-tuning mixes and masks against the study's own training.
fn mixtures(
    scheme: &Checked,
    study: &StudyConfig,
    name: &str,
    stages: &[FinetuneConfig],
    problems: &mut Problems,
) {
    let train = &study.train;
    let mut complain = |key: &str, what: String| {
        let path = join(&scheme.path, key);
        problems.add(
            &scheme.finetune_mark(),
            path,
            format!("study {name}: {what}"),
        );
    };
    for stage in stages {
        let window = stage.window(train.length);
        let tokens = stage.rows(train) * window;
        let longest = stage.lengths.iter().map(|share| share.length).max();
        if let Some(longest) = longest.filter(|longest| *longest != window) {
            let what = format!(
                "expected its longest to be the {window} tokens of a window, found {longest}"
            );
            complain("finetune.lengths", what);
        }
        let uneven =
            |share: &&LengthShare| share.length == 0 || !tokens.is_multiple_of(share.length);
        if let Some(share) = stage.lengths.iter().find(uneven) {
            let what = format!(
                "expected divisors of the {tokens} tokens of a batch, found {}",
                share.length
            );
            complain("finetune.lengths", what);
        }
        let adds = |mask: Option<MaskInputs>| mask.is_some_and(|mask| mask.adds_entry());
        if adds(stage.mask_inputs) && !adds(train.mask_inputs) {
            let what = "expected a token id, found \"added\": train.mask_inputs alone adds an entry to the vocabulary";
            complain("finetune.mask_inputs.token", what.into());
        }
    }
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
    let tuned = scheme.config.finetune.iter().flat_map(FinetuneConfig::each);
    let windows = |lengths: &[LengthShare], whole: usize| {
        let mixed: Vec<usize> = lengths.iter().map(|share| share.length).collect();
        if mixed.is_empty() { vec![whole] } else { mixed }
    };
    let mut trainings: Vec<_> = tuned
        .map(|f| (f.positions, windows(&f.lengths, f.window(trained))))
        .collect();
    let (path, at) = match (&scheme.config.base, trainings.is_empty()) {
        (_, false) => (
            join(&scheme.path, "finetune.positions"),
            scheme.finetune_mark(),
        ),
        (None, true) => {
            let lengths = windows(&study.train.lengths, trained);
            trainings.push((study.train.positions, lengths));
            ("train.positions".to_string(), Mark::Default)
        }
        (Some(_), true) => return,
    };
    for (asked, lengths) in trainings {
        if lengths.len() > 1 && !recipe.stages.is_empty() {
            let what = format!(
                "study {name}: scheme {} trains in lengths of its own: it takes no mixture of them",
                scheme.config.id
            );
            problems.add(&at, join(&scheme.path, "lengths"), what);
        }
        let Some(sampler) = recipe.positions.or(asked) else {
            continue;
        };
        if !study.data.documents.is_join() {
            let what = format!(
                "study {name}: positions are drawn in training, which data.documents = {:?} sets itself: expected \"join\"",
                study.data.documents
            );
            problems.add(&at, path.clone(), what);
            return;
        }
        if asked.is_some() && recipe.positions.is_some() {
            let what = format!(
                "study {name}: scheme {} draws positions by its own rule: leave this out",
                scheme.config.id
            );
            problems.add(&at, path.clone(), what);
            return;
        }
        for length in lengths {
            let Err(error) = sampler.check_length(length) else {
                continue;
            };
            let (own, at_own, what) = scheme.complaint(&error);
            let what = format!("study {name}, training at {length} tokens: {what}");
            match asked {
                Some(_) => problems.add(&at, path.clone(), what),
                None => problems.add(&at_own, own, what),
            }
        }
    }
}
