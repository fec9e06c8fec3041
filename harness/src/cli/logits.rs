//! `logits`: what a checkpoint computes for given token ids, for comparison with other programs.

use super::pretrained::{Source, notes_untrained, tell_notes};
use super::{Ended, Failure};
use crate::Error;
use crate::checkpoint::tell;
use crate::model::Values;
use crate::scheme::Positional;
use clap::Args;
use farspan_datasets::foreign::{self, excerpt};
use farspan_pe::Registry;
use serde::Serialize;
use std::path::{Path, PathBuf};

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    farspan logits --model DIR --ids ids.json --out logits.safetensors\n  \
    farspan logits --model DIR --ids ids.json --out logits.safetensors --scheme yarn,factor=4")]
pub(super) struct Logits {
    #[command(flatten)]
    source: Source,
    /// File with token ids: a JSON list, or numbers between white space
    #[arg(long, value_name = "FILE")]
    ids: PathBuf,
    /// File to write: one tensor `logits` (tokens, vocabulary), float32
    #[arg(long, short, value_name = "FILE")]
    out: PathBuf,
    /// Scheme instead of the config's: an id and settings
    #[arg(long, value_name = "ID,KEY=VALUE,…")]
    scheme: Option<Positional>,
}

/// Bytes of the largest file of token ids.
const LARGEST: u64 = 1 << 30;

/// What stands beside the logits.
#[derive(Serialize)]
struct Meta<'a> {
    scheme: &'a str,
    settings: serde_json::Value,
    tokens: usize,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    notes: &'a [String],
}

impl Logits {
    pub(super) fn run(&self, registry: &Registry) -> Ended {
        let ids = read_ids(&self.ids)?;
        let model = self.source.open(registry, self.scheme.as_ref())?;
        let notes = notes_untrained(&model.architecture, model.scheme.as_ref());
        tell_notes(&notes);
        let mut logits = Vec::with_capacity(ids.len() * model.architecture.vocab);
        model.run(&ids, self.source.chunk, |_, hidden| {
            logits.extend(model.logits(hidden)?.to_flat::<f32>()?);
            Ok(())
        })?;
        let shape = vec![ids.len(), model.architecture.vocab];
        let values = Values::from([("logits".to_string(), (shape, logits))]);
        let meta = Meta {
            scheme: model.scheme.id(),
            settings: model.scheme.settings(),
            tokens: ids.len(),
            notes: &notes,
        };
        tell(&self.out, &values, &meta)?;
        Ok(0)
    }
}

/// Token ids of a file: a JSON list, or numbers between white space.
fn read_ids(path: &Path) -> Result<Vec<u32>, Failure> {
    let text = foreign::read_text(path, "token ids", LARGEST).map_err(Error::from)?;
    let listed = match text.trim_start().starts_with('[') {
        true => serde_json::from_str(&text).map_err(|e| e.to_string()),
        false => text
            .split_whitespace()
            .map(|word| {
                word.parse()
                    .map_err(|e| format!("{:?}: {e}", excerpt(word)))
            })
            .collect(),
    };
    let ids: Vec<u32> =
        listed.map_err(|e| Error::Data(format!("{}: expected token ids: {e}", path.display())))?;
    if ids.is_empty() {
        let text = format!("{}: expected at least one token id", path.display());
        return Err(Error::Data(text).into());
    }
    Ok(ids)
}
