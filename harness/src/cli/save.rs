//! `save`: a model as a checkpoint folder, for the reference library or for Farspan.

use super::pretrained::{ConfigKeys, notes, tell_notes};
use super::{Ended, Failure, json, print, tell};
use crate::checkpoint::files::Files;
use crate::checkpoint::header::Type;
use crate::checkpoint::of_files;
use crate::checkpoint::save::{Form, Format, config_for, other_word, save_as};
use crate::model::Decoder;
use crate::origin;
use crate::scheme::Positional;
use clap::{Args, ValueEnum};
use farspan_attention::Device;
use farspan_pe::{AnyScheme, Registry};
use serde_json::{Map, Value};
use std::path::PathBuf;

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    farspan save --model runs/quickstart:language/yarn-x4+finetuned/s0 --out rope-x4\n  \
    farspan save --model runs/quickstart:language/alibi/s0 --format farspan --out alibi\n  \
    farspan save --model DIR --scheme yarn,factor=4 --dtype bfloat16 --out DIR-yarn")]
pub(super) struct Save {
    /// Checkpoint folder, a model id in the Hugging Face cache, or a finished cell of a run (RUN:CELL)
    #[arg(long, value_name = "DIR")]
    model: String,
    #[command(flatten)]
    keys: ConfigKeys,
    /// Scheme instead of the model's: an id and settings
    #[arg(long, value_name = "ID,KEY=VALUE,…")]
    scheme: Option<Positional>,
    /// Longest text that the saved config is for [default: the trained length, or what the scheme's factor makes of it]
    #[arg(long = "context-length", alias = "reach", value_name = "TOKENS")]
    context_len: Option<usize>,
    #[command(flatten)]
    saving: Saving,
}

/// How a model is saved.
#[derive(Debug, Args)]
pub(super) struct Saving {
    /// Folder for the new checkpoint
    #[arg(long, value_name = "DIR")]
    pub(super) out: PathBuf,
    /// Print what was made as JSON
    #[arg(long)]
    json: bool,
    /// Who is to load it [default: transformers; `finetune` of a model that has Farspan's form: farspan]
    #[arg(long, value_enum)]
    format: Option<For>,
    /// Numbers of the new weights; `own` is the type of the old ones
    #[arg(long, value_enum, default_value_t = Numbers::Float32, value_name = "TYPE")]
    dtype: Numbers,
    /// Bytes of a weight file above which there are several, with an index
    #[arg(long, default_value_t = Form::default().shard, value_name = "BYTES")]
    shard: u64,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum For {
    /// The reference library: a checkpoint in its family, a model that was trained here as a Llama
    Transformers,
    /// Farspan: any model under any scheme
    Farspan,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Numbers {
    /// As the checkpoint has them
    Own,
    /// As trained
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

impl Saving {
    /// Refuses a folder that has a checkpoint, before anything else is done.
    pub(super) fn fresh(&self) -> Result<(), Failure> {
        if self.out.join("config.json").exists() {
            let out = self.out.display();
            let text = format!("{out}: expected a new folder, this one has a checkpoint");
            return Err(Failure::usage(text));
        }
        Ok(())
    }

    pub(super) fn format(&self, default: Format) -> Format {
        match self.format {
            Some(For::Transformers) => Format::Library,
            Some(For::Farspan) => Format::Farspan,
            None => default,
        }
    }

    pub(super) fn save(
        &self,
        format: Format,
        model: &Decoder,
        from: &Files,
        context_len: usize,
        registry: &Registry,
    ) -> Ended {
        let form = Form {
            kind: self.dtype.kind(),
            shard: self.shard,
        };
        save_as(format, model, from, context_len, registry, form, &self.out)?;
        match self.json {
            true => json(
                &serde_json::json!({ "out": self.out, "scheme": model.scheme.id(), "length": context_len }),
            ),
            false => print(&format!("{}\n", self.out.display())),
        }
    }
}

/// Tells where a config has another word for a scheme.
pub(super) fn tell_form(config: &Map<String, Value>, scheme: &dyn AnyScheme) {
    if let Some(kind) = other_word(config, scheme) {
        let id = scheme.id();
        tell(&format!(
            "note: {id} is saved as {kind}, with factors that give the same frequencies"
        ));
    }
}

impl Save {
    pub(super) fn run(&self, registry: &Registry) -> Ended {
        self.saving.fresh()?;
        let files = Files::open(&origin::folder(&self.model)?)?.with_reading(self.keys.reading());
        let model = of_files(&files, registry, self.scheme.as_ref(), &Device::cpu())?;
        let (architecture, scheme) = (&model.architecture, model.scheme.as_ref());
        tell_notes(&notes(architecture, scheme));
        let factor = scheme.settings()["factor"].as_f64().unwrap_or(1.0).max(1.0);
        let trained = architecture.geometry.trained_length;
        let context_len = self
            .context_len
            .unwrap_or((trained as f64 * factor).round() as usize);
        let format = self.saving.format(Format::Library);
        let parts = (architecture, scheme);
        tell_form(
            &config_for(format, &files, parts, context_len, registry)?,
            scheme,
        );
        self.saving
            .save(format, &model, &files, context_len, registry)
    }
}
