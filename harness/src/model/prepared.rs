//! Plans made ready for the windows of a batch, wherever their tokens stand.

use super::forward::At;
use super::{Decoder, sinks};
use crate::Result;
use farspan_attention::attend::{INPUT, Implementation, Params, Sublayer};
use farspan_attention::embed::embedding_at;
use farspan_attention::ops;
use farspan_attention::plan::{Geometry, Plan, PositionIds};
use farspan_attention::prepared::Prepared;
use farspan_attention::residual::Residual;
use farspan_attention::{Device, Tensor};
use farspan_datasets::Batch;
use std::ops::Range;

/// Plans made ready for windows of one length.
#[derive(Debug)]
pub struct PreparedPlans {
    /// Those that differ, for tokens at their indices.
    prepared: Vec<Prepared>,
    /// Which of them each layer follows.
    of_layer: Vec<usize>,
    len: usize,
}

impl PreparedPlans {
    /// `plans`, one per layer, for windows of `len` tokens starting at position 0.
    pub(super) fn new(
        geometry: &Geometry,
        plans: &[Plan],
        len: usize,
        device: &Device,
    ) -> Result<PreparedPlans> {
        if plans.len() != geometry.layers {
            let text = format!("{} plans for {} layers", plans.len(), geometry.layers);
            return Err(crate::Error::Bug(text));
        }
        let (prepared, of_layer) = distinct(plans, |plan| {
            sinks::prepared(plan, geometry, (0..len, 0..len), None, device)
        })?;
        Ok(PreparedPlans {
            prepared,
            of_layer,
            len,
        })
    }

    /// Tokens of a window.
    #[expect(
        clippy::len_without_is_empty,
        reason = "a window has at least one token"
    )]
    pub fn len(&self) -> usize {
        self.len
    }

    pub(super) fn plan(&self, layer: usize) -> &Plan {
        self.prepared[self.of_layer[layer]].plan()
    }

    /// Whether a layer behind `layer` reads what the feed-forward part of `layer` adds.
    pub(super) fn feeds(&self, layer: usize) -> bool {
        layer + 1 < self.of_layer.len() && self.plan(layer + 1).reads_feed_forward()
    }
}

/// The plans that differ, made ready, and which of them each layer follows.
pub(super) fn distinct(
    plans: &[Plan],
    ready: impl Fn(&Plan) -> Result<Prepared>,
) -> Result<(Vec<Prepared>, Vec<usize>)> {
    let mut prepared: Vec<Prepared> = Vec::new();
    let mut of_layer = Vec::new();
    for plan in plans {
        let known = prepared.iter().position(|known| known.plan() == plan);
        of_layer.push(known.unwrap_or(prepared.len()));
        if known.is_none() {
            prepared.push(ready(plan)?);
        }
    }
    Ok((prepared, of_layer))
}

/// Tokens of a window that see each other alone, and plans made ready for where they stand.
struct Piece {
    row: usize,
    tokens: Range<usize>,
    prepared: Vec<Prepared>,
}

impl Piece {
    /// Its part of `x` (windows, tokens, …).
    fn of(&self, x: &Tensor) -> Result<Tensor> {
        let row = x.narrow(0, self.row, 1)?;
        if self.tokens == (0..x.dim(1)?) {
            return Ok(row);
        }
        let part = row.narrow(1, self.tokens.start, self.tokens.len())?;
        Ok(part.contiguous()?)
    }

    /// What a layer's attention goes by inside it: `at` is of the whole window.
    fn at(&self, at: &At) -> At {
        let mut mask = at.mask.clone();
        let all = mask.documents.take();
        mask.documents = all.map(|all| all[self.tokens.clone()].to_vec());
        At {
            layer: at.layer,
            params: at.params.clone(),
            mask,
        }
    }
}

/// Where the tokens of a batch stand.
pub(super) struct WindowPlans<'a> {
    pub(super) ready: &'a PreparedPlans,
    /// Position inside of the embedding, one list for all windows or one each.
    embed: Vec<Vec<f64>>,
    /// The windows in order, in pieces where they hold documents that do not see each other; empty: all windows are whole
    /// and their tokens stand at their indices.
    own: Vec<Piece>,
}

impl<'a> WindowPlans<'a> {
    pub(super) fn new(
        decoder: &Decoder,
        batch: &Batch,
        ready: &'a PreparedPlans,
    ) -> Result<WindowPlans<'a>> {
        let geometry = &decoder.architecture.geometry;
        let (plan, device, len) = (ready.plan(0), &decoder.device, ready.len);
        let index = |tokens: Range<usize>| -> Vec<f64> { tokens.map(|t| t as f64).collect() };
        let plain = batch.positions.is_none() && batch.documents.is_none();
        if plain && plan.position_ids == PositionIds::Index {
            return Ok(WindowPlans {
                ready,
                embed: vec![index(0..len)],
                own: Vec::new(),
            });
        }
        let (given, scores) = match &plan.position_ids {
            PositionIds::Given { ids, scores } => (decoder.given_ids(ids, batch)?, *scores),
            PositionIds::Index | PositionIds::Segments { .. } => (Vec::new(), true),
        };
        // Positions in the score and in the embedding of some tokens that begin a text.
        let places = |row: usize, tokens: Range<usize>| -> Result<(Vec<f64>, Vec<f64>)> {
            let at = |t: usize| row * len + t;
            let range = at(tokens.start)..at(tokens.end);
            match (&plan.position_ids, &batch.positions) {
                (PositionIds::Index, Some(all)) => {
                    Ok((all[range.clone()].to_vec(), all[range].to_vec()))
                }
                (PositionIds::Index, None) => {
                    let indices = index(0..tokens.len());
                    Ok((indices.clone(), indices))
                }
                (PositionIds::Segments { separators, places }, None) => {
                    let closes = |id: &u32| decoder.closes(*id, separators);
                    let closed = batch.tokens[range].iter().map(closes);
                    Ok(PositionIds::segments(closed, *places))
                }
                (PositionIds::Segments { .. }, Some(_)) => {
                    let text = "places by segments and drawn positions exclude each other";
                    Err(crate::Error::Config(text.into()))
                }
                (PositionIds::Given { scores, .. }, _) => {
                    let ids = given[row][tokens.clone()].to_vec();
                    let score = if *scores {
                        ids.clone()
                    } else {
                        index(0..tokens.len())
                    };
                    Ok((score, ids))
                }
            }
        };
        let (mut embed, mut own) = (Vec::new(), Vec::new());
        for row in 0..batch.rows {
            let (whole, mut at_embedding) = places(row, 0..len)?;
            // Ids of the embedding alone leave scores those of all windows.
            let pieces = match scores || batch.documents.is_some() {
                true => pieces(batch, row),
                false => Vec::new(),
            };
            for tokens in pieces {
                let mut at = whole[tokens.clone()].to_vec();
                if batch.documents.as_ref().is_some_and(|d| d.restart) {
                    let (score, added) = places(row, tokens.clone())?;
                    at = score;
                    at_embedding[tokens.clone()].copy_from_slice(&added);
                }
                let at_these = |prepared: &Prepared| {
                    let all = 0..tokens.len();
                    let ranges = (all.clone(), all);
                    sinks::prepared(prepared.plan(), geometry, ranges, Some(&at), device)
                };
                let prepared = ready.prepared.iter().map(at_these).collect::<Result<_>>()?;
                own.push(Piece {
                    row,
                    tokens,
                    prepared,
                });
            }
            embed.push(at_embedding);
        }
        Ok(WindowPlans { ready, embed, own })
    }

    /// Pieces that have plans of their own; 1 where all windows share them.
    pub(super) fn pieces(&self) -> usize {
        self.own.len().max(1)
    }

    /// The part of `x` (windows, tokens, …) that is of piece `index`; all of it where all windows share their plans.
    pub(super) fn part(&self, x: &Tensor, index: usize) -> Result<Tensor> {
        match self.own.get(index).filter(|_| self.own.len() > 1) {
            Some(piece) => piece.of(x),
            None => Ok(x.clone()),
        }
    }

    /// Which plan piece `index` follows in layer `layer`; any piece where all share it.
    fn layer(&self, layer: usize, index: usize) -> &Prepared {
        let plan = self.ready.of_layer[layer];
        match self.own.get(index) {
            Some(own) => &own.prepared[plan],
            None => &self.ready.prepared[plan],
        }
    }

    /// What the plan adds to embeddings `dims` (windows, tokens, width).
    pub(super) fn added(
        &self,
        dims: &[usize],
        params: &Params,
        device: &Device,
    ) -> Result<Option<Tensor>> {
        let width = dims[dims.len() - 1];
        let embed =
            |at: &Vec<f64>| embedding_at(&self.ready.plan(0).embed, width, at, params, device);
        let tables: Vec<Tensor> = self
            .embed
            .iter()
            .filter_map(|at| embed(at).transpose())
            .collect::<farspan_attention::Result<_>>()?;
        Ok(match tables.as_slice() {
            [] => None,
            [one] => Some(one.broadcast_as(dims)?),
            many => Some(Tensor::cat(&many.iter().collect::<Vec<_>>(), 0)?.reshape(dims)?),
        })
    }

    /// The attention sublayer of one layer; returns the implementation that ran.
    pub(super) fn attend_sublayer(
        &self,
        at: &At,
        sublayer: &Sublayer<'_>,
        stream: &mut Residual,
        carried: &mut [Params],
    ) -> Result<&'static str> {
        if self.own.len() > 1 {
            let x = stream.rows()?;
            let qkv = ops::norm_linear(&x, sublayer.norm, sublayer.qkv, sublayer.eps)?;
            let (output, ran) = self.attend(at, (&qkv, None), carried)?;
            *stream = Residual::new(ops::linear_add(&x, &output, sublayer.out)?);
            return Ok(ran);
        }
        let mut params = at.params.clone();
        params.append(&mut carried[0]);
        let prepared = self.layer(at.layer, 0);
        let which = Implementation::Auto;
        let done = stream.attend(sublayer, prepared, &params, &at.mask, which)?;
        carried[0] = done.carried;
        Ok(done.implementation)
    }

    /// Attention of one layer over all windows at once, or piece by piece where each has its own positions. `qkv` is
    /// packed; `input` is the layer's, for plans that read it; `carried` has one entry for each of
    /// [`pieces`](WindowPlans::pieces).
    pub(super) fn attend(
        &self,
        at: &At,
        (qkv, input): (&Tensor, Option<&Tensor>),
        carried: &mut [Params],
    ) -> Result<(Tensor, &'static str)> {
        let mut attend = |index: usize, at: &At, qkv: &Tensor, input: Option<&Tensor>| {
            let prepared = self.layer(at.layer, index);
            let mut params = at.params.clone();
            params.append(&mut carried[index]);
            if let Some(input) = input {
                params.insert(INPUT.into(), input.clone());
            }
            let out = sinks::attended_packed(qkv, prepared, &params, at)?;
            carried[index] = out.carried;
            Ok::<_, crate::Error>((out.output, out.implementation))
        };
        if self.own.len() <= 1 {
            return attend(0, at, qkv, input);
        }
        let mut ran = "none";
        let mut rows: Vec<Vec<Tensor>> = Vec::new();
        for (index, piece) in self.own.iter().enumerate() {
            let input = input.map(|input| piece.of(input)).transpose()?;
            let (output, here) = attend(index, &piece.at(at), &piece.of(qkv)?, input.as_ref())?;
            // Of several the slowest.
            if ran != "composed" {
                ran = here;
            }
            if piece.tokens.start == 0 {
                rows.push(Vec::new());
            }
            rows.last_mut()
                .into_iter()
                .for_each(|row| row.push(output.clone()));
        }
        let whole = |row: &Vec<Tensor>| match row.as_slice() {
            [whole] => Ok(whole.clone()),
            parts => Tensor::cat(&parts.iter().collect::<Vec<_>>(), 1),
        };
        let rows: Vec<Tensor> = rows
            .iter()
            .map(whole)
            .collect::<farspan_attention::Result<_>>()?;
        Ok((Tensor::cat(&rows.iter().collect::<Vec<_>>(), 0)?, ran))
    }
}

/// The documents of window `row`, or all of it.
fn pieces(batch: &Batch, row: usize) -> Vec<Range<usize>> {
    let whole = vec![0];
    let documents = batch.documents.as_ref();
    let starts = documents.map_or(&whole, |documents| &documents.starts[row]);
    let ends = starts.iter().skip(1).copied().chain([batch.len]);
    let pairs = starts.iter().copied().zip(ends);
    pairs.map(|(start, end)| start..end).collect()
}
