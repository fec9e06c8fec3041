//! `doctor`: whether this machine has what a run needs.

use super::table::Table;
use super::{Ended, json, print};
use crate::machine;
use clap::Args;
use farspan_attention::{Device, DeviceSpec, Precision};
use farspan_datasets::{DataConfig, NamedCorpus, TextData};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// A run of the quickstart fits in this.
const ENOUGH_MEMORY: u64 = 3 << 30;

#[derive(Debug, Args)]
#[command(
    after_help = "Example: farspan doctor\n\nExit code 0 if all is well, 74 if a folder cannot be written, 65 if \
                        the default text is missing."
)]
pub(super) struct Doctor {
    /// Print it as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Finding {
    what: &'static str,
    fine: bool,
    found: String,
    #[serde(skip)]
    code: u8,
}

impl Doctor {
    pub(super) fn run(&self) -> Ended {
        let mut findings = vec![
            fact("version", machine::version().to_string()),
            fact("machine", machine::machine()),
            memory(),
            devices(),
        ];
        findings.extend(gpus());
        findings.extend([
            folder("cache folder", &machine::cache_dir()),
            folder("current folder", Path::new(".")),
            corpus(),
        ]);
        if self.json {
            json(&findings)?;
        } else {
            let mut table = Table::new(&["", "", ""]);
            for finding in &findings {
                table.row([
                    if finding.fine { "ok" } else { "NO" },
                    finding.what,
                    &finding.found,
                ]);
            }
            print(&table.text())?;
        }
        Ok(findings.iter().map(|f| f.code).max().unwrap_or(0))
    }
}

fn fact(what: &'static str, found: String) -> Finding {
    Finding {
        what,
        fine: true,
        found,
        code: 0,
    }
}

/// What is not as a run needs it, with the exit code that tells of it.
fn fault(what: &'static str, found: String, code: u8) -> Finding {
    Finding {
        what,
        fine: false,
        found,
        code,
    }
}

fn memory() -> Finding {
    match machine::memory_bytes() {
        Some(bytes) if bytes < ENOUGH_MEMORY => {
            let found = format!("{} MiB: run with --jobs 1 and a small model", bytes >> 20);
            fault("memory", found, 0)
        }
        Some(bytes) => fact("memory", format!("{} MiB", bytes >> 20)),
        None => fact("memory", "the system does not tell".into()),
    }
}

fn devices() -> Finding {
    match Device::open("auto") {
        Ok(device) => fact("device", device.note().to_string()),
        Err(e) => fault("device", e.to_string(), super::BUG),
    }
}

/// What `--device cuda` and `--device wgpu` would open. A machine without is fine.
fn gpus() -> Vec<Finding> {
    let mut findings = Vec::new();
    for (kind, one, none) in [
        (DeviceSpec::Cuda(0, Precision::F32), "card", "cards"),
        (DeviceSpec::Wgpu(0), "adapter", "adapters"),
    ] {
        match Device::all(kind) {
            Ok(found) => {
                let each = found.into_iter();
                findings.extend(each.map(|(spec, text)| fact(one, format!("{spec}: {text}"))));
            }
            Err(why) => {
                let kind = kind.to_string();
                let kind = kind.trim_end_matches(":0");
                findings.push(fact(none, format!("none for --device {kind}: {why}")));
            }
        }
    }
    findings
}

/// Whether a file can be made in a folder, which is made if it is missing.
fn folder(what: &'static str, path: &Path) -> Finding {
    let tried = std::fs::create_dir_all(path).and_then(|()| tempfile::tempfile_in(path));
    match tried {
        Ok(_) => fact(what, format!("{} can be written", path.display())),
        Err(e) => {
            let found = format!("{} cannot be written: {e}", path.display());
            fault(what, found, super::SYSTEM)
        }
    }
}

fn corpus() -> Finding {
    let what = "text (corpus = \"cargo\")";
    let config = DataConfig {
        corpus: Some(NamedCorpus::Cargo),
        ..DataConfig::default()
    };
    match TextData::open(&config, &PathBuf::from("."), &machine::cache_dir()) {
        Ok(text) => fact(what, text.description()),
        Err(e) => fault(what, e.to_string(), super::DATA),
    }
}
