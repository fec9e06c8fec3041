//! Ids that a plan reads beside the order of tokens: a task gives them with its windows, and a text has those of its digits.

use super::{Decoder, PreparedPlans};
use crate::source::is_digit;
use crate::{Error, Result};
use farspan_attention::plan::{Embed, PositionIds};
use farspan_datasets::Batch;

impl Decoder {
    /// Which ids the scheme reads, if it reads given ones.
    pub(crate) fn reads_ids(&self) -> Result<Option<String>> {
        let geometry = &self.architecture.geometry;
        let length = farspan_pe::Len(geometry.trained_length);
        Ok(match self.scheme.plan(geometry, length)?.position_ids {
            PositionIds::Given { ids, .. } => Some(ids),
            _ => None,
        })
    }

    /// Ids of this kind by window: those that came with the batch, or those of a text.
    pub(super) fn given_ids(&self, kind: &str, batch: &Batch) -> Result<Vec<Vec<f64>>> {
        match &batch.positions {
            Some(ids) => Ok(ids.chunks(batch.len).map(<[f64]>::to_vec).collect()),
            None => {
                let windows = batch.tokens.chunks(batch.len);
                windows
                    .map(|window| self.ids_of_text(kind, window))
                    .collect()
            }
        }
    }

    /// Ids of the tokens of a text: places of single digits in their numbers. Other kinds are a task's alone.
    pub(super) fn ids_of_text(&self, kind: &str, tokens: &[u32]) -> Result<Vec<f64>> {
        if kind != PositionIds::PLACES {
            let id = self.scheme.id();
            let text =
                format!("scheme {id} reads ids {kind:?}, which a task gives and a text does not");
            return Err(Error::Config(text));
        }
        let digit = |id: &u32| {
            let text = self.texts.get(*id as usize);
            text.is_some_and(|text| is_digit(text))
        };
        Ok(PositionIds::places(tokens.iter().map(digit)))
    }
}

impl PreparedPlans {
    /// Rows of the learned table that the embedding is read from.
    pub(crate) fn rows(&self) -> Option<usize> {
        match &self.plan(0).embed {
            Embed::Table { rows, resize, .. } => Some(resize.map_or(*rows, |to| to.rows)),
            _ => None,
        }
    }
}
