//! Weights on disk: our own training state, and pretrained checkpoints as Hugging Face lays them out.

mod arch;
pub mod config;
mod convert;
pub mod ends;
mod experts;
pub mod files;
mod folder;
pub mod header;
pub mod hub;
pub mod keys;
mod known_keys;
pub mod layout;
mod reading;
mod restated;
mod rope;
mod rope_block;
mod rope_layers;
pub mod save;
mod state;
mod strict;
pub mod text;
pub mod weights;

use crate::Result;
use crate::model::Decoder;
use crate::scheme::{Positional, apart, resolve};
use farspan_attention::Device;
use farspan_pe::Registry;
use std::path::Path;

pub use state::{Loaded, MOMENTS, Owner, load, not_finite, save, tell};

/// The checkpoint folder `dir` under `asked`, or under the scheme of its config. What `asked` leaves open is taken over
/// from the config where the scheme has the setting too.
pub fn open(
    dir: &Path,
    registry: &Registry,
    asked: Option<&Positional>,
    device: &Device,
) -> Result<Decoder> {
    of_files(&files::Files::open(dir)?, registry, asked, device)
}

/// As [`open`], with the weights of `files`.
pub fn of_files(
    files: &files::Files,
    registry: &Registry,
    asked: Option<&Positional>,
    device: &Device,
) -> Result<Decoder> {
    let architecture = config::read(files.dir(), files.reading())?.architecture;
    let scheme = resolve(registry, &architecture, asked)?;
    let apart = apart(registry, &architecture)?;
    let weights = weights::load(files, &architecture, device)?;
    Ok(Decoder::new(architecture, scheme, weights, device).with_apart(apart))
}

/// A model of the folder `dir` with what its tokens say, by the tokenizer there, if its scheme reads that.
pub fn with_texts(decoder: Decoder, dir: &Path) -> Result<Decoder> {
    if !decoder.reads_texts()? {
        return Ok(decoder);
    }
    let texts = text::Tokenizer::open(dir)?.texts(decoder.architecture.vocab)?;
    Ok(decoder.with_texts(texts.into()))
}
