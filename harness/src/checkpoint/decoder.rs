//! The decoder of all families: the same layers with other norms, activations and orders, and a plan for positions.
//!
//! One text at a time, in pieces: keys and values of earlier pieces are cached unrotated, so that schemes whose
//! rotations follow the length stay exact while the text grows.

use super::config::{Activation, Architecture, Norm, Positional, Residual};
use super::weights::{Files, Weights, load};
use super::{config, scheme};
use crate::{Error, Result};
use farspan_attention::attend::{INPUT, Implementation, Mask, Params, attend};
use farspan_attention::embed::embedding_at;
use farspan_attention::expr::{Unary, number};
use farspan_attention::ops::{self, TokenScore};
use farspan_attention::plan::{Place, Plan};
use farspan_attention::prepared::Prepared;
use farspan_attention::{Device, Tensor};
use farspan_pe::{AnyScheme, Len, Registry};
use std::path::Path;

/// A pretrained decoder under a scheme.
#[derive(Debug)]
pub struct Pretrained {
    /// What it is.
    pub architecture: Architecture,
    /// The scheme that places its tokens.
    pub scheme: Box<dyn AnyScheme>,
    weights: Weights,
    device: Device,
}

/// Unrotated keys, and values, of the tokens so far; one pair per layer, each (1, kv_heads, tokens, head_dim).
#[derive(Clone, Debug, Default)]
pub struct Cache {
    layers: Vec<(Tensor, Tensor)>,
    len: usize,
}

impl Cache {
    /// Tokens so far.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
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
        let architecture = config::read(dir)?.architecture;
        let scheme = scheme::resolve(registry, &architecture, asked)?;
        let files = Files::open(dir)?;
        let weights = load(&files, &architecture, device)?;
        Ok(Pretrained {
            architecture,
            scheme,
            weights,
            device: device.clone(),
        })
    }

    /// The same weights under another scheme.
    pub fn with_scheme(
        &self,
        registry: &Registry,
        asked: Option<&Positional>,
    ) -> Result<Pretrained> {
        Ok(Pretrained {
            architecture: self.architecture.clone(),
            scheme: scheme::resolve(registry, &self.architecture, asked)?,
            weights: self.weights.clone(),
            device: self.device.clone(),
        })
    }

    /// The plans of all layers when `reach` positions are in use, with the scale and the cap of this family's scores.
    fn plans(&self, reach: usize) -> Result<Vec<Plan>> {
        let mut plans = self
            .scheme
            .layer_plans(&self.architecture.geometry, Len(reach))?;
        for plan in &mut plans {
            plan.softmax_scale *= self.architecture.score_scale;
            if let Some(cap) = self.architecture.score_cap {
                let score = plan.score.clone() * number(1.0 / cap);
                plan.score = score.unary(Unary::Tanh) * number(cap);
            }
        }
        let id = self.scheme.id();
        let lacks = |why: &str| {
            Err(Error::Data(format!(
                "scheme {id} cannot read this checkpoint: {why}"
            )))
        };
        if plans.iter().any(|plan| plan.place != Place::Index) {
            return lacks("its places follow the text, which is not built for checkpoints");
        }
        let learned = plans
            .iter()
            .flat_map(|plan| &plan.params)
            .filter(|spec| spec.learned);
        for spec in learned {
            if spec.per_layer || !self.weights.contains_key(&format!("scheme.{}", spec.name)) {
                return lacks(&format!(
                    "its learned parameter {} is not among the weights",
                    spec.name
                ));
            }
        }
        Ok(plans)
    }

    /// Tokens of a text of `reach` that may run at once: `chunk`, or all where scores read the length of the text.
    pub fn chunk(&self, chunk: usize, reach: usize) -> Result<usize> {
        let whole = self.plans(reach)?.iter().any(scheme::reads_length);
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
            each(start, &self.hidden(piece, &mut cache, ids.len())?)?;
        }
        Ok(())
    }

    fn weight(&self, name: &str) -> Result<&Tensor> {
        self.weights
            .get(name)
            .ok_or_else(|| Error::Bug(format!("the decoder has no weight {name}")))
    }

    /// Runs `ids`, which follow the tokens of `cache`, as part of a text of `reach` tokens, and returns the residual
    /// stream after the last norm, (ids, width). The cache grows by `ids`.
    pub fn hidden(&self, ids: &[u32], cache: &mut Cache, reach: usize) -> Result<Tensor> {
        let (past, new) = (cache.len, ids.len());
        let now = past + new;
        if new == 0 || reach < now {
            let text = format!("{new} tokens behind {past} in a text of {reach}");
            return Err(Error::Bug(text));
        }
        let vocab = self.architecture.vocab;
        if let Some(id) = ids.iter().find(|&&id| id as usize >= vocab) {
            return Err(Error::Data(format!(
                "expected token ids below {vocab}, found {id}"
            )));
        }
        let plans = self.plans(reach)?;
        if reach > now && plans.iter().any(scheme::reads_length) {
            let text = format!("scores that read the length of the text: {now} of {reach} tokens");
            return Err(Error::Bug(text));
        }
        let prepared = self.prepared(&plans, past, now)?;
        let params = self.scheme_params();
        let mut x = self.embedded(ids, past, &plans[0], &params)?;
        let mut carried = Params::new();
        for layer in 0..self.architecture.geometry.layers {
            let mut read = params.clone();
            read.append(&mut carried);
            let step = Step {
                layer,
                prepared: &prepared.0[prepared.1[layer]],
                params: read,
            };
            (x, carried) = self.layer(&x, step, cache)?;
        }
        cache.len = now;
        let x = self.norm(&x, "norm")?;
        Ok(x.reshape((new, self.architecture.geometry.width))?)
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

    /// The scheme's parameters among the weights.
    fn scheme_params(&self) -> Params {
        let named = self.weights.iter().filter_map(|(name, tensor)| {
            let name = name.strip_prefix("scheme.")?;
            Some((name.to_string(), tensor.clone()))
        });
        named.collect()
    }

    /// Token embeddings with what the family and the plan add, (1, ids, width).
    fn embedded(&self, ids: &[u32], past: usize, plan: &Plan, params: &Params) -> Result<Tensor> {
        let architecture = &self.architecture;
        let mut x = ops::embed(self.weight("embed.weight")?, ids, &[1, ids.len()])?;
        if architecture.embed_scale != 1.0 {
            x = x.affine(architecture.embed_scale, 0.0)?;
        }
        let at: Vec<f64> = (past..past + ids.len()).map(|t| t as f64).collect();
        let width = architecture.geometry.width;
        if let Some(table) = embedding_at(&plan.embed, width, &at, params, &self.device)? {
            x = x.broadcast_add(&table)?;
        }
        match architecture.embed_norm {
            true => self.norm(&x, "embed_norm"),
            false => Ok(x),
        }
    }

    fn layer(&self, x: &Tensor, step: Step<'_>, cache: &mut Cache) -> Result<(Tensor, Params)> {
        let at = |part: &str| format!("layers.{}.{part}", step.layer);
        let (attention_norm, mlp_norm) = (at("attention_norm"), at("mlp_norm"));
        let h = self.norm(x, &attention_norm)?;
        let (attention, carried) = self.attention(&h, &step, cache)?;
        let mlp = |h: &Tensor| self.mlp(h, step.layer);
        let x = match self.architecture.residual {
            Residual::Sequential => {
                let x = x.add(&attention)?;
                x.add(&mlp(&self.norm(&x, &mlp_norm)?)?)?
            }
            Residual::Parallel => x.add(&attention)?.add(&mlp(&self.norm(x, &mlp_norm)?)?)?,
            Residual::ParallelShared => x.add(&attention)?.add(&mlp(&h)?)?,
            Residual::Sandwich => {
                let x = x.add(&self.norm(&attention, &at("attention_post_norm"))?)?;
                let h = mlp(&self.norm(&x, &mlp_norm)?)?;
                x.add(&self.norm(&h, &at("mlp_post_norm"))?)?
            }
            Residual::FromNorm => {
                let h = self.norm(&h.add(&attention)?, &mlp_norm)?;
                h.add(&mlp(&h)?)?
            }
        };
        Ok((x, carried))
    }

    /// Attention of one layer; puts the new keys and values into the cache.
    fn attention(
        &self,
        h: &Tensor,
        step: &Step<'_>,
        cache: &mut Cache,
    ) -> Result<(Tensor, Params)> {
        let at = |part: &str| format!("layers.{}.{part}", step.layer);
        let g = &self.architecture.geometry;
        let mut qkv = self.linear(h, &at("qkv"))?;
        if let Some(clip) = self.architecture.clip {
            qkv = qkv.maximum(-clip)?.minimum(clip)?;
        }
        let new = h.dim(1)?;
        let part = |first: usize, heads: usize| {
            let part = qkv
                .narrow(2, first * g.head_dim, heads * g.head_dim)?
                .contiguous()?;
            part.reshape((1, new, heads, g.head_dim))
        };
        let mut q = part(0, g.heads)?;
        let mut k = part(g.heads, g.kv_heads)?;
        let v = part(g.heads + g.kv_heads, g.kv_heads)?;
        if self.architecture.query_key_norm {
            let eps = self.architecture.norm_eps;
            q = ops::rms_norm(&q, self.weight(&at("query_norm.weight"))?, eps)?;
            k = ops::rms_norm(&k, self.weight(&at("key_norm.weight"))?, eps)?;
        }
        let heads_first = |x: Tensor| x.transpose(1, 2)?.contiguous();
        let (q, k, v) = (heads_first(q)?, heads_first(k)?, heads_first(v)?);
        let (k, v) = match cache.layers.get(step.layer) {
            Some((keys, values)) => (Tensor::cat(&[keys, &k], 2)?, Tensor::cat(&[values, &v], 2)?),
            None => (k, v),
        };
        let kept = (k.clone(), v.clone());
        match cache.layers.get_mut(step.layer) {
            Some(slot) => *slot = kept,
            None => cache.layers.push(kept),
        }
        let mut params = step.params.clone();
        if step.prepared.plan().reads_input() {
            params.insert(INPUT.into(), h.clone());
        }
        let mask = Mask {
            causal: true,
            window: self.architecture.windows[step.layer],
            ..Mask::default()
        };
        let out = attend(
            &q,
            &k,
            &v,
            step.prepared,
            &params,
            &mask,
            Implementation::Auto,
        )?;
        let rows = out.output.transpose(1, 2)?.contiguous()?;
        let rows = rows.reshape((1, new, g.heads * g.head_dim))?;
        Ok((self.linear(&rows, &at("out"))?, out.carried))
    }

    fn mlp(&self, h: &Tensor, layer: usize) -> Result<Tensor> {
        let up = self.linear(h, &format!("layers.{layer}.up"))?;
        let hidden = self.architecture.hidden;
        let active = match (self.architecture.gated, self.architecture.activation) {
            (true, Activation::Silu) => ops::swiglu(&up)?,
            (true, activation) => {
                let gate = apply(activation, &up.narrow(2, 0, hidden)?.contiguous()?)?;
                gate.mul(&up.narrow(2, hidden, hidden)?.contiguous()?)?
            }
            (false, activation) => apply(activation, &up)?,
        };
        self.linear(&active, &format!("layers.{layer}.down"))
    }

    fn linear(&self, x: &Tensor, name: &str) -> Result<Tensor> {
        let y = ops::linear(x, self.weight(&format!("{name}.weight"))?)?;
        Ok(match self.weights.get(&format!("{name}.bias")) {
            Some(bias) => y.broadcast_add(bias)?,
            None => y,
        })
    }

    fn norm(&self, x: &Tensor, name: &str) -> Result<Tensor> {
        let weight = self.weight(&format!("{name}.weight"))?;
        let eps = self.architecture.norm_eps;
        match self.architecture.norm {
            Norm::Rms | Norm::RmsOffset => Ok(ops::rms_norm(x, weight, eps)?),
            Norm::Layer => {
                let last = x.rank() - 1;
                let centred = x.broadcast_sub(&x.mean_keepdim(last)?)?;
                let spread = centred
                    .sqr()?
                    .mean_keepdim(last)?
                    .affine(1.0, eps)?
                    .sqrt()?;
                let y = centred.broadcast_div(&spread)?.broadcast_mul(weight)?;
                Ok(match self.weights.get(&format!("{name}.bias")) {
                    Some(bias) => y.broadcast_add(bias)?,
                    None => y,
                })
            }
        }
    }

    fn head(&self) -> Result<&Tensor> {
        let tied = self.architecture.tied;
        self.weight(if tied { "embed.weight" } else { "head.weight" })
    }

    /// Logits of rows of the residual stream: (tokens, width) -> (tokens, vocab).
    pub fn logits(&self, hidden: &Tensor) -> Result<Tensor> {
        let mut logits = ops::linear(hidden, self.head()?)?;
        if self.architecture.logit_scale != 1.0 {
            logits = logits.affine(self.architecture.logit_scale, 0.0)?;
        }
        if let Some(cap) = self.architecture.logit_cap {
            logits = logits.affine(1.0 / cap, 0.0)?.tanh()?.affine(cap, 0.0)?;
        }
        Ok(logits)
    }

    /// Negative log-likelihood of `targets` and the most likely token, row by row of `hidden` (tokens, width).
    pub fn scores(&self, hidden: &Tensor, targets: &[u32]) -> Result<Vec<TokenScore>> {
        let architecture = &self.architecture;
        if architecture.logit_cap.is_none() && architecture.logit_scale == 1.0 {
            return Ok(ops::token_scores(hidden, self.head()?, targets)?);
        }
        let mut scores = Vec::with_capacity(targets.len());
        for (start, targets) in (0..).step_by(ROWS).zip(targets.chunks(ROWS)) {
            let rows = self
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

/// Rows of logits that are held at once.
const ROWS: usize = 64;

/// What one layer reads besides the residual stream.
struct Step<'a> {
    layer: usize,
    prepared: &'a Prepared,
    params: Params,
}

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

fn apply(activation: Activation, x: &Tensor) -> Result<Tensor> {
    Ok(match activation {
        Activation::Silu => x.silu()?,
        Activation::Relu => x.relu()?,
        Activation::GeluTanh => x.gelu()?,
        Activation::Gelu => {
            let y = x.as_candle().gelu_erf();
            Tensor::from_candle(y.map_err(farspan_attention::Error::from)?)
        }
    })
}
