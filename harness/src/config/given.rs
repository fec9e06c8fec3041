//! Whether what a study reads gives the ids that a scheme reads.

use super::problem::Problems;
use super::schemes::Checked;
use super::types::{StudyConfig, TaskConfig};
use crate::model::Architecture;
use farspan_attention::plan::{Embed, Plan, PositionIds};
use farspan_datasets::tasks::{given_ids, train_batch};
use farspan_pe::recipe::{Recipe, Shift};
use farspan_pe::{Len, PlanError};
use serde_json::Map;

/// Windows that are looked at.
const WINDOWS: usize = 64;

/// Checks the ids of a scheme that reads given ones.
pub(super) fn ids(
    scheme: &Checked,
    study: &StudyConfig,
    name: &str,
    architecture: &Architecture,
    problems: &mut Problems,
) {
    let (geometry, length) = (&architecture.geometry, study.train.length);
    let Ok(plan) = scheme.parsed.plan(geometry, Len(length)) else {
        return;
    };
    let PositionIds::Given { ids: kind, .. } = &plan.position_ids else {
        return;
    };
    let recipe = scheme.parsed.recipe(geometry).unwrap_or_default();
    let id = &scheme.config.id;
    let what = if study.train.positions.is_some() || recipe.positions.is_some() {
        format!("scheme {id} stands tokens at given ids: leave train.positions out")
    } else if let Some(what) = missing(study, kind, &plan, &recipe) {
        format!("scheme {id} reads ids {kind:?}: {what}")
    } else {
        return;
    };
    let here = PlanError::Model {
        what: "ids",
        value: kind.clone(),
        rule: what.clone(),
    };
    let (path, at, _) = scheme.complaint(&here);
    problems.add(&at, path, format!("study {name}: {what}"));
}

/// What is missing, if anything is.
fn missing(study: &StudyConfig, kind: &str, plan: &Plan, recipe: &Recipe) -> Option<String> {
    let task = match &study.task {
        // A text has as long numbers as it has: those past a table are told of where they are read.
        TaskConfig::Text if kind == PositionIds::PLACES => return None,
        TaskConfig::Text => {
            return Some(
                "a text gives none; some tasks do, such as addition and copy (`task = …`)".into(),
            );
        }
        // What is wrong with the task itself is told where it stands.
        TaskConfig::Of(task) => task.task(&Map::new()).ok()?,
    };
    let length = study.train.length;
    if length < task.shortest() {
        return None;
    }
    let batch = train_batch(task.as_ref(), 0, 0, WINDOWS, length);
    let ids = match given_ids(task.as_ref(), kind, &batch) {
        Ok(ids) => ids,
        Err(why) => return Some(why),
    };
    let largest = ids.into_iter().fold(0.0, f64::max);
    let moved = match recipe.shift {
        Some(Shift::Together { most }) => largest + most as f64,
        Some(Shift::Within { largest: most }) => largest.max(most as f64),
        None => largest,
    };
    match plan.embed {
        Embed::Table { rows, .. } if moved >= rows as f64 => Some(format!(
            "those of {length} tokens reach {largest}, and {moved} when they are moved: past the {rows} rows of its table"
        )),
        _ => None,
    }
}
