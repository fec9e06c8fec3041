//! A model that tells key tokens for others: its own weights, scheme and tokenizer.

use super::super::{Subject, Tick};
use super::{Keys, LongPpl};
use crate::checkpoint::config::{self, Reading};
use crate::checkpoint::files::Files;
use crate::checkpoint::text::Tokenizer;
use crate::checkpoint::{of_files, with_texts};
use crate::model::{Architecture, Decoder};
use crate::scheme::{apart, layer_plans, resolve};
use crate::{Error, Result, origin};
use farspan_attention::Device;
use farspan_datasets::words::key_tokens::{inside, intervals};
use farspan_datasets::{Segment, TextData};
use farspan_pe::recipe::Recipe;
use farspan_pe::{AnyScheme, Len, PlanError, Registry};
use std::ops::Range;
use std::sync::Arc;

/// What it is made of, if it is there and reads windows of `length` tokens; its weights are not looked at.
pub(super) fn read(
    name: &str,
    length: usize,
    registry: &Registry,
) -> Result<(Architecture, Arc<dyn AnyScheme>)> {
    let dir = origin::folder(name)?;
    let architecture = config::read(&dir, &Reading::default())?.architecture;
    let scheme = resolve(registry, &architecture, None)?;
    let apart = apart(registry, &architecture)?;
    match layer_plans(scheme.as_ref(), &apart, &architecture.geometry, Len(length)) {
        Err(e @ PlanError::NotServed { .. }) => Err(Error::Config(format!(
            "evaluate.long_ppl.evaluator: {name} cannot be read at {length} tokens (long_context): {e}"
        ))),
        plans => {
            plans?;
            Ok((architecture, scheme))
        }
    }
}

/// Hashes of its config with its weights, and of its tokenizer.
pub(super) fn hashes(name: &str) -> Result<Vec<String>> {
    let dir = origin::folder(name)?;
    let path = dir.join("tokenizer.json");
    let reading = |e| Error::io(format!("reading {}", path.display()), e);
    let tokenizer = blake3::hash(&std::fs::read(&path).map_err(reading)?);
    Ok(vec![
        Files::open(&dir)?.hash()?,
        tokenizer.to_hex().to_string(),
    ])
}

/// An evaluator, ready to read.
pub(super) struct Evaluator {
    name: String,
    hash: String,
    model: Decoder,
    recipe: Recipe,
    tokenizer: Tokenizer,
}

impl Evaluator {
    pub(super) fn open(name: &str, registry: &Registry, device: &Device) -> Result<Evaluator> {
        let dir = origin::folder(name)?;
        let files = Files::open(&dir)?;
        let model = with_texts(of_files(&files, registry, None, device)?, &dir)?;
        let recipe = model.scheme.recipe(&model.architecture.geometry)?;
        Ok(Evaluator {
            name: name.into(),
            hash: files.hash()?,
            model,
            recipe,
            tokenizer: Tokenizer::open(&dir)?,
        })
    }

    /// What it is called in records.
    pub(super) fn words(&self) -> String {
        format!("{} (blake3 {})", self.name, &self.hash[..16])
    }

    /// The key tokens of segments. It reads their tokens where its tokenizer is theirs, or else their text, with what its
    /// tokenizer puts before one.
    pub(super) fn keys(
        &self,
        asked: &LongPpl,
        text: &TextData,
        segments: &[Segment],
        tick: Tick<'_>,
    ) -> Result<Option<Keys>> {
        let subject = Subject {
            model: &self.model,
            recipe: &self.recipe,
            seed: 0,
        };
        let vocab = self.model.architecture.vocab;
        if self.tokenizer.is(&text.tokenizer_json()?)? {
            for segment in segments {
                self.tokenizer
                    .fits(&segment.tokens, vocab, "a test segment")?;
            }
            return asked.keys(&subject, segments, tick);
        }
        let mut own = Vec::with_capacity(segments.len());
        let mut skipped = Vec::with_capacity(segments.len());
        for segment in segments {
            let (skip, words) = text.text_of(segment);
            let tokens = self.tokenizer.beginning("a test segment", words)?;
            self.tokenizer.fits(&tokens.ids, vocab, "a test segment")?;
            if tokens.ids.len() < 2 {
                return Err(Error::Data(format!(
                    "evaluate.long_ppl.evaluator: a test segment of {} tokens is {} for the tokenizer of {}: expected 2 or \
                     more",
                    segment.tokens.len(),
                    tokens.ids.len(),
                    self.name
                )));
            }
            skipped.push(skip);
            own.push(Segment {
                tokens: tokens.ids,
                bytes: tokens.bytes,
                ..segment.clone()
            });
        }
        let found = asked.keys(&subject, &own, tick)?;
        let Some(Ok(found)) = found else {
            return Ok(found);
        };
        let carried = (0..segments.len()).map(|i| {
            let within = intervals(&found[i], &spans(&own[i], skipped[i]));
            inside(&spans(&segments[i], 0), &within)
        });
        Ok(Some(Ok(carried.collect())))
    }
}

/// Bytes that each target of a segment stands for, whose first token begins at byte `start`.
fn spans(segment: &Segment, start: usize) -> Vec<Range<usize>> {
    let mut end = start;
    let all = segment.bytes.iter().map(|&bytes| {
        let from = end;
        end += bytes as usize;
        from..end
    });
    // The first token is no target.
    all.skip(1).collect()
}
