//! Arguments of all commands that run a checkpoint.

use super::{Failure, device, tell};
use crate::checkpoint::config::Reading;
use crate::checkpoint::files::Files;
use crate::checkpoint::{of_files, with_texts};
use crate::model::{Architecture, Decoder};
use crate::origin;
use crate::scheme::{Positional, inherits_doubt, never_trained};
use clap::Args;
use farspan_pe::{AnyScheme, Registry};
use std::path::PathBuf;

#[derive(Debug, Args)]
pub(super) struct Source {
    /// Checkpoint folder with config.json and safetensors weights, a model id in the Hugging Face cache, or a finished
    /// cell of a run (RUN:CELL)
    #[arg(long, value_name = "DIR")]
    model: String,
    #[arg(long, default_value = "cpu", help = super::devices())]
    device: String,
    /// Tokens that run at once; less needs less memory
    #[arg(long, default_value = "512", value_name = "TOKENS", value_parser = at_least_one)]
    pub(super) chunk: usize,
    /// Read weights that are NaN or infinite as they are, in place of refusing them
    #[arg(long)]
    allow_non_finite: bool,
    #[command(flatten)]
    keys: ConfigKeys,
}

/// How config.json is read, beside what it says.
#[derive(Debug, Args)]
pub(super) struct ConfigKeys {
    /// Read config.json as if these keys were not there, though they may change the computation; results tell of it
    #[arg(long, value_name = "KEY,…", value_delimiter = ',')]
    ignore_keys: Vec<String>,
    /// Length that the weights were trained with, where config.json does not tell
    #[arg(long, value_name = "TOKENS", value_parser = at_least_one)]
    trained_length: Option<usize>,
}

impl ConfigKeys {
    /// As the checkpoint's reader takes it.
    pub(super) fn reading(&self) -> Reading {
        Reading {
            ignore_keys: self.ignore_keys.clone(),
            trained_length: self.trained_length,
        }
    }
}

impl Source {
    /// The checkpoint's folder.
    pub(super) fn dir(&self) -> Result<PathBuf, Failure> {
        Ok(origin::folder(&self.model)?)
    }

    /// The model under `scheme`, or under the scheme of its config.
    pub(super) fn open(
        &self,
        registry: &Registry,
        scheme: Option<&Positional>,
    ) -> Result<Decoder, Failure> {
        let device = device(&self.device)?;
        let files = Files::open(&self.dir()?)?
            .with_non_finite(self.allow_non_finite)
            .with_reading(self.keys.reading());
        let decoder = of_files(&files, registry, scheme, &device)?;
        Ok(with_texts(decoder, files.dir())?)
    }
}

/// What a reader of numbers should know of a checkpoint under `scheme`.
pub(super) fn notes(architecture: &Architecture, scheme: &dyn AnyScheme) -> Vec<String> {
    let mut notes = architecture.notes.clone();
    notes.extend(inherits_doubt(architecture, scheme));
    notes
}

/// The same where the weights are read as they are.
pub(super) fn notes_untrained(architecture: &Architecture, scheme: &dyn AnyScheme) -> Vec<String> {
    let mut notes = notes(architecture, scheme);
    notes.extend(never_trained(architecture, scheme));
    notes
}

/// Tells notes to a person, each once.
pub(super) fn tell_notes<'n>(notes: impl IntoIterator<Item = &'n String>) {
    for note in notes {
        tell(&format!("note: {note}"));
    }
}

/// A whole number above 0.
pub(super) fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse::<usize>() {
        Ok(0) => Err("expected at least 1".into()),
        Ok(number) => Ok(number),
        Err(error) => Err(error.to_string()),
    }
}
