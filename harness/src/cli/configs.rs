//! `validate`, and the arguments of every verb that reads a config.

use super::{Ended, json, print, tell};
use crate::Result;
use crate::config::{self, Loaded, MANY_CELLS, resolved_toml};
use clap::Args;
use farspan_attention::DeviceSpec;
use farspan_pe::Registry;
use std::collections::BTreeSet;
use std::path::PathBuf;

/// The config and what is laid over it.
#[derive(Debug, Args)]
pub(super) struct ConfigArgs {
    /// Config file (TOML)
    pub(super) config: PathBuf,
    /// Settings laid over the file: `train.steps=50`, `data.files=books/*.txt`; `-KEY` removes one
    ///
    /// Values are read as TOML, and as text where they are no TOML. Paths start from the current folder. A shared key
    /// (`train.steps=50`) wins over a study's own value; `studies.NAME.train.steps=50` sets it for one study.
    #[arg(value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    #[arg(long, value_name = "DEVICE", help = format!("Where to compute: {}", DeviceSpec::FORMS))]
    device: Option<String>,
    /// Allow more than 1000 cells
    #[arg(long)]
    yes: bool,
}

impl ConfigArgs {
    pub(super) fn load(&self, registry: &Registry) -> Result<Loaded> {
        let device = self.device.iter().map(|device| format!("device={device}"));
        let arguments: Vec<String> = self.overrides.iter().cloned().chain(device).collect();
        let most_cells = if self.yes { usize::MAX } else { MANY_CELLS };
        let loaded = config::load(&self.config, &arguments, registry, most_cells)?;
        loaded
            .warnings
            .iter()
            .for_each(|warning| tracing::warn!("{warning}"));
        Ok(loaded)
    }
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    farspan validate my.toml\n  \
    farspan validate my.toml train.lr=1e-3 --resolved   # every value, with where it came from")]
pub(super) struct Validate {
    #[command(flatten)]
    config: ConfigArgs,
    /// Print the config as resolved: every value with its origin
    #[arg(long)]
    resolved: bool,
    /// Print the resolved run as JSON
    #[arg(long, conflicts_with = "resolved")]
    json: bool,
}

impl Validate {
    pub(super) fn run(&self, registry: &Registry) -> Ended {
        let loaded = self.config.load(registry)?;
        if self.json {
            return json(&loaded.run);
        }
        if self.resolved {
            return print(&resolved_toml(&loaded.run, &loaded.origins));
        }
        let run = &loaded.run;
        let path = self.config.config.display();
        let (studies, schemes) = (run.studies.len(), run.schemes.len());
        let seeds = run
            .studies
            .iter()
            .flat_map(|(_, study)| run.seeds_of(study));
        let seeds = seeds.collect::<BTreeSet<_>>().len();
        let cells = run.cells();
        tell(&format!(
            "{path} is valid: studies {studies}, schemes {schemes}, seeds {seeds}, cells {cells}"
        ));
        Ok(0)
    }
}
