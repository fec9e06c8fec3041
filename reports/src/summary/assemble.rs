//! Puts a summary together.

use super::compare::names;
use super::group::{Group, groups, kind, measures};
use super::sample::Sample;
use super::{
    Absent, Against, Aggregate, CellState, Counts, Curve, Difference, Key, MeasureInfo, Options,
    Reference, RefusedLength, RunInfo, StudySummary, Summary, TrainingInfo, aggregate, costs,
    depth, difference, measure, results,
};
use crate::record::{RunPlan, Stage, State};
use crate::stats::Design;
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
    let studies: Vec<StudySummary> = names(run)
        .into_iter()
        .map(|name| study(run, name, options, &mut problems))
        .collect();
    Summary {
        run: info(run),
        aggregate: across(run, &studies),
        studies,
        problems,
    }
}

/// What the tasks of all studies show together.
fn across(run: &LoadedRun, studies: &[StudySummary]) -> Option<Aggregate> {
    let cells: Vec<Vec<Group<'_>>> = studies.iter().map(|s| groups(run, &s.name)).collect();
    let parts = studies.iter().zip(&cells);
    let parts: Vec<aggregate::Part<'_>> = parts
        .map(|(study, groups)| aggregate::Part { study, groups })
        .collect();
    aggregate::across(&parts, run.plan.confidence)
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
        machine: machines(run),
        config_hash: plan.config_hash.clone(),
        confidence: plan.confidence,
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

/// The machines that made its cells.
fn machines(run: &LoadedRun) -> String {
    let costs = run.cells.iter().filter_map(|cell| cell.cost.as_ref());
    let told = costs.map(|cost| cost.machine.as_str());
    let all = std::iter::once(run.plan.machine.as_str()).chain(told);
    let all: BTreeSet<&str> = all.filter(|machine| !machine.is_empty()).collect();
    all.into_iter().collect::<Vec<_>>().join("; ")
}

fn study(
    run: &LoadedRun,
    name: &str,
    options: &Options,
    problems: &mut Vec<String>,
) -> StudySummary {
    let plan = &run.plan;
    let groups = groups(run, name);
    let measures = measures(&groups);
    let compared = || measures.iter().filter(|m| m.compares());
    check_data(name, &groups, &measures, problems);
    let (present, absent): (Vec<_>, Vec<_>) = groups.iter().partition(|g| !g.cells.is_empty());
    let reference = reference(plan, name, &present, problems);
    let baseline = reference.and_then(|(i, _)| present.get(i)).copied();
    let family: Vec<_> = measures
        .iter()
        .map(|m| (m, results::family(&present, m)))
        .collect();
    let to = |baseline: &Group<'_>| {
        let others = present.iter().filter(|g| baseline.label != g.label);
        let pairs = others.flat_map(|g| difference::between(g, baseline, compared()));
        difference::corrected(pairs.collect(), &family, plan.confidence)
    };
    let differences = baseline.map(&to).unwrap_or_default();
    let of = |g: &&Group<'_>| Against {
        reference: g.label.clone(),
        differences: to(g),
    };
    let against = present.iter().map(of).collect();
    let mut pairs = Vec::new();
    for tuned in present.iter().filter(|g| g.stage == Stage::FineTuned) {
        let before = present
            .iter()
            .find(|g| g.scheme == tuned.scheme && g.stage == Stage::ZeroShot);
        if let Some(before) = before {
            pairs.extend(difference::between(tuned, before, compared()));
        }
    }
    let family = difference::counted(&pairs, &measures);
    let fine_tuning = difference::corrected(pairs, &family, plan.confidence);
    let mut curves: Vec<Curve> = present
        .iter()
        .filter_map(|g| curve(g, plan, &measures))
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
        depth_effects: depth::effects(&groups, &measures, plan.confidence, options),
        measures,
        aggregate: None,
        absent: absent.iter().filter_map(|g| gone(g)).collect(),
        reference: reference.zip(baseline).map(|((_, declared), b)| Reference {
            label: b.label.clone(),
            declared,
        }),
        design: design(&differences, plan.confidence),
        results: Vec::new(),
        differences,
        against,
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
    let part = aggregate::Part {
        study: &summary,
        groups: &groups,
    };
    let aggregate = aggregate::of(&[part], plan.confidence);
    let average = aggregate
        .as_ref()
        .and_then(|a| results::of_average(part, a, plan.confidence));
    let table = |info| results::of_measure(&summary, info, &present, plan.confidence);
    let results = average
        .into_iter()
        .chain(summary.compared().filter_map(table))
        .collect();
    (summary.aggregate, summary.results) = (aggregate, results);
    summary.verdict = verdict::study(&summary, plan.margin);
    summary
}

/// What the comparisons can show: of the measure with the most of them, with the fewest seeds that any of them has.
fn design(differences: &[Difference], confidence: f64) -> Option<Design> {
    Some(Design {
        seeds: differences.iter().map(|d| d.seeds).min()?,
        comparisons: differences.iter().map(|d| d.comparisons).max()?,
        confidence,
    })
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

fn check_data(
    study: &str,
    groups: &[Group<'_>],
    measures: &[MeasureInfo],
    problems: &mut Vec<String>,
) {
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
    for info in measures {
        for group in groups {
            let other = |r: &&crate::record::MeasureRecord| {
                Key::of(r) == info.key && kind(r) != kind(&info.record)
            };
            if group.records().flat_map(|r| &r.measures).any(|r| other(&r)) {
                problems.push(format!(
                    "{study}: a cell of {} has samples of another kind for {}; they are left out.",
                    group.label, info.record.title
                ));
            }
            let lengths = group.lengths(info).into_iter();
            let lost =
                |l: &usize| Sample::at(group, info, *l).is_some_and(|s| s.mean(0.95).is_none());
            for length in lengths.filter(lost) {
                problems.push(format!(
                    "{study}: {} of {} at length {length} does not have the same test units at every point and seed; the \
                     point is left out.",
                    info.record.title, group.label
                ));
            }
        }
    }
}

fn curve(group: &Group<'_>, plan: &RunPlan, measures: &[MeasureInfo]) -> Option<Curve> {
    let first = group.records().next()?;
    let mut refused: Vec<RefusedLength> = Vec::new();
    for r in group.records().flat_map(|r| &r.refused) {
        let entry = RefusedLength {
            measure: r.measure.clone(),
            of: r.of.clone(),
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
        recipe: first.train.recipe.clone(),
        seeds: group.seeds(),
        measured: measures
            .iter()
            .filter_map(|m| measure::of(group, m, plan))
            .collect(),
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
            "{level} intervals over test units only (segments of text, prompts): there is one seed, so they \
             say nothing about how much another training of the same scheme would differ."
        ),
        (a, b) => {
            let seeds = if a == b {
                format!("{a} seeds")
            } else {
                format!("{a} to {b} seeds")
            };
            format!(
                "{level} intervals over {seeds} and over test units (segments of text, prompts); each source \
                 of variation enters with its own degrees of freedom, seeds as the outer unit."
            )
        }
    }
}
