//! The run folder of a config: made, or gone on with.

use super::differ::differ;
use super::slots::slots;
use super::{Options, plan::plan};
use crate::config::types::Run;
use crate::{Error, Result, machine};
use farspan_pe::Registry;
use farspan_reports::record::RunPlan;
use farspan_reports::store::{LeaseState, RunDir, StoreError, sweep_ended};
use std::collections::BTreeSet;

/// The folder with its plan. Others may work in it meanwhile: what is written here is replaced whole.
pub(crate) fn open(run: &Run, options: &Options, registry: &Registry) -> Result<(RunDir, RunPlan)> {
    let mut fresh = plan(run, registry, &machine::way_here_from(&options.out)?)?;
    // What can be refused is refused before a folder is made.
    options.work.choice.check(&fresh)?;
    slots(&options.work, &fresh)?;
    fresh.command.clone_from(&options.command);
    if !RunDir::exists(&options.out) {
        let (config, resolved) = (&options.config_text, &options.resolved_text);
        match RunDir::create(&options.out, &fresh, config, resolved) {
            // Another `run` was quicker.
            Ok(_) | Err(StoreError::Exists { .. }) => {}
            Err(e) => return Err(e.into()),
        }
    }
    let dir = RunDir::open(&options.out)?;
    sweep_ended(dir.path());
    let plan = match dir.plan() {
        Ok(old) => go_on(&dir, old, fresh, options)?,
        Err(why @ StoreError::Malformed { .. }) => {
            set_plan_aside(&dir, &why, &fresh)?;
            dir.write_plan(&fresh, &options.config_text, &options.resolved_text)?;
            fresh
        }
        Err(e) => return Err(e.into()),
    };
    Ok((dir, plan))
}

/// Who works on a run with another version than ours.
fn other_version(dir: &RunDir, plan: &RunPlan) -> Result<Option<String>> {
    let now = dir.now()?;
    for cell in &plan.cells {
        if let Ok(LeaseState::Held(Some(holder))) = dir.lease_state(&cell.id, now)
            && holder.version != machine::version()
        {
            return Ok(Some(format!("{holder}, of version {},", holder.version)));
        }
    }
    Ok(None)
}

fn ids(plan: &RunPlan) -> BTreeSet<&str> {
    plan.cells.iter().map(|c| c.id.as_str()).collect()
}

/// The plan of a folder that is there: its cells must be those of the config. What only the page uses is taken over.
fn go_on(dir: &RunDir, old: RunPlan, fresh: RunPlan, options: &Options) -> Result<RunPlan> {
    let out = options.out.display();
    if old.schema_version < fresh.schema_version {
        return Err(Error::Config(format!(
            "{out} was begun by version {}, whose files are of schema {}: it can be read (report, compare, export), not \
             gone on with. Give another folder with --out, or remove that one",
            old.version, old.schema_version
        )));
    }
    if ids(&old) != ids(&fresh) {
        let there = dir.resolved().ok().flatten().unwrap_or_default();
        return Err(Error::Config(format!(
            "{out} holds a run of another config ({}, {} cells; this one has {}): {}. \
             Give another folder with --out, or remove that one",
            old.name,
            old.cells.len(),
            fresh.cells.len(),
            differ(&there, &options.resolved_text)
        )));
    }
    if old.version != fresh.version {
        if let Some(holder) = other_version(dir, &old)? {
            return Err(Error::Config(format!(
                "{out}: {holder} works on it: workers of one run are all of one version. Let it end, or run that version"
            )));
        }
        tracing::warn!(
            "resuming a run that version {} began with version {}",
            old.version,
            fresh.version
        );
    }
    let none = || "none".to_string();
    for (what, before, now) in [
        ("name", old.name.clone(), fresh.name.clone()),
        (
            "confidence",
            old.confidence.to_string(),
            fresh.confidence.to_string(),
        ),
        ("margin", old.margin.to_string(), fresh.margin.to_string()),
        (
            "reference",
            old.reference.clone().unwrap_or_else(none),
            fresh.reference.clone().unwrap_or_else(none),
        ),
    ] {
        if before != now {
            tracing::warn!(
                "{out}: {what} is {now} from now on (it was {before}); the page follows"
            );
        }
    }
    let merged = RunPlan {
        command: old.command.clone(),
        created: old.created.clone(),
        machine: old.machine.clone(),
        ..fresh
    };
    if merged != old {
        dir.write_plan(&merged, &options.config_text, &options.resolved_text)?;
    }
    Ok(merged)
}

/// Makes room for a new plan in the place of one that is not what was written, if the cells are those of the config.
fn set_plan_aside(dir: &RunDir, why: &StoreError, fresh: &RunPlan) -> Result<()> {
    let cells = dir.path().join("cells");
    let io = |e| Error::io(format!("reading {}", cells.display()), e);
    let known = ids(fresh);
    for entry in std::fs::read_dir(&cells).map_err(io)? {
        let name = entry
            .map_err(io)?
            .file_name()
            .to_string_lossy()
            .into_owned();
        if !known.contains(name.as_str()) {
            return Err(Error::Data(format!(
                "{why}; and {} is no cell of this config: its run is of another config, or was changed. \
                 Give another folder with --out, or remove that one",
                cells.join(name).display()
            )));
        }
    }
    let to = dir.set_aside(&dir.path().join("plan.json"))?;
    tracing::warn!(
        "{why}; set aside as {}; the plan is made again from the config",
        to.display()
    );
    Ok(())
}
