//! `list`: schemes, tasks, devices, presets.

use super::table::{Table, amount};
use super::{Ended, json, print};
use crate::config::{LARGEST, ModelConfig};
use clap::{Args, ValueEnum};
use farspan_attention::{Device, DeviceSpec, Precision};
use farspan_datasets::{tasks, words};
use farspan_pe::Registry;
use serde_json::{Value, json};

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  farspan list schemes\n  farspan list presets --json")]
pub(super) struct List {
    /// What to list
    what: What,
    /// Print it as JSON
    #[arg(long)]
    json: bool,
    /// Print schemes as a document with settings, formulas and papers
    #[arg(long, conflicts_with = "json")]
    markdown: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum What {
    /// Positional encodings
    Schemes,
    /// What a study can train and ask
    Tasks,
    /// What a checkpoint can be asked in words
    Words,
    /// Where to compute
    Devices,
    /// Sizes of decoders
    Presets,
}

/// Vocabulary that presets are counted with: single bytes.
const BYTES: usize = 256;

impl List {
    pub(super) fn run(&self, registry: &Registry) -> Ended {
        if self.markdown {
            return match self.what {
                What::Schemes => print(&super::catalogue::markdown(registry)),
                _ => Err(super::Failure::usage(
                    "--markdown: only schemes are written as a document",
                )),
            };
        }
        let (rows, table) = match self.what {
            What::Schemes => schemes(registry),
            What::Tasks => tasks(),
            What::Words => words(),
            What::Devices => devices(),
            What::Presets => presets()?,
        };
        if self.json {
            json(&rows)
        } else {
            print(&table.text())
        }
    }
}

fn schemes(registry: &Registry) -> (Vec<Value>, Table) {
    let mut table = Table::new(&["id", "name", "family", ">year", "needs", "idea"]);
    let mut rows = Vec::new();
    for entry in registry.entries() {
        let card = &entry.card;
        let year = if card.paper.year == 0 {
            String::new()
        } else {
            card.paper.year.to_string()
        };
        let needs = match card.needs {
            farspan_pe::Needs::Scratch => String::new(),
            farspan_pe::Needs::Base(family) => format!("{family} base"),
        };
        let idea = card.idea.to_string();
        table.row([
            entry.id.to_string(),
            card.title.to_string(),
            card.family.to_string(),
            year,
            needs,
            idea,
        ]);
        rows.push(json!({
            "id": entry.id,
            "title": card.title,
            "family": card.family,
            "paper": card.paper.to_string(),
            "year": card.paper.year,
            "arxiv": card.paper.arxiv,
            "needs": card.needs,
            "idea": card.idea,
            "task_ids": card.task_ids,
            "experimental": card.experimental,
        }));
    }
    (rows, table)
}

fn tasks() -> (Vec<Value>, Table) {
    let mut table = Table::new(&TASK);
    let mut rows = Vec::new();
    let text = "the next token of text ([data])";
    table.row(["text", text, "context", ""]);
    rows.push(json!({ "id": "text", "idea": text }));
    for entry in tasks::all() {
        let card = &entry.card;
        table.row([entry.id, card.idea, card.longer, card.paper]);
        rows.push(row(entry.id, json!(card), &entry.schema()));
    }
    (rows, table)
}

fn words() -> (Vec<Value>, Table) {
    let mut table = Table::new(&TASK);
    let mut rows = Vec::new();
    for entry in words::BUILTIN {
        let card = &entry.card;
        table.row([entry.id, card.idea, card.longer, card.paper]);
        rows.push(row(entry.id, json!(card), &entry.schema()));
    }
    (rows, table)
}

/// Columns of both kinds of tasks.
const TASK: [&str; 4] = [
    "task",
    "what is asked",
    "what a longer one has more of",
    "paper",
];

fn row(id: &str, mut card: Value, schema: &Value) -> Value {
    card["id"] = id.into();
    card["settings"] = schema["properties"].clone();
    card
}

fn devices() -> (Vec<Value>, Table) {
    let mut table = Table::new(&["device", "usable", "why"]);
    let mut rows = Vec::new();
    for spec in ["cpu", "cuda", "wgpu", "auto"] {
        let (usable, note) = match Device::open(spec) {
            Ok(device) => (true, device.note().to_string()),
            Err(error) => (false, error.to_string()),
        };
        table.row([spec, if usable { "yes" } else { "no" }, &note]);
        rows.push(json!({ "device": spec, "usable": usable, "note": note }));
    }
    // The first of each kind is above.
    let kinds = [DeviceSpec::Cuda(0, Precision::F32), DeviceSpec::Wgpu(0)].map(Device::all);
    for (spec, text) in kinds
        .into_iter()
        .flat_map(|all| all.into_iter().flatten().skip(1))
    {
        let spec = spec.to_string();
        table.row([&spec, "yes", &text]);
        rows.push(json!({ "device": spec, "usable": true, "note": text }));
    }
    (rows, table)
}

fn presets() -> crate::Result<(Vec<Value>, Table)> {
    let columns = [
        "preset",
        ">layers",
        ">width",
        ">heads",
        ">head_dim",
        ">hidden",
        ">parameters (byte tokens)",
    ];
    let mut table = Table::new(&columns);
    let mut rows = Vec::new();
    for n in 1..=LARGEST {
        let decoder = ModelConfig::preset(n).resolve(BYTES, BYTES)?;
        let g = decoder.geometry;
        table.row([
            format!("d{n}"),
            g.layers.to_string(),
            g.width.to_string(),
            g.heads.to_string(),
            g.head_dim.to_string(),
            decoder.hidden.to_string(),
            amount(decoder.parameters() as f64),
        ]);
        rows.push(json!({
            "preset": format!("d{n}"),
            "layers": g.layers,
            "width": g.width,
            "heads": g.heads,
            "head_dim": g.head_dim,
            "hidden": decoder.hidden,
            "parameters_with_byte_tokens": decoder.parameters(),
        }));
    }
    Ok((rows, table))
}
