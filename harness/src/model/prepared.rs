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

/// Where the tokens of a batch stand.
pub(super) struct WindowPlans<'a> {
    pub(super) ready: &'a PreparedPlans,
    /// Position inside of the embedding, one list for all windows or one each.
    embed: Vec<Vec<f64>>,
    /// Plans at other positions than the tokens' indices, by window; empty: all stand at their indices.
    own: Vec<Vec<Prepared>>,
}

impl<'a> WindowPlans<'a> {
    pub(super) fn new(
        decoder: &Decoder,
        batch: &Batch,
        ready: &'a PreparedPlans,
    ) -> Result<WindowPlans<'a>> {
        let geometry = &decoder.architecture.geometry;
        let (plan, device) = (ready.plan(0), &decoder.device);
        let indices: Vec<f64> = (0..ready.len).map(|t| t as f64).collect();
        let (scores, embed): (Vec<Vec<f64>>, Vec<Vec<f64>>) =
            match (&plan.position_ids, &batch.positions) {
                (PositionIds::Index, None) => (Vec::new(), vec![indices]),
                (PositionIds::Index, Some(positions)) => {
                    let rows: Vec<_> = positions.chunks(ready.len).map(<[f64]>::to_vec).collect();
                    (rows.clone(), rows)
                }
                (PositionIds::Segments { separators, places }, None) => {
                    let closes = |id: &u32| decoder.closes(*id, separators);
                    let windows = batch.tokens.chunks(ready.len);
                    windows
                        .map(|window| PositionIds::segments(window.iter().map(closes), *places))
                        .unzip()
                }
                (PositionIds::Segments { .. }, Some(_)) => {
                    let text = "places by segments and drawn positions exclude each other";
                    return Err(crate::Error::Config(text.into()));
                }
                (PositionIds::Given { ids, scores }, _) => {
                    let rows = decoder.given_ids(ids, batch)?;
                    (if *scores { rows.clone() } else { Vec::new() }, rows)
                }
            };
        let own = |positions: &Vec<f64>| {
            let at = |prepared: &Prepared| {
                let all = 0..ready.len;
                let plan = prepared.plan();
                sinks::prepared(plan, geometry, (all.clone(), all), Some(positions), device)
            };
            ready.prepared.iter().map(at).collect::<Result<_>>()
        };
        let own = scores.iter().map(own).collect::<Result<_>>()?;
        Ok(WindowPlans { ready, embed, own })
    }

    /// Windows that have plans of their own; 1 where all share them.
    pub(super) fn rows(&self) -> usize {
        self.own.len().max(1)
    }

    /// Which plan window `row` follows in layer `layer`; any window where all share it.
    fn layer(&self, layer: usize, row: usize) -> &Prepared {
        let plan = self.ready.of_layer[layer];
        match self.own.get(row) {
            Some(own) => &own[plan],
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

    /// Attention of one layer over all windows at once, or window by window where each has its own positions. `qkv` is
    /// packed; `input` is the layer's, for plans that read it; `carried` has one entry for each of
    /// [`rows`](WindowPlans::rows).
    pub(super) fn attend(
        &self,
        at: &At,
        (qkv, input): (&Tensor, Option<&Tensor>),
        carried: &mut [Params],
    ) -> Result<(Tensor, &'static str)> {
        let mut attend = |row: usize, qkv: &Tensor, input: Option<&Tensor>| {
            let prepared = self.layer(at.layer, row);
            let mut params = at.params.clone();
            params.append(&mut carried[row]);
            if let Some(input) = input {
                params.insert(INPUT.into(), input.clone());
            }
            let out = sinks::attended_packed(qkv, prepared, &params, at)?;
            carried[row] = out.carried;
            Ok::<_, crate::Error>((out.output, out.implementation))
        };
        if self.own.len() <= 1 {
            return attend(0, qkv, input);
        }
        let rows: Vec<_> = (0..self.own.len())
            .map(|row| {
                let input = input.map(|input| input.narrow(0, row, 1)).transpose()?;
                attend(row, &qkv.narrow(0, row, 1)?, input.as_ref())
            })
            .collect::<Result<_>>()?;
        let outputs: Vec<&Tensor> = rows.iter().map(|(output, _)| output).collect();
        Ok((Tensor::cat(&outputs, 0)?, rows[0].1))
    }
}
