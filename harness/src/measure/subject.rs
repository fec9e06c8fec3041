//! A model that is asked, and how windows are put to it.

use crate::Error;
use crate::Result;
use crate::model::{Decoder, Ready};
use crate::source::draw_positions;
use farspan_datasets::{Batch, rng::Stream};
use farspan_pe::recipe::{Recipe, Sampler};
use farspan_pe::{Len, PlanError};

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
    pub fn at(&self, length: usize) -> Result<std::result::Result<Ready, String>> {
        let mut reach = length;
        if let Some(sampler) = self.sampler() {
            if let Err(e) = sampler.check_length(length) {
                return Ok(Err(e.to_string()));
            }
            reach = sampler.reach(length).max(length);
        }
        match self.model.ready(Len(reach), length) {
            Err(Error::Plan(e @ PlanError::NotServed { .. })) => Ok(Err(e.to_string())),
            ready => ready.map(Ok),
        }
    }

    /// Whether the scheme draws positions outside of training too.
    pub(crate) fn draws(&self) -> bool {
        self.sampler().is_some()
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
        rows: windows.len(),
        len: length,
    }
}
