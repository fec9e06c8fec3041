//! `finetune`: a checkpoint that is made to serve longer texts, and is saved as a checkpoint again.
//!
//! The work is that of `run` on a config of one study, which is written here; so it can be stopped and goes on, and it
//! leaves a run folder with the losses before and after.

use super::pretrained::{ConfigKeys, notes, tell_notes};
use super::{CELLS_FAILED, Ended, Failure, LATER, print, tell};
use crate::checkpoint::config::{self as checkpoint, Reading};
use crate::checkpoint::files::Files;
use crate::checkpoint::header::Type;
use crate::checkpoint::hub;
use crate::checkpoint::save::{Form, extended, save_pretrained};
use crate::config::{self, resolved_toml};
use crate::grid::{self, Options};
use crate::scheme::{Positional, resolve};
use crate::{Error, cell};
use clap::{Args, ValueEnum};
use farspan_attention::Device;
use farspan_pe::{Needs, Registry};
use farspan_reports::record::Stage;
use farspan_reports::store::RunDir;
use serde_json::{Map, Value, json};
use std::path::PathBuf;

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    farspan finetune --model DIR --scheme yarn,factor=4 --length 2048 --steps 200 --out DIR-2k books/*.txt\n  \
    farspan finetune --model DIR --scheme pi,factor=8 --length 512 --positions skip.target=4096 \\\n      \
    --steps 1000 --lora 8 --out DIR-pose books/*.txt\n\n\
    Stop it at any time (ctrl-C, kill); the same command goes on where it stopped.")]
pub(super) struct Finetune {
    /// Checkpoint folder, or a model id in the Hugging Face cache
    #[arg(long, value_name = "DIR")]
    model: String,
    /// Scheme that extends it [default: the config's own]
    #[arg(long, value_name = "ID,KEY=VALUE,…")]
    scheme: Option<Positional>,
    #[command(flatten)]
    keys: ConfigKeys,
    /// Tokens per window of training
    #[arg(long, value_name = "TOKENS")]
    length: usize,
    /// Longest text that the saved config is for [default: the longest that training saw]
    #[arg(long, value_name = "TOKENS")]
    reach: Option<usize>,
    /// Optimizer steps
    #[arg(long)]
    steps: u64,
    /// Windows per batch
    #[arg(long, default_value_t = 8)]
    batch: usize,
    /// Batches whose gradients are averaged before each step
    #[arg(long, default_value_t = 1)]
    accumulate: u64,
    /// Peak learning rate [default: 2e-5, for adapters 2e-4]
    #[arg(long)]
    lr: Option<f64>,
    /// Steps of linear warm-up [default: a tenth of the steps]
    #[arg(long)]
    warmup: Option<u64>,
    /// Where the tokens of a window stand: skip.target=N (PoSE), middle.factor=N (CREAM), subset.range=N (randomised),
    /// pieces.target=N,pieces.share=X (segmented), or steps
    #[arg(long, value_name = "KEY=VALUE,…", value_delimiter = ',')]
    positions: Vec<String>,
    /// Train adapters of this rank, with embeddings and norms, in place of all weights
    #[arg(long, value_name = "RANK")]
    lora: Option<usize>,
    /// Adapters are multiplied by this over their rank [default: twice the rank]
    #[arg(long, value_name = "ALPHA", requires = "lora")]
    lora_alpha: Option<f64>,
    /// Compute activations again on the way back in place of holding them: less memory, more time
    #[arg(long)]
    checkpointing: bool,
    /// Seed of the order of the data and of the adapters
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Lengths that losses are measured at [default: 1, 2, 4 and 8 times the trained length]
    #[arg(long, value_delimiter = ',')]
    lengths: Vec<usize>,
    /// Stretches of text that losses are measured on
    #[arg(long, default_value_t = 16)]
    segments: usize,
    /// Device: auto, cpu, cuda[:i], metal[:i] or wgpu[:i]
    #[arg(long, default_value = "cpu")]
    device: String,
    /// Folder for the new checkpoint
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Numbers of the new weights; `own` is the type of the old ones
    #[arg(long, value_enum, default_value_t = Numbers::Float32, value_name = "TYPE")]
    dtype: Numbers,
    /// Bytes of a weight file above which there are several, with an index
    #[arg(long, default_value_t = Form::default().shard, value_name = "BYTES")]
    shard: u64,
    /// Folder for the run that makes it [default: OUT.run]
    #[arg(long, value_name = "DIR")]
    run: Option<PathBuf>,
    /// Text files: paths or globs
    #[arg(required = true, value_name = "FILE")]
    texts: Vec<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Numbers {
    /// As the checkpoint has them
    Own,
    /// As they learned
    Float32,
    /// Rounded to the nearest
    Bfloat16,
    /// Rounded to the nearest; refused if a number is too large
    Float16,
}

impl Numbers {
    fn kind(self) -> Option<Type> {
        match self {
            Numbers::Own => None,
            Numbers::Float32 => Some(Type::F32),
            Numbers::Bfloat16 => Some(Type::BF16),
            Numbers::Float16 => Some(Type::F16),
        }
    }
}

/// Names of the two schemes of the run: of the checkpoint as it is, and of the extension.
const BASE: &str = "checkpoint";
const EXTENDED: &str = "extended";

impl Finetune {
    pub(super) fn run(&self, registry: &Registry, command: String) -> Ended {
        let dir = hub::folder(&self.model)?;
        if self.out.join("config.json").exists() {
            let out = self.out.display();
            let text = format!("{out}: expected a new folder, this one has a checkpoint");
            return Err(Failure::usage(text));
        }
        let reading = self.keys.reading();
        let architecture = checkpoint::read(&dir, &reading)?.architecture;
        // Before hours of training: whether there is a form to save it in.
        let scheme = resolve(registry, &architecture, self.scheme.as_ref())?;
        let reach = self.longest()?;
        let with = (registry, &reading);
        let form = extended(&dir, scheme.as_ref(), &architecture, reach, with)?;
        if form["rope_parameters"]["rope_type"] == "longrope" && scheme.id() != "longrope" {
            tell(&format!(
                "note: {} is saved as longrope, with factors that give the same frequencies",
                scheme.id()
            ));
        }
        tell_notes(&notes(&architecture, scheme.as_ref()));
        let asked = Positional::of(scheme.as_ref());
        let text = self.config(&asked, &architecture.positional, registry)?;
        let loaded = config::parse(&text, "finetune", &[], registry, config::MANY_CELLS)
            .map_err(Error::from)?;
        let device = Device::open(&self.device).map_err(|e| Failure::usage(e.to_string()))?;
        tracing::info!("device {}", device.note());
        let folder = match &self.run {
            Some(folder) => folder.clone(),
            None => self.out.with_extension("run"),
        };
        let options = Options {
            out: folder.clone(),
            jobs: Some(1),
            filter: None,
            limit: None,
            shard: None,
            device: self.device.clone(),
            quiet: false,
            fail_fast: true,
            command,
            config_text: loaded.text.clone(),
            resolved_text: resolved_toml(&loaded.run, &loaded.origins),
        };
        let outcome = grid::run(&loaded.run, &options, registry)?;
        if let Some(signal) = outcome.interrupted {
            tell("interrupted; the same command goes on from here");
            return Ok(grid::exit_code(signal));
        }
        if let Some((label, why)) = outcome.failed.iter().chain(&outcome.diverged).next() {
            tell(&format!("{label}: {why}"));
            return Ok(CELLS_FAILED);
        }
        if let Some((label, why)) = outcome.unfinished.first() {
            tell(&format!(
                "{label}: {why}; the same command goes on from here"
            ));
            return Ok(LATER);
        }
        let dir_of_run = RunDir::open(&folder)?;
        let plan = dir_of_run.plan()?;
        let cell = plan.cells.iter().find(|c| c.stage == Stage::FineTuned);
        let cell = cell.ok_or_else(|| Error::Bug("a run without its fine-tuning".into()))?;
        let files = Files::open(&dir)?.with_reading(reading);
        let model = cell::open(&dir_of_run, &cell.id, registry, &Device::cpu())?.0;
        let form = Form {
            kind: self.dtype.kind(),
            shard: self.shard,
        };
        save_pretrained(&model, &files, reach, registry, form, &self.out)?;
        print(&format!("{}\n", self.out.display()))
    }

    /// The positions that windows are drawn at, as the config writes them.
    fn sampler(&self) -> Result<Option<Value>, Failure> {
        match self.positions.as_slice() {
            [] => Ok(None),
            [one] if !one.contains('=') => Ok(Some(json!(one))),
            several => config::settings(several)
                .map(Some)
                .map_err(|e| Failure::usage(format!("--positions: {e}"))),
        }
    }

    /// The longest text that training shows positions of.
    fn longest(&self) -> Result<usize, Failure> {
        let sampler = self.sampler()?.map(serde_json::from_value);
        let sampler: Option<farspan_pe::recipe::Sampler> = sampler
            .transpose()
            .map_err(|e| Failure::usage(format!("--positions: {e}")))?;
        let seen = sampler.map_or(self.length, |s| s.reach(self.length).max(self.length));
        Ok(self.reach.unwrap_or(seen))
    }

    /// The table `model` of the config.
    fn model(&self) -> Value {
        let Reading {
            ignore_keys,
            trained_length,
        } = self.keys.reading();
        let mut model = json!({ "checkpoint": self.model });
        if !ignore_keys.is_empty() {
            model["ignore_keys"] = json!(ignore_keys);
        }
        if let Some(length) = trained_length {
            model["trained_length"] = json!(length);
        }
        model
    }

    /// The run as a config.
    fn config(
        &self,
        asked: &Positional,
        own: &Positional,
        registry: &Registry,
    ) -> Result<String, Failure> {
        let mut tuning = Map::new();
        let mut set = |key: &str, value: Value| tuning.insert(key.into(), value);
        set("steps", json!(self.steps));
        set("length", json!(self.length));
        set("batch", json!(self.batch));
        set("accumulate", json!(self.accumulate));
        for (key, value) in [
            ("lr", self.lr.map(|x| json!(x))),
            ("warmup", self.warmup.map(|x| json!(x))),
            ("positions", self.sampler()?),
        ] {
            value.map(|value| set(key, value));
        }
        if self.checkpointing {
            set("checkpointing", json!(true));
        }
        if let Some(rank) = self.lora {
            let alpha = self.lora_alpha.unwrap_or(2.0 * rank as f64);
            set("lora", json!({ "rank": rank, "alpha": alpha }));
        }
        let mut extension = asked.settings.clone();
        extension.insert("finetune".into(), Value::Object(tuning));
        let mut schemes = Map::new();
        if let Needs::Base(_) = registry.get(&asked.id).map_err(Error::from)?.card.needs {
            // What an extension extends is the scheme that the weights were trained with first.
            let mut base = own.clone();
            if let Needs::Base(_) = registry.get(&own.id).map_err(Error::from)?.card.needs {
                base.id = "rope".into();
                let known = ["base", "partial", "pairing"];
                base.settings.retain(|key, _| known.contains(&key.as_str()));
            }
            schemes.insert(BASE.into(), json!({ base.id: base.settings }));
            extension.insert("extends".into(), json!(BASE));
        }
        schemes.insert(EXTENDED.into(), json!({ asked.id.as_str(): extension }));
        let mut perplexity = json!({ "segments": self.segments });
        if !self.lengths.is_empty() {
            perplexity["lengths"] = json!(self.lengths);
        }
        let config = json!({
            "name": "finetune",
            "seeds": [self.seed],
            "device": self.device,
            "model": self.model(),
            "data": { "files": self.texts },
            "schemes": schemes,
            "evaluate": { "perplexity": perplexity },
        });
        let Value::Object(config) = config else {
            return Err(Error::Bug("a config is no table".into()).into());
        };
        let lines = config
            .iter()
            .map(|(key, value)| format!("{key} = {}\n", toml(value)));
        Ok(lines.collect())
    }
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
