//! `check`: what a checkpoint's config means to us, key by key, and whether the weights fit it.

use super::pretrained::{ConfigKeys, notes};
use super::table::Table;
use super::{Ended, Failure, json, print, tell};
use crate::checkpoint::config::{self, Understood};
use crate::checkpoint::files::Files;
use crate::checkpoint::weights;
use crate::origin;
use crate::scheme::{Positional, resolve};
use clap::Args;
use farspan_pe::{Len, Registry};
use serde::Serialize;
use serde_json::Value;
use std::fmt::Write;

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    farspan check DIR\n  \
    farspan check DIR --scheme yarn,factor=4 --json")]
pub(super) struct Check {
    /// Checkpoint folder with config.json and safetensors weights, or a model id in the Hugging Face cache
    #[arg(value_name = "DIR")]
    model: String,
    /// Scheme instead of the config's: an id and settings
    #[arg(long, value_name = "ID,KEY=VALUE,…")]
    scheme: Option<Positional>,
    #[command(flatten)]
    keys: ConfigKeys,
    /// Print everything as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Found {
    #[serde(flatten)]
    understood: Understood,
    scheme: &'static str,
    settings: Value,
    plan: String,
    /// Of the config, and of the scheme that reads it.
    notes: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    weight_bytes: Option<u64>,
}

impl Check {
    pub(super) fn run(&self, registry: &Registry) -> Ended {
        let dir = origin::folder(&self.model)?;
        let understood = config::read(&dir, &self.keys.reading())?;
        let architecture = &understood.architecture;
        let scheme = resolve(registry, architecture, self.scheme.as_ref())?;
        let context_len = Len(architecture.geometry.trained_length);
        let plan = scheme.plan(&architecture.geometry, context_len)?;
        let weights = Files::open(&dir).and_then(|files| {
            let parameters = weights::check(&files, architecture)?;
            Ok((parameters, files.bytes()))
        });
        let held = weights.as_ref().ok().copied();
        let found = Found {
            scheme: scheme.id(),
            settings: scheme.settings(),
            plan: plan.to_string(),
            notes: notes(architecture, scheme.as_ref()),
            parameters: held.map(|(parameters, _)| parameters),
            weight_bytes: held.map(|(_, bytes)| bytes),
            understood,
        };
        let code = match self.json {
            true => json(&found)?,
            false => print(&text(&found))?,
        };
        match weights {
            Ok(_) => Ok(code),
            Err(error) => {
                let failure = Failure::from(error);
                tell(&format!("error: {}", failure.text));
                Ok(failure.code)
            }
        }
    }
}

fn text(found: &Found) -> String {
    let mut table = Table::new(&["key", "value", "meaning"]);
    for meaning in &found.understood.keys {
        let value = meaning.value.as_ref().map_or("(absent)".into(), short);
        table.row([meaning.key.clone(), value, meaning.meaning.clone()]);
    }
    let g = &found.understood.architecture.geometry;
    let mut text = format!("{}\n", table.text());
    let mut line = |what: &str, value: String| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{what:<16}{value}");
    };
    line("family", found.understood.architecture.family.clone());
    line(
        "sizes",
        format!(
            "{} layers, width {}, {} query heads over {} of {} channels, vocabulary {}",
            g.layers, g.width, g.heads, g.kv_heads, g.head_dim, found.understood.architecture.vocab
        ),
    );
    line("trained length", format!("{} tokens", g.trained_length));
    line("scheme", format!("{} {}", found.scheme, found.settings));
    for (own, layers) in found.understood.architecture.kept_apart() {
        line("keep their own", format!("layers {layers}: {own}"));
    }
    if let (Some(parameters), Some(bytes)) = (found.parameters, found.weight_bytes) {
        line(
            "weights",
            format!("{parameters} numbers in {bytes} bytes, names and shapes as expected"),
        );
    }
    for note in &found.notes {
        line("note", note.clone());
    }
    text.push('\n');
    text.push_str(&found.plan);
    text
}

/// A value on one line of bearable length.
fn short(value: &Value) -> String {
    const LONGEST: usize = 48;
    let text = value.to_string();
    match text.chars().count() > LONGEST {
        true => text.chars().take(LONGEST).chain("…".chars()).collect(),
        false => text,
    }
}
