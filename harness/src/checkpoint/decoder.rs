//! The decoder of all families under a scheme: weights that stay as they are, and weights that learn.
//!
//! Texts are read in two ways. One text at a time, in pieces: keys and values of earlier pieces are cached unrotated, so
//! that schemes whose rotations follow the length stay exact while the text grows. And windows of one length at once,
//! which is how models are trained and measured in a grid.

use super::config::{Architecture, Positional, Reading};
use super::files::Files;
use super::forward::Forward;
use super::recompute::Windows;
use super::weights::{Weights, load};
use super::{config, scheme};
use crate::model::{Hidden, Model, Pass, Ready, Slopes, Weight};
use crate::{Error, Result};
use farspan_attention::attend::{FEED_FORWARD, INPUT, Implementation, Mask, Params, attend};
use farspan_attention::embed::embedding_at;
use farspan_attention::ops::{self, TokenScore};
use farspan_attention::plan::{Geometry, Plan};
use farspan_attention::prepared::Prepared;
use farspan_attention::{Device, Tensor};
use farspan_datasets::Batch;
use farspan_pe::{AnyScheme, Len, Registry};
use std::collections::BTreeMap;
use std::path::Path;

/// A pretrained decoder under a scheme.
#[derive(Debug)]
pub struct Pretrained {
    /// What it is.
    pub architecture: Architecture,
    /// The scheme that places its tokens.
    pub scheme: Box<dyn AnyScheme>,
    /// How its config was read.
    pub(super) reading: Reading,
    /// Those that stay as they are.
    pub(super) weights: Weights,
    /// Those that learn.
    pub(super) learned: BTreeMap<String, Weight>,
    /// What adapters multiply their product by: alpha / rank.
    pub(super) adapter_scale: f64,
    /// Whether activations are computed again on the way back, layer by layer, in place of being held.
    pub(super) recompute: bool,
    pub(super) device: Device,
}

/// Unrotated keys, and values, of the tokens so far; one pair per layer, each (1, kv_heads, tokens, head_dim).
///
/// Those of all layers but the first are made of attention under the plans of the length that was in use then. When the
/// plans of a longer text are others, no turning of keys mends that: the tokens are read again.
#[derive(Clone, Debug, Default)]
pub struct Cache {
    layers: Vec<(Tensor, Tensor)>,
    ids: Vec<u32>,
    /// What the scheme planned when they were read.
    plans: Vec<Plan>,
    /// Most tokens that were read at once.
    piece: usize,
}

impl Cache {
    /// Tokens so far.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }
}

impl Pretrained {
    /// Loads the checkpoint folder `dir` under `asked`, or under the scheme of its config. What `asked` leaves open is
    /// taken over from the config where the scheme has the setting too.
    pub fn open(
        dir: &Path,
        registry: &Registry,
        asked: Option<&Positional>,
        device: &Device,
    ) -> Result<Pretrained> {
        Pretrained::from_files(&Files::open(dir)?, registry, asked, device)
    }

    /// As [`open`](Pretrained::open), with the weights of `files`.
    pub fn from_files(
        files: &Files,
        registry: &Registry,
        asked: Option<&Positional>,
        device: &Device,
    ) -> Result<Pretrained> {
        let architecture = config::read(files.dir(), files.reading())?.architecture;
        let scheme = scheme::resolve(registry, &architecture, asked)?;
        let weights = load(files, &architecture, device)?;
        Ok(Pretrained {
            architecture,
            scheme,
            reading: files.reading().clone(),
            weights,
            learned: BTreeMap::new(),
            adapter_scale: 0.0,
            recompute: false,
            device: device.clone(),
        })
    }

    /// The same weights under another scheme; what has learned is left behind.
    pub fn with_scheme(
        &self,
        registry: &Registry,
        asked: Option<&Positional>,
    ) -> Result<Pretrained> {
        Ok(Pretrained {
            architecture: self.architecture.clone(),
            scheme: scheme::resolve(registry, &self.architecture, asked)?,
            reading: self.reading.clone(),
            weights: self.weights.clone(),
            learned: BTreeMap::new(),
            adapter_scale: 0.0,
            recompute: false,
            device: self.device.clone(),
        })
    }

    pub(super) fn forward(&self, pass: Pass) -> Forward<'_> {
        Forward { model: self, pass }
    }

    /// Which keys a query of `layer` sees.
    pub(super) fn mask(&self, layer: usize) -> Mask {
        Mask {
            causal: true,
            window: self.architecture.windows[layer],
            ..Mask::default()
        }
    }

    /// Tokens of a text of `reach` that may run at once: `chunk`, or all where a text must be read at once.
    pub fn chunk(&self, chunk: usize, reach: usize) -> Result<usize> {
        let whole = self.plans(reach)?.iter().any(scheme::reads_whole);
        Ok(if whole { reach } else { chunk.max(1) })
    }

    /// Runs a whole text in pieces of `chunk` tokens and hands each piece's part of the residual stream, with the
    /// number of its first token, to `each`. Memory is linear in the length.
    pub fn run(
        &self,
        ids: &[u32],
        chunk: usize,
        mut each: impl FnMut(usize, &Tensor) -> Result<()>,
    ) -> Result<()> {
        let chunk = self.chunk(chunk, ids.len())?;
        let mut cache = Cache::default();
        for piece in ids.chunks(chunk) {
            let start = cache.len();
            each(start, &self.read(piece, &mut cache, ids.len())?)?;
        }
        Ok(())
    }

    /// Runs `ids`, which follow the tokens of `cache`, as part of a text of `reach` tokens, and returns the residual
    /// stream after the last norm, (ids, width). The cache grows by `ids`. Where the scheme plans otherwise for `reach`
    /// than for the length that the cache was made at, or needs the whole text, all tokens are read again.
    pub fn read(&self, ids: &[u32], cache: &mut Cache, reach: usize) -> Result<Tensor> {
        let geometry = &self.architecture.geometry;
        let plans = self.scheme.layer_plans(geometry, Len(reach))?;
        let whole = plans.iter().any(scheme::reads_whole);
        if cache.is_empty() || (cache.plans == plans && !whole) {
            return self.append(ids, cache, plans, reach);
        }
        let past = std::mem::take(cache);
        let new = ids.len();
        let ids = [past.ids.as_slice(), ids].concat();
        let piece = if whole {
            ids.len()
        } else {
            past.piece.max(new)
        };
        let mut rows = Vec::new();
        for piece in ids.chunks(piece) {
            let read = self.append(piece, cache, plans.clone(), reach)?;
            if cache.len() > past.ids.len() {
                rows.push(read);
            }
        }
        let rows = Tensor::cat(&rows.iter().collect::<Vec<_>>(), 0)?;
        Ok(rows.narrow(0, rows.dim(0)? - new, new)?.contiguous()?)
    }

    /// As [`read`](Pretrained::read), under `plans`, which are those of the cache.
    fn append(
        &self,
        ids: &[u32],
        cache: &mut Cache,
        planned: Vec<Plan>,
        reach: usize,
    ) -> Result<Tensor> {
        let (past, new) = (cache.len(), ids.len());
        let now = past + new;
        if new == 0 || reach < now {
            let text = format!("{new} tokens behind {past} in a text of {reach}");
            return Err(Error::Bug(text));
        }
        let plans = self.adapted(planned.clone(), reach)?;
        if reach > now && plans.iter().any(scheme::reads_whole) {
            let text = format!("a text that must be read at once: {now} of {reach} tokens");
            return Err(Error::Bug(text));
        }
        let (prepared, of_layer) = self.prepared(&plans, past, now)?;
        let forward = self.forward(Pass::Evaluate);
        let width = self.architecture.geometry.width;
        let at: Vec<f64> = (past..now).map(|t| t as f64).collect();
        let params = forward.scheme_params(&plans[0], 0)?;
        let mut x = forward.tokens(ids, &[1, new])?;
        if let Some(table) = embedding_at(&plans[0].embed, width, &at, &params, &self.device)? {
            x = x.broadcast_add(&table)?;
        }
        x = forward.embed_norm(x)?;
        let mut carried = Params::new();
        for (layer, plan) in plans.iter().enumerate() {
            let mut attend = |qkv: &Tensor, h: &Tensor| {
                let mut params = forward.scheme_params(plan, layer)?;
                params.append(&mut carried);
                if plan.reads_input() {
                    params.insert(INPUT.into(), h.clone());
                }
                let prepared = &prepared[of_layer[layer]];
                let out;
                (out, carried) = self.attend_cached(qkv, layer, prepared, &params, cache)?;
                Ok(out)
            };
            let added;
            (x, added) = forward.layer(&x, layer, &mut attend)?;
            let reads = |next: &Plan| next.reads_feed_forward();
            if plans.get(layer + 1).is_some_and(reads) {
                carried.insert(FEED_FORWARD.into(), added);
            }
        }
        cache.ids.extend_from_slice(ids);
        cache.piece = cache.piece.max(new);
        cache.plans = planned;
        Ok(forward.norm(&x, "norm")?.reshape((new, width))?)
    }

    /// The plans that differ, made ready, and which of them each layer follows.
    fn prepared(
        &self,
        plans: &[Plan],
        past: usize,
        now: usize,
    ) -> Result<(Vec<Prepared>, Vec<usize>)> {
        let geometry = &self.architecture.geometry;
        let mut prepared: Vec<Prepared> = Vec::new();
        let mut of_layer = Vec::new();
        for plan in plans {
            let known = prepared.iter().position(|known| known.plan() == plan);
            of_layer.push(known.unwrap_or(prepared.len()));
            if known.is_none() {
                prepared.push(Prepared::new(
                    plan,
                    geometry,
                    past..now,
                    0..now,
                    &self.device,
                )?);
            }
        }
        Ok((prepared, of_layer))
    }

    /// Attention over what is cached and the new tokens, whose keys and values go into the cache. `qkv` is packed.
    fn attend_cached(
        &self,
        qkv: &Tensor,
        layer: usize,
        prepared: &Prepared,
        params: &Params,
        cache: &mut Cache,
    ) -> Result<(Tensor, Params)> {
        let g = &self.architecture.geometry;
        let new = qkv.dim(1)?;
        let part = |first: usize, heads: usize| {
            let part = qkv.narrow(2, first * g.head_dim, heads * g.head_dim)?;
            let part = part.contiguous()?.reshape((1, new, heads, g.head_dim))?;
            part.transpose(1, 2)?.contiguous()
        };
        let q = part(0, g.heads)?;
        let (k, v) = (
            part(g.heads, g.kv_heads)?,
            part(g.heads + g.kv_heads, g.kv_heads)?,
        );
        let (k, v) = match cache.layers.get(layer) {
            Some((keys, values)) => (Tensor::cat(&[keys, &k], 2)?, Tensor::cat(&[values, &v], 2)?),
            None => (k, v),
        };
        let kept = (k.clone(), v.clone());
        match cache.layers.get_mut(layer) {
            Some(slot) => *slot = kept,
            None => cache.layers.push(kept),
        }
        let (mask, auto) = (self.mask(layer), Implementation::Auto);
        let out = attend(&q, &k, &v, prepared, params, &mask, auto)?;
        let rows = out.output.transpose(1, 2)?.contiguous()?;
        Ok((rows.reshape((1, new, g.heads * g.head_dim))?, out.carried))
    }

    /// Logits of rows of the residual stream: (tokens, width) -> (tokens, vocab).
    pub fn logits(&self, hidden: &Tensor) -> Result<Tensor> {
        self.forward(Pass::Evaluate).logits(hidden)
    }

    /// Negative log-likelihood of `targets` and the most likely token, row by row of `hidden` (tokens, width).
    pub fn row_scores(&self, hidden: &Tensor, targets: &[u32]) -> Result<Vec<TokenScore>> {
        let architecture = &self.architecture;
        let forward = self.forward(Pass::Evaluate);
        if architecture.logit_cap.is_none() && architecture.logit_scale == 1.0 {
            return Ok(ops::token_scores(hidden, &forward.head()?, targets)?);
        }
        let mut scores = Vec::with_capacity(targets.len());
        for (start, targets) in (0..).step_by(ROWS).zip(targets.chunks(ROWS)) {
            let rows = forward
                .logits(&hidden.narrow(0, start, targets.len())?)?
                .to_vec2::<f32>()?;
            scores.extend(
                rows.iter()
                    .zip(targets)
                    .map(|(row, &target)| score(row, target)),
            );
        }
        Ok(scores)
    }
}

impl Model for Pretrained {
    fn geometry(&self) -> &Geometry {
        &self.architecture.geometry
    }

    fn device(&self) -> &Device {
        &self.device
    }

    fn weights(&self) -> &BTreeMap<String, Weight> {
        &self.learned
    }

    fn frozen(&self) -> u64 {
        self.weights.values().map(|t| t.elem_count() as u64).sum()
    }

    fn ready(&self, plans: &[Plan], len: usize) -> Result<Ready> {
        let plans = self.adapted(plans.to_vec(), len)?;
        Ready::new(&self.architecture.geometry, &plans, len, &self.device)
    }

    fn hidden(&self, batch: &Batch, ready: &Ready, pass: Pass) -> Result<Hidden> {
        let Geometry { layers, width, .. } = self.architecture.geometry;
        let windows = Windows::new(self, batch, ready)?;
        let mut state = windows.start(pass)?;
        let mut implementation = "none";
        for layer in 0..layers {
            let ran = windows.step(&mut state, layer, pass)?;
            // The slowest is what a reader of the record wants to know of.
            if implementation != "composed" {
                implementation = ran;
            }
        }
        let x = self.forward(pass).norm(&state.x, "norm")?;
        Ok(Hidden {
            rows: x.reshape((batch.rows * ready.len(), width))?,
            implementation,
        })
    }

    fn loss(&self, batch: &Batch, ready: &Ready) -> Result<(Tensor, &'static str)> {
        let hidden = self.hidden(batch, ready, Pass::Train)?;
        let loss = self.forward(Pass::Train).loss(&hidden.rows, batch)?;
        Ok((loss, hidden.implementation))
    }

    fn slopes(&self, batch: &Batch, ready: &Ready) -> Result<Slopes> {
        match self.recompute {
            true => self.recomputed(batch, ready),
            false => Slopes::of(self.loss(batch, ready)?),
        }
    }

    fn scores_of(&self, hidden: &Hidden, batch: &Batch) -> Result<Vec<TokenScore>> {
        self.row_scores(&hidden.rows, &batch.targets)
    }
}

/// Rows of logits that are held at once.
const ROWS: usize = 64;

fn score(row: &[f32], target: u32) -> TokenScore {
    let best = row
        .iter()
        .enumerate()
        .fold(0, |best, (i, x)| if *x > row[best] { i } else { best });
    let top = f64::from(row[best]);
    let sum: f64 = row.iter().map(|&x| (f64::from(x) - top).exp()).sum();
    TokenScore {
        nll: (top + sum.ln() - f64::from(row[target as usize])) as f32,
        argmax: best as u32,
    }
}
