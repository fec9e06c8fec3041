//! The run folder of a config: made, or gone on with.

use super::{Options, plan::plan};
use crate::config::types::Run;
use crate::{Error, Result};
use farspan_pe::Registry;
use farspan_reports::record::RunPlan;
use farspan_reports::store::{Held, RunDir, StoreError};
use std::collections::BTreeSet;

/// The folder with its plan, held until dropped.
pub(super) fn open(
    run: &Run,
    options: &Options,
    registry: &Registry,
) -> Result<(RunDir, RunPlan, Held)> {
    let mut fresh = plan(run, registry)?;
    options.choice.check(&fresh)?;
    fresh.command.clone_from(&options.command);
    if !RunDir::exists(&options.out) {
        let (config, resolved) = (&options.config_text, &options.resolved_text);
        RunDir::create(&options.out, &fresh, config, resolved)?;
    }
    let dir = RunDir::open(&options.out)?;
    let held = dir.hold()?;
    let plan = match dir.plan() {
        Ok(old) => go_on(&dir, old, fresh, options)?,
        Err(why @ StoreError::Malformed { .. }) => {
            set_plan_aside(&dir, &why, &fresh)?;
            dir.write_plan(&fresh, &options.config_text, &options.resolved_text)?;
            fresh
        }
        Err(e) => return Err(e.into()),
    };
    Ok((dir, plan, held))
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
        return Err(Error::Config(format!(
            "{out} holds a run of another config ({}, {} cells, config {}); this one has {} cells, config {}. \
             Give another folder with --out, or remove that one",
            old.name,
            old.cells.len(),
            old.config_hash,
            fresh.cells.len(),
            fresh.config_hash
        )));
    }
    if old.version != fresh.version {
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
        version: old.version.clone(),
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
