//! `finetune`: a checkpoint that is made to serve longer texts, and is saved as a checkpoint again.
//!
//! The work is that of `run` on a config of one study, which is written here; so it can be stopped and goes on, and it
//! leaves a run folder with the losses before and after.

use super::pretrained::{ConfigKeys, notes, tell_notes};
use super::save::{Saving, tell_form};
use super::written::{self, BASE, Carried, add_scheme, carry_out};
use super::{Ended, Failure};
use crate::checkpoint::config as checkpoint;
use crate::checkpoint::files::Files;
use crate::checkpoint::save::{Format, config_for};
use crate::config;
use crate::model::Decoder;
use crate::origin;
use crate::scheme::{Positional, apart, resolve};
use crate::{Error, cell};
use clap::Args;
use farspan_attention::Device;
use farspan_pe::Registry;
use farspan_reports::record::Stage;
use serde_json::{Map, Value, json};
use std::path::PathBuf;
use std::sync::Arc;

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    farspan finetune --model DIR --scheme yarn,factor=4 --length 2048 --steps 200 --out DIR-2k books/*.txt\n  \
    farspan finetune --model DIR --scheme pi,factor=8 --length 512 --positions skip.target=4096 \\\n      \
    --steps 1000 --lora 8 --out DIR-pose books/*.txt\n\n\
    Stop it at any time (ctrl-C, kill); the same command continues where it stopped.")]
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
    #[arg(long = "context-length", alias = "reach", value_name = "TOKENS")]
    context_len: Option<usize>,
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
    #[arg(long, default_value = "cpu", help = super::devices())]
    device: String,
    #[command(flatten)]
    saving: Saving,
    /// Folder for the run that makes it [default: OUT.run]
    #[arg(long, value_name = "DIR")]
    run: Option<PathBuf>,
    /// Text files: paths or globs; `.parquet` and `.jsonl` hold a document in each row (column `text`)
    #[arg(required = true, value_name = "FILE")]
    texts: Vec<String>,
}

/// Name of the scheme that extends the checkpoint's own.
const EXTENDED: &str = "extended";

impl Finetune {
    pub(super) fn run(&self, registry: &Registry, command: String) -> Ended {
        self.saving.fresh()?;
        let files = Files::open(&origin::folder(&self.model)?)?.with_reading(self.keys.reading());
        let architecture = checkpoint::read(files.dir(), files.reading())?.architecture;
        // Before hours of training: whether there is a form to save it in.
        let scheme = resolve(registry, &architecture, self.scheme.as_ref())?;
        let context_len = self.longest()?;
        let format = self.saving.format(Format::of(&architecture));
        let parts = (&architecture, scheme.as_ref());
        tell_form(
            &config_for(format, &files, parts, context_len, registry)?,
            parts.1,
        );
        tell_notes(&notes(&architecture, scheme.as_ref()));
        let asked = Positional::of(scheme.as_ref());
        let config = self.config(&asked, &architecture.positional, registry)?;
        let folder = match &self.run {
            Some(folder) => folder.clone(),
            None => self.saving.out.with_extension("run"),
        };
        let how = Carried {
            folder: &folder,
            device: &self.device,
            quiet: false,
            command,
        };
        let dir_of_run = match carry_out(&config, "finetune", how, registry)? {
            Ok(dir) => dir,
            Err(code) => return Ok(code),
        };
        let plan = dir_of_run.plan()?;
        let cell = plan.cells.iter().find(|c| c.stage == Stage::FineTuned);
        let cell = cell.ok_or_else(|| Error::Bug("a run without its fine-tuning".into()))?;
        let found = cell::measured(&dir_of_run, cell)?;
        let scheme = registry.parse(&found.scheme.id, Value::Object(found.scheme.settings))?;
        let architecture = found.config.architecture;
        let apart = apart(registry, &architecture)?;
        let weights = found.weights;
        let model = Decoder::new(architecture, Arc::from(scheme), weights, &Device::cpu());
        let model = model.with_apart(apart);
        self.saving
            .save(format, &model, &files, context_len, registry)
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
        let seen = sampler.map_or(self.length, |s| s.context_len(self.length).max(self.length));
        Ok(self.context_len.unwrap_or(seen))
    }

    /// The run as a config.
    fn config(
        &self,
        asked: &Positional,
        own: &Positional,
        registry: &Registry,
    ) -> Result<Value, Failure> {
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
        let more = Map::from_iter([("finetune".to_string(), Value::Object(tuning))]);
        let mut schemes = Map::new();
        add_scheme(&mut schemes, EXTENDED, asked, more, (BASE, own), registry)?;
        let mut perplexity = json!({ "segments": self.segments });
        if !self.lengths.is_empty() {
            perplexity["lengths"] = json!(self.lengths);
        }
        Ok(json!({
            "name": "finetune",
            "seeds": [self.seed],
            "device": self.device,
            "model": written::model(&self.model, &self.keys),
            "data": written::texts(&self.texts),
            "schemes": schemes,
            "evaluate": { "perplexity": perplexity },
        }))
    }
}
