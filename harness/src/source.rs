//! What a cell reads: the text or the task of its study, and the batches of its training.

use crate::cell::CellConfig;
use crate::config::types::{LengthShare, MaskInputs, Named, Reads, TrainConfig};
use crate::train::Batches;
use crate::{Error, Result, machine};
use farspan_attention::plan::PositionIds;
use farspan_datasets::tasks::{AnyTask, given_ids, train_batch};
use farspan_datasets::{Batch, TextData, rng::Stream};
use farspan_pe::recipe::{Recipe, Sampler, Shift};
use farspan_reports::record::{DataRecord, PartRecord};
use serde_json::Map;
use std::path::Path;

/// Windows that the validation loss is taken over.
const VALIDATION_BATCHES: usize = 2;
/// Seed of the validation prompts of a task: no run can have it, so no training batch repeats them.
const VALIDATION_SEED: u64 = u64::MAX;

/// What the models of a study read.
#[derive(Debug)]
pub enum Source {
    /// Text.
    Text(Box<TextData>),
    /// A task over tokens, with the settings that made it.
    Task(Named, Box<dyn AnyTask>),
}

impl Source {
    /// Opens the data of a study.
    pub fn open(reads: &Reads, root: &Path) -> Result<Source> {
        Ok(match reads {
            Reads::Text(data) => {
                let text = TextData::open(data, root, &machine::cache_dir())?;
                Source::Text(Box::new(text))
            }
            Reads::Task(task) => Source::Task(task.clone(), task.task(&Map::new())?),
        })
    }

    /// Vocabulary size.
    pub fn vocab(&self) -> usize {
        match self {
            Source::Text(text) => text.vocab(),
            Source::Task(_, task) => task.vocab(),
        }
    }

    /// Hashes of data and tokenizer.
    pub fn hashes(&self) -> (String, String) {
        match self {
            Source::Text(text) => (text.hash().to_string(), text.tokenizer_hash().to_string()),
            Source::Task(_, task) => (task.hash(), "task symbols".to_string()),
        }
    }

    /// `count` batches of `rows` windows that no training step reads; the same for every seed.
    pub(crate) fn validation(&self, rows: usize, len: usize, count: usize) -> Vec<Batch> {
        match self {
            Source::Text(text) => text.validation_batches(rows, len, count),
            Source::Task(_, task) => (0..count as u64)
                .map(|step| train_batch(task.as_ref(), VALIDATION_SEED, step, rows, len))
                .collect(),
        }
    }

    /// Text of each token id.
    pub(crate) fn token_texts(&self) -> Vec<String> {
        let ids = 0..self.vocab() as u32;
        match self {
            Source::Text(text) => ids.map(|id| text.decode(&[id])).collect(),
            Source::Task(_, task) => ids.map(|id| task.render(&[id])).collect(),
        }
    }

    /// Lets the tokens of a batch have the ids of a kind that the task gives, or those that the text has.
    pub(crate) fn give(&self, kind: &str, batch: &mut Batch) -> Result<()> {
        let ids = match self {
            Source::Task(_, task) => {
                given_ids(task.as_ref(), kind, batch).map_err(Error::Config)?
            }
            Source::Text(_) if kind != PositionIds::PLACES => {
                let text = format!("a text gives its tokens no ids {kind:?}, as a task may");
                return Err(Error::Config(text));
            }
            Source::Text(text) => {
                let digit = |id: &u32| is_digit(&text.decode(&[*id]));
                let windows = batch.tokens.chunks(batch.len);
                let places = |window: &[u32]| PositionIds::places(window.iter().map(digit));
                windows.flat_map(places).collect()
            }
        };
        batch.positions = Some(ids);
        Ok(())
    }

    pub(crate) fn record(&self) -> DataRecord {
        let (hash, tokenizer_hash) = self.hashes();
        match self {
            Source::Text(text) => DataRecord {
                description: text.description(),
                hash,
                tokenizer: text.tokenizer_description(),
                tokenizer_hash,
                parts: text
                    .parts()
                    .iter()
                    .map(|p| PartRecord {
                        name: p.name.to_string(),
                        documents: p.documents,
                        tokens: p.tokens as u64,
                    })
                    .collect(),
            },
            Source::Task(_, task) => DataRecord {
                description: task.describe(),
                hash,
                tokenizer: format!("task symbols ({})", task.vocab()),
                tokenizer_hash,
                parts: Vec::new(),
            },
        }
    }
}

/// Whether a token is one digit.
pub(crate) fn is_digit(text: &str) -> bool {
    text.len() == 1 && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// The batches of one cell.
pub(crate) struct CellBatches<'a> {
    source: &'a Source,
    seed: u64,
    /// Fine-tuning goes on in the stream of batches where its base stopped.
    first: u64,
    /// Where the tokens of a training window stand by the scheme's own recipe, which comes first.
    sampler: Option<Sampler>,
    /// Entries of the model's vocabulary.
    vocab: usize,
    /// Which ids tokens are given, and how they are moved in training.
    ids: Option<(String, Option<Shift>)>,
    validation: Vec<Batch>,
}

impl<'a> CellBatches<'a> {
    /// `ids`: which ids tokens are given, for a scheme that reads them.
    pub(crate) fn new(
        source: &'a Source,
        config: &CellConfig,
        recipe: &Recipe,
        ids: Option<String>,
    ) -> Result<CellBatches<'a>> {
        let (rows, len) = (config.train.batch, config.train.length);
        let mut validation = source.validation(rows, len, VALIDATION_BATCHES);
        if let Some(sampler) = recipe.positions.filter(|_| recipe.in_evaluation) {
            for (index, batch) in validation.iter_mut().enumerate() {
                let mut stream = Stream::at(VALIDATION_SEED, "positions", index as u64);
                draw_positions(&sampler, batch, &mut stream);
            }
        }
        if let Some(kind) = &ids {
            for batch in &mut validation {
                source.give(kind, batch)?;
            }
        }
        Ok(CellBatches {
            source,
            seed: config.seed,
            first: config.base_batches,
            sampler: recipe.positions,
            vocab: config.architecture.vocab,
            ids: ids.map(|kind| (kind, recipe.shift)),
            validation,
        })
    }

    /// Gives the windows of a batch their ids, moved as the recipe says.
    fn give(&self, batch: &mut Batch, stream: &mut Stream) {
        let Some((kind, shift)) = &self.ids else {
            return;
        };
        let given = self.source.give(kind, batch);
        given.expect("the validation windows have such ids");
        if let (Some(shift), Some(ids)) = (shift, &mut batch.positions) {
            shift.apply(ids, batch.len, &mut || stream.uniform());
        }
    }
}

/// Lets the tokens of a batch stand where `sampler` says, whole windows at a time: for windows that must not be cut.
pub(crate) fn draw_positions(sampler: &Sampler, batch: &mut Batch, stream: &mut Stream) {
    let mut uniform = || stream.uniform();
    let rows = (0..batch.rows).map(|_| sampler.draw(batch.len, batch.len, &mut uniform).positions);
    batch.positions = Some(rows.flatten().collect());
}

/// The length that a number from 0 to 1 falls to, by its share.
fn drawn_length(lengths: &[LengthShare], at: f64) -> usize {
    let mut below = 0.0;
    let found = lengths.iter().find(|share| {
        below += share.share;
        at < below
    });
    // Shares sum to 1 but for rounding.
    found.or(lengths.last()).map_or(0, |share| share.length)
}

/// Feeds the mask in place of inputs before the last one, by a count of each window that `mask` tells, as the authors' code
/// has it; there all windows of a batch are masked at the same places.
fn mask_inputs(mask: &MaskInputs, id: u32, batch: &mut Batch, stream: &mut Stream) {
    let count = ((batch.len as f64 * mask.share) as usize).max(1);
    for window in batch.tokens.chunks_mut(batch.len) {
        for place in stream.choose_distinct(window.len() - 1, count.min(window.len() - 1)) {
            window[place] = id;
        }
    }
}

impl Batches for CellBatches<'_> {
    fn train(&self, number: u64, config: &TrainConfig, len: usize) -> Batch {
        let (seed, number) = (self.seed, self.first + number);
        let len = match config.lengths.as_slice() {
            [] => len,
            lengths => {
                let at = Stream::at(seed, "lengths/train", number).uniform();
                drawn_length(lengths, at)
            }
        };
        let rows = (config.batch * config.length / len).max(1);
        let mut stream = Stream::at(seed, "positions/train", number);
        let mut batch = match (self.source, &self.sampler.or(config.positions)) {
            (Source::Text(text), None) => text.train_batch(seed, number, rows, len),
            (Source::Task(_, task), None) => train_batch(task.as_ref(), seed, number, rows, len),
            (Source::Text(text), Some(sampler)) => {
                let longest = sampler.text(len);
                text.train_cuts((seed, number), rows, len, longest, &mut |text| {
                    let draw = sampler.draw(len, text, &mut || stream.uniform());
                    (draw.tokens, draw.positions)
                })
            }
            // An example must stay whole in its window.
            (Source::Task(_, task), Some(sampler)) => {
                let mut batch = train_batch(task.as_ref(), seed, number, rows, len);
                draw_positions(sampler, &mut batch, &mut stream);
                batch
            }
        };
        // Ids are those of the tokens that are there, masked or not.
        self.give(&mut batch, &mut stream);
        if let Some(mask) = config.mask_inputs.filter(|mask| mask.share > 0.0) {
            let mut stream = Stream::at(seed, "masks/train", number);
            mask_inputs(&mask, mask.id(self.vocab), &mut batch, &mut stream);
        }
        batch
    }

    fn validation(&self) -> &[Batch] {
        &self.validation
    }

    fn chance(&self, number: u64) -> Box<dyn FnMut() -> f64 + '_> {
        let mut stream = Stream::at(self.seed, "scheme/train", self.first + number);
        Box::new(move || stream.uniform())
    }
}

#[cfg(test)]
mod tests;
