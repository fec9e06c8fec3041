//! A teacher: a model whose next tokens another one is to tell as well as those of the text.

use crate::Result;
use crate::cell::CellTeacher;
use crate::model::{Aims, Decoder, Pass, PreparedPlans, Taught};
use farspan_datasets::{Batch, Documents};
use farspan_pe::Len;

/// A model that stays as it is, and what is asked of it.
#[derive(Debug)]
pub struct Teacher {
    model: Decoder,
    asked: CellTeacher,
    /// Its plans for each length that it was asked at.
    ready: Vec<PreparedPlans>,
}

impl Teacher {
    /// `model` as `asked` says.
    pub fn new(model: Decoder, asked: CellTeacher) -> Teacher {
        Teacher {
            model,
            asked,
            ready: Vec::new(),
        }
    }

    /// What the loss of `batch` goes by with this teacher. It reads the same inputs, at their places in the window.
    pub fn aims(&mut self, batch: &Batch) -> Result<Aims> {
        let tokens = self.asked.tokens.unwrap_or(batch.len).min(batch.len);
        let read = beginnings(batch, tokens);
        if !self.ready.iter().any(|ready| ready.len() == tokens) {
            let ready = self.model.prepare(Len(tokens), tokens)?;
            self.ready.push(ready);
        }
        let ready = self.ready.iter().find(|ready| ready.len() == tokens);
        let ready = ready.ok_or_else(|| crate::Error::Bug("a teacher without plans".into()))?;
        let hidden = self.model.hidden(&read, ready, Pass::Evaluate)?;
        Ok(Aims {
            text: self.asked.text,
            taught: Some(Taught {
                logits: self.model.logits(&hidden.rows)?,
                tokens,
                // Of a part of each window, all of it: what is scored may lie behind it.
                shares: match self.asked.tokens {
                    Some(_) => vec![1.0; read.tokens.len()],
                    None => read.weights,
                },
                weight: self.asked.weight,
                temperature: self.asked.temperature,
            }),
        })
    }
}

/// The first `tokens` tokens of each window.
fn beginnings(batch: &Batch, tokens: usize) -> Batch {
    fn cut<T: Copy>(all: &[T], len: usize, tokens: usize) -> Vec<T> {
        let windows = all.chunks(len);
        windows
            .flat_map(|window| window[..tokens].to_vec())
            .collect()
    }
    let documents = batch.documents.as_ref().map(|documents| {
        let begun = |starts: &Vec<usize>| starts.iter().copied().filter(|&s| s < tokens).collect();
        Documents {
            starts: documents.starts.iter().map(begun).collect(),
            restart: documents.restart,
        }
    });
    Batch {
        tokens: cut(&batch.tokens, batch.len, tokens),
        targets: cut(&batch.targets, batch.len, tokens),
        weights: cut(&batch.weights, batch.len, tokens),
        positions: None,
        documents,
        rows: batch.rows,
        len: tokens,
    }
}
