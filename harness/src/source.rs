//! What a cell reads: the text or the task of its study, and the batches of its training.

use crate::cell::CellConfig;
use crate::config::types::{Named, Reads};
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
    /// Tokens of a step, which all lengths of windows share.
    tokens: usize,
    /// Where the tokens of a training window stand.
    sampler: Option<Sampler>,
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
            tokens: rows * len,
            sampler: recipe.positions.or(config.train.positions),
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

impl Batches for CellBatches<'_> {
    fn train(&self, step: u64, len: usize) -> Batch {
        let (seed, step) = (self.seed, self.first + step);
        let rows = (self.tokens / len).max(1);
        let mut stream = Stream::at(seed, "positions/train", step);
        let mut batch = match (self.source, &self.sampler) {
            (Source::Text(text), None) => text.train_batch(seed, step, rows, len),
            (Source::Task(_, task), None) => train_batch(task.as_ref(), seed, step, rows, len),
            (Source::Text(text), Some(sampler)) => {
                let longest = sampler.text(len);
                text.train_cuts((seed, step), rows, len, longest, &mut |text| {
                    let draw = sampler.draw(len, text, &mut || stream.uniform());
                    (draw.tokens, draw.positions)
                })
            }
            // An example must stay whole in its window.
            (Source::Task(_, task), Some(sampler)) => {
                let mut batch = train_batch(task.as_ref(), seed, step, rows, len);
                draw_positions(sampler, &mut batch, &mut stream);
                batch
            }
        };
        self.give(&mut batch, &mut stream);
        batch
    }

    fn validation(&self) -> &[Batch] {
        &self.validation
    }
}
