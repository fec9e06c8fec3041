//! Puts a summary together.

use super::compare::names;
use super::group::{Group, groups, headline};
use super::{
    Absent, CellState, Counts, Curve, Difference, Options, Reference, RefusedLength, RunInfo,
    StudySummary, Summary, TrainingInfo, costs, difference, effective, passkey, perplexity,
};
use crate::record::{RunPlan, Stage, State};
use crate::store::{LoadedCell, LoadedRun};
use crate::verdict;
use std::collections::BTreeSet;

pub(super) fn run(run: &LoadedRun, options: &Options) -> Summary {
    let mut problems = run.problems.clone();
    problems.extend(run.cells.iter().filter_map(mishap));
    let unfinished: Vec<&str> = run
        .cells
        .iter()
        .filter(|c| unfinished(c.state()))
        .map(|c| c.planned.label.as_str())
        .collect();
    if !unfinished.is_empty() {
        let (n, all) = (unfinished.len(), run.cells.len());
        problems.push(format!(
            "{n} of {all} cells are not done yet: {}.",
            unfinished.join(", ")
        ));
    }
    let studies = names(run)
        .into_iter()
        .map(|name| study(run, name, options, &mut problems))
        .collect();
    Summary {
        run: info(run),
        studies,
        problems,
    }
}

fn unfinished(state: State) -> bool {
    matches!(state, State::Waiting | State::Running | State::Interrupted)
}

/// A sentence for a cell that ended without a result.
fn mishap(cell: &LoadedCell) -> Option<String> {
    let word = match cell.state() {
        State::Diverged => "diverged",
        State::Failed => "failed",
        State::Done | State::Waiting | State::Running | State::Interrupted => return None,
    };
    if cell.unreadable.is_some() {
        // Already told when the run was loaded.
        return None;
    }
    Some(format!("{} {word}: {}.", cell.planned.label, reason(cell)))
}

fn reason(cell: &LoadedCell) -> String {
    let said = cell
        .unreadable
        .clone()
        .or_else(|| cell.status.as_ref().and_then(|s| s.reason.clone()));
    said.unwrap_or_else(|| match cell.state() {
        State::Waiting => "it has not started".into(),
        State::Running => "it is running, or was stopped by force".into(),
        State::Interrupted => "it was interrupted and can be resumed".into(),
        State::Done | State::Diverged | State::Failed => "no reason was recorded".into(),
    })
}

fn info(run: &LoadedRun) -> RunInfo {
    let plan = &run.plan;
    let count = |f: &dyn Fn(&LoadedCell) -> bool| run.cells.iter().filter(|c| f(c)).count();
    RunInfo {
        name: plan.name.clone(),
        created: plan.created.clone(),
        command: plan.command.clone(),
        version: plan.version.clone(),
        machine: plan.machine.clone(),
        config_hash: plan.config_hash.clone(),
        confidence: plan.confidence,
        passkey_threshold: plan.passkey_threshold,
        margin: plan.margin,
        resolved: run.resolved.clone(),
        counts: Counts {
            planned: run.cells.len(),
            done: count(&|c| c.result.is_some()),
            diverged: count(&|c| c.state() == State::Diverged),
            failed: count(&|c| c.state() == State::Failed),
            unfinished: count(&|c| unfinished(c.state())),
            unreadable: count(&|c| c.unreadable.is_some()),
        },
    }
}

fn study(
    run: &LoadedRun,
    name: &str,
    options: &Options,
    problems: &mut Vec<String>,
) -> StudySummary {
    let plan = &run.plan;
    let groups = groups(run, name);
    let protocol = headline(&groups);
    check_data(name, &groups, problems);
    let (present, absent): (Vec<_>, Vec<_>) = groups.iter().partition(|g| !g.cells.is_empty());
    let reference = reference(plan, name, &present, problems);
    let baseline = reference.and_then(|(i, _)| present.get(i)).copied();
    let mut differences: Vec<Difference> = Vec::new();
    for group in present
        .iter()
        .filter(|g| baseline.is_some_and(|b| b.label != g.label))
    {
        if let Some(baseline) = baseline {
            differences.extend(difference::between(
                group,
                baseline,
                protocol,
                plan.confidence,
                options,
            ));
        }
    }
    difference::correct(&mut differences, plan.confidence);
    let mut fine_tuning: Vec<Difference> = Vec::new();
    for tuned in present.iter().filter(|g| g.stage == Stage::FineTuned) {
        let before = present
            .iter()
            .find(|g| g.scheme == tuned.scheme && g.stage == Stage::ZeroShot);
        fine_tuning.extend(before.map_or_else(Vec::new, |before| {
            difference::between(tuned, before, protocol, plan.confidence, options)
        }));
    }
    difference::correct(&mut fine_tuning, plan.confidence);
    let mut curves: Vec<Curve> = present
        .iter()
        .filter_map(|g| curve(g, plan, protocol))
        .collect();
    costs::relate(&mut curves, baseline.map(|b| b.label.as_str()));
    let planned = run.plan.cells.iter().filter(|c| c.study == name);
    let seeds: BTreeSet<u64> = planned.map(|c| c.seed).collect();
    let trained_lengths: BTreeSet<usize> = curves.iter().map(|c| c.trained_length).collect();
    let mut engines = Vec::new();
    for engine in present.iter().flat_map(|g| g.records()).map(|r| &r.engine) {
        if !engines.contains(engine) {
            engines.push(engine.clone());
        }
    }
    let mut summary = StudySummary {
        name: name.to_string(),
        verdict: Vec::new(),
        interval_basis: basis(&curves, plan.confidence),
        seeds: seeds.into_iter().collect(),
        trained_lengths: trained_lengths.into_iter().collect(),
        headline: protocol,
        protocols: perplexity::protocols(&groups),
        passkey: passkey::info(&groups),
        absent: absent.iter().filter_map(|g| gone(g)).collect(),
        reference: reference.zip(baseline).map(|((_, declared), b)| Reference {
            label: b.label.clone(),
            declared,
        }),
        differences,
        fine_tuning,
        cells: run
            .cells
            .iter()
            .filter(|c| c.planned.study == name)
            .map(cell_state)
            .collect(),
        data: present
            .iter()
            .flat_map(|g| g.records())
            .next()
            .map(|r| r.data.clone()),
        engines,
        curves,
    };
    summary.verdict = verdict::study(&summary, plan.margin, plan.passkey_threshold);
    summary
}

/// The curve that others are compared with: the declared one, or the first that was trained; and whether it was
/// declared.
fn reference(
    plan: &RunPlan,
    study: &str,
    present: &[&Group<'_>],
    problems: &mut Vec<String>,
) -> Option<(usize, bool)> {
    let Some(name) = &plan.reference else {
        let trained = present.iter().position(|g| g.stage == Stage::Trained);
        return trained
            .or((!present.is_empty()).then_some(0))
            .map(|i| (i, false));
    };
    let trained = present
        .iter()
        .position(|g| g.scheme == name && g.stage == Stage::Trained);
    let found = trained.or_else(|| present.iter().position(|g| g.scheme == name));
    if found.is_none() && !present.is_empty() {
        problems.push(format!(
            "{study}: the reference {name} has no result, so that nothing is compared with it."
        ));
    }
    found.map(|i| (i, true))
}

fn check_data(study: &str, groups: &[Group<'_>], problems: &mut Vec<String>) {
    let records = || groups.iter().flat_map(Group::records);
    let hashes: BTreeSet<_> = records()
        .map(|r| (&r.data.hash, &r.data.tokenizer_hash))
        .collect();
    if hashes.len() > 1 {
        problems.push(format!(
            "{study}: its cells read {} different data sets; their differences compare data as well as schemes.",
            hashes.len()
        ));
    }
    for group in groups {
        for protocol in perplexity::protocols(groups).iter().map(|p| p.protocol) {
            for length in group.lengths(protocol) {
                let seeds = group.seeds_at(protocol, length);
                if group
                    .panel(protocol, length, super::group::Per::Token, &seeds)
                    .is_none()
                {
                    problems.push(format!(
                        "{study}: seeds of {} at length {length} do not have the same test units; the point is left out.",
                        group.label
                    ));
                }
            }
        }
    }
}

fn curve(
    group: &Group<'_>,
    plan: &RunPlan,
    protocol: Option<crate::record::Protocol>,
) -> Option<Curve> {
    let confidence = plan.confidence;
    let first = group.records().next()?;
    let points = passkey::points(group, confidence, plan.passkey_threshold);
    let changes = protocol.map_or_else(Vec::new, |p| {
        effective::changes(group, p, confidence, plan.margin)
    });
    let mut refused: Vec<RefusedLength> = Vec::new();
    for r in group.records().flat_map(|r| &r.refused) {
        let entry = RefusedLength {
            measure: r.measure.clone(),
            length: r.length,
            reason: r.reason.clone(),
        };
        if !refused.contains(&entry) {
            refused.push(entry);
        }
    }
    Some(Curve {
        label: group.label.clone(),
        index: group.index,
        scheme_index: group.scheme_index,
        scheme: first.scheme.clone(),
        trained_length: first.trained_length,
        last_length: first.train.length,
        model: first.model.clone(),
        training_info: TrainingInfo {
            steps: first.train.steps,
            base_steps: first.train.base_steps,
            tokens: first.train.tokens,
            batch: first.train.batch,
            lr: first.train.lr,
        },
        seeds: group.seeds(),
        perplexity: perplexity::curves(group, confidence),
        position: perplexity::position(group, confidence),
        passkey_grid: passkey::grid(group, confidence),
        k_max: passkey::k_max(group, plan.passkey_threshold, confidence),
        effective_perplexity: protocol.and_then(|protocol| {
            effective::perplexity(group, protocol, &changes, confidence, plan.margin)
        }),
        changes,
        effective_passkey: effective::passkey(group, &points, confidence, plan.passkey_threshold),
        passkey: points,
        training: costs::training(group),
        cost: costs::cost(group),
        refused,
        learned: first.learned.clone(),
        searches: group.records().filter_map(|r| r.search.clone()).collect(),
    })
}

fn gone(group: &Group<'_>) -> Option<Absent> {
    let cell = group.planned.first()?;
    Some(Absent {
        label: group.label.clone(),
        index: group.index,
        scheme_index: group.scheme_index,
        state: cell.state(),
        reason: reason(cell),
    })
}

fn cell_state(cell: &LoadedCell) -> CellState {
    let planned = &cell.planned;
    let state = cell.state();
    let told = matches!(state, State::Diverged | State::Failed) || cell.unreadable.is_some();
    CellState {
        label: planned.label.clone(),
        id: planned.id.clone(),
        scheme: planned.scheme.clone(),
        stage: planned.stage,
        seed: planned.seed,
        state,
        progress: cell.status.as_ref().map(|s| (s.step, s.steps)),
        reason: told.then(|| reason(cell)),
        unreadable: cell.unreadable.is_some(),
    }
}

/// Over what the intervals run, in words.
fn basis(curves: &[Curve], confidence: f64) -> String {
    let level = format!("{}%", 100.0 * confidence);
    let most = curves.iter().map(|c| c.seeds.len()).max().unwrap_or(0);
    let fewest = curves.iter().map(|c| c.seeds.len()).min().unwrap_or(0);
    match (fewest, most) {
        (_, 0) => "No cell of this study has a result yet.".into(),
        (_, 1) => format!(
            "{level} intervals over test units only (segments of text, trials of retrieval): there is one seed, so they \
             say nothing about how much another training of the same scheme would differ."
        ),
        (a, b) => {
            let seeds = if a == b {
                format!("{a} seeds")
            } else {
                format!("{a} to {b} seeds")
            };
            format!(
                "{level} intervals over {seeds} and over test units (segments of text, trials of retrieval); each source \
                 of variation enters with its own degrees of freedom, seeds as the outer unit."
            )
        }
    }
}
