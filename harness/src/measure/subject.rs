//! A model that is asked, and how windows are put to it.

use crate::Error;
use crate::Result;
use crate::model::{Decoder, PreparedPlans};
use crate::source::draw_positions;
use farspan_attention::ops::TokenScore;
use farspan_datasets::tasks::{AnyTask, given_ids};
use farspan_datasets::{Batch, rng::Stream};
use farspan_pe::recipe::{Recipe, Sampler};
use farspan_pe::{Len, PlanError};

/// Numbers of the residual stream of a window beyond which it is read in pieces: 16 MiB, of which a layer's activations
/// take several times as much. Smaller windows are read at once, which is faster than to go by a cache.
const WHOLE: usize = 1 << 22;
/// Tokens of such a piece: rows enough for a product of matrices to run at full speed, and as many as `--chunk` reads.
const PIECE: usize = 512;
/// Tokens that one forward pass is given, so that memory stays level over lengths.
const TOKENS_PER_PASS: usize = 4096;

/// A model under a scheme, to be read at any length.
#[derive(Debug)]
pub struct Subject<'a> {
    /// The weights, under their scheme.
    pub model: &'a Decoder,
    /// What the scheme does besides its plan.
    pub recipe: &'a Recipe,
    /// Seed of everything that is drawn while measuring.
    pub seed: u64,
}

impl Subject<'_> {
    /// The plan at `length`, ready to run; the scheme's own words if it cannot serve it.
    pub fn at(&self, length: usize) -> Result<std::result::Result<PreparedPlans, String>> {
        let mut context_len = length;
        if let Some(sampler) = self.sampler() {
            if let Err(e) = sampler.check_length(length) {
                return Ok(Err(e.to_string()));
            }
            context_len = sampler.context_len(length).max(length);
        }
        match self.model.prepare(Len(context_len), length) {
            Err(Error::Plan(e @ PlanError::NotServed { .. })) => Ok(Err(e.to_string())),
            ready => ready.map(Ok),
        }
    }

    /// Scores of the targets of one text, `ids` but the first, read as the beginning of a window of `length` tokens: whole,
    /// or in pieces where it is long.
    pub(crate) fn read(
        &self,
        ids: &[u32],
        length: usize,
        ready: &PreparedPlans,
    ) -> Result<Vec<TokenScore>> {
        let (fed, targets) = (&ids[..ids.len() - 1], &ids[1..]);
        if self.in_pieces(length)? {
            let mut scores = Vec::with_capacity(fed.len());
            self.model.run_within(length, fed, PIECE, |first, rows| {
                let targets = &targets[first..first + rows.dim(0)?];
                scores.extend(self.model.row_scores(rows, targets)?);
                Ok(())
            })?;
            return Ok(scores);
        }
        // Filled up to the length: no token sees what stands behind it.
        let mut window = ids.to_vec();
        window.resize(length + 1, 0);
        let mut batch = windows_batch(&[&window], length);
        self.place("read", 0, &mut batch);
        let mut scores = self.model.scores(&batch, ready)?;
        scores.truncate(fed.len());
        Ok(scores)
    }

    /// Whether windows of a length are so large that they are read with a cache, and may be.
    pub(crate) fn in_pieces(&self, length: usize) -> Result<bool> {
        let large = length * self.model.architecture.geometry.width > WHOLE;
        Ok(large && !self.draws() && self.model.chunk(PIECE, length)? < length)
    }

    /// Whether the scheme draws positions outside of training too.
    fn draws(&self) -> bool {
        self.sampler().is_some()
    }

    /// Gives the windows of a batch of a task the ids that the scheme reads, if it reads any.
    pub(crate) fn give(&self, task: &dyn AnyTask, batch: &mut Batch) -> Result<()> {
        if let Some(kind) = self.model.reads_ids()? {
            let ids = given_ids(task, &kind, batch).map_err(Error::Config)?;
            batch.positions = Some(ids);
        }
        Ok(())
    }

    /// Why the ids of a task's windows cannot be read, if they lie past the table of the scheme.
    pub(crate) fn beyond(
        &self,
        task: &dyn AnyTask,
        batch: &Batch,
        ready: &PreparedPlans,
    ) -> Result<Option<String>> {
        let (Some(kind), Some(rows)) = (self.model.reads_ids()?, ready.rows()) else {
            return Ok(None);
        };
        let ids = given_ids(task, &kind, batch).map_err(Error::Config)?;
        let largest = ids.into_iter().fold(0.0, f64::max);
        Ok((largest >= rows as f64).then(|| {
            format!("ids {kind:?} reach {largest} here, past the {rows} rows of the table")
        }))
    }

    fn sampler(&self) -> Option<Sampler> {
        self.recipe.positions.filter(|_| self.recipe.in_evaluation)
    }

    /// Draws positions for batch number `index` of a measurement, if the scheme draws them outside of training too.
    pub(crate) fn place(&self, measure: &str, index: usize, batch: &mut Batch) {
        if let Some(sampler) = self.sampler() {
            let label = format!("positions/{measure}/{}", batch.len);
            let mut stream = Stream::at(self.seed, &label, index as u64);
            draw_positions(&sampler, batch, &mut stream);
        }
    }
}

/// Is told of tokens that were fed, and says whether to go on.
pub type Tick<'t> = &'t mut dyn FnMut(usize) -> bool;

/// Windows of one length, put together to batches of bounded size.
pub(crate) fn rows_per_pass(length: usize) -> usize {
    (TOKENS_PER_PASS / length).max(1)
}

/// A batch of windows of `length + 1` tokens each: inputs, and the next token as target, all scored.
pub(crate) fn windows_batch(windows: &[&[u32]], length: usize) -> Batch {
    let mut tokens = Vec::with_capacity(windows.len() * length);
    let mut targets = Vec::with_capacity(windows.len() * length);
    for window in windows {
        tokens.extend_from_slice(&window[..length]);
        targets.extend_from_slice(&window[1..=length]);
    }
    let weights = vec![1.0; targets.len()];
    Batch {
        tokens,
        targets,
        weights,
        positions: None,
        documents: None,
        rows: windows.len(),
        len: length,
    }
}
