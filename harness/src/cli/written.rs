//! Runs whose config a command writes itself.

use super::pretrained::ConfigKeys;
use super::run::options;
use super::work::Work;
use super::{CELLS_FAILED, Failure, LATER, device, tell};
use crate::Error;
use crate::checkpoint::config::Reading;
use crate::config;
use crate::grid;
use crate::scheme::Positional;
use farspan_pe::Registry;
use farspan_reports::store::RunDir;
use serde_json::{Map, Value, json};
use std::path::Path;

/// Name of the scheme of a checkpoint as it is, beside an extension of it.
pub(super) const BASE: &str = "checkpoint";

/// How a run is carried out.
pub(super) struct Carried<'c> {
    pub(super) folder: &'c Path,
    pub(super) device: &'c str,
    pub(super) quiet: bool,
    pub(super) command: String,
}

/// Carries out `config`, whose origin is called `name` in messages, in its folder. The exit code if it did not come to
/// its end.
pub(super) fn carry_out(
    config: &Value,
    name: &str,
    how: Carried<'_>,
    registry: &Registry,
) -> Result<Result<RunDir, u8>, Failure> {
    let lines = config.as_object().into_iter().flatten();
    let text: String = lines
        .map(|(key, value)| format!("{key} = {}\n", toml(value)))
        .collect();
    let loaded =
        config::parse(&text, name, &[], registry, config::MANY_CELLS).map_err(Error::from)?;
    let device = device(how.device)?;
    tracing::info!("device {}", device.note());
    let work = Work {
        jobs: Some(1),
        quiet: how.quiet,
        fail_fast: true,
        ..Work::default()
    };
    let folder = Some(how.folder.to_path_buf());
    let options = options(&loaded, folder, work, how.command);
    let outcome = grid::run(&loaded.run, &options, registry)?;
    if let Some(signal) = outcome.interrupted {
        tell("interrupted; the same command continues from here");
        return Ok(Err(grid::exit_code(signal)));
    }
    if let Some((label, why)) = outcome.failed.iter().chain(&outcome.diverged).next() {
        tell(&format!("{label}: {why}"));
        return Ok(Err(CELLS_FAILED));
    }
    if let Some((label, why)) = outcome.unfinished.first() {
        tell(&format!(
            "{label}: {why}; the same command continues from here"
        ));
        return Ok(Err(LATER));
    }
    Ok(Ok(RunDir::open(how.folder)?))
}

/// The table `model` of a config for a checkpoint.
pub(super) fn model(checkpoint: &str, keys: &ConfigKeys) -> Value {
    let Reading {
        ignore_keys,
        trained_length,
    } = keys.reading();
    let mut model = json!({ "checkpoint": checkpoint });
    if !ignore_keys.is_empty() {
        model["ignore_keys"] = json!(ignore_keys);
    }
    if let Some(length) = trained_length {
        model["trained_length"] = json!(length);
    }
    model
}

/// Adds the scheme `asked` by `name` to the table `schemes`, with `more` beside its settings; what an extension extends is
/// the scheme that the weights were trained with first: `own`, which has a name too, or what that extends.
pub(super) fn add_scheme(
    schemes: &mut Map<String, Value>,
    name: &str,
    asked: &Positional,
    more: Map<String, Value>,
    (own_name, own): (&str, &Positional),
    registry: &Registry,
) -> Result<(), Failure> {
    let mut settings = asked.settings.clone();
    settings.extend(more);
    if asked.extended(registry)?.is_some() {
        let (base, base_name) = match own.extended(registry)? {
            Some(base) => (base, BASE),
            None => (own.clone(), own_name),
        };
        schemes
            .entry(base_name)
            .or_insert_with(|| json!({ base.id: base.settings }));
        settings.insert("extends".into(), json!(base_name));
    }
    schemes.insert(name.into(), json!({ asked.id.as_str(): settings }));
    Ok(())
}

/// A value as TOML writes it in a line.
fn toml(value: &Value) -> String {
    match value {
        Value::Array(items) => {
            let items: Vec<_> = items.iter().map(toml).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Object(entries) => {
            let set = entries.iter().filter(|(_, value)| !value.is_null());
            let entries: Vec<_> = set
                .map(|(key, value)| format!("{} = {}", json!(key), toml(value)))
                .collect();
            format!("{{ {} }}", entries.join(", "))
        }
        // Numbers, truth values and strings are written alike in both.
        other => other.to_string(),
    }
}

/// Texts of the command line as `[data]` has them: files ending in `.parquet` or `.jsonl` (or `.jsonl.zst`) are tables with a
/// column `text`, all others one document each. Kinds do not mix.
pub(super) fn texts(paths: &[String]) -> Map<String, Value> {
    let kind = |path: &str| match path {
        path if path.ends_with(".parquet") => "parquet",
        path if path.ends_with(".jsonl") || path.ends_with(".jsonl.zst") => "jsonl",
        _ => "files",
    };
    let mut data = Map::new();
    for path in paths {
        let list = data.entry(kind(path)).or_insert_with(|| json!([]));
        if let Value::Array(list) = list {
            list.push(json!(path));
        }
    }
    data
}
