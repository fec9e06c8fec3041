//! The decoder: embeddings, pre-norm blocks of attention and SwiGLU, a tied head.
//!
//! Axis order is (batch, heads, len, dim) inside attention and (batch, len, width) outside. Initial weights come from
//! one ChaCha stream per parameter *name*, so two schemes start from the same numbers wherever their shapes agree, and
//! a scheme's own parameters change nobody else's draw.

mod slopes;
mod standing;
mod weights;

pub use slopes::Slopes;
pub(crate) use slopes::Sums;
pub use standing::Ready;
pub(crate) use standing::{Standing, feed};
pub use weights::{Values, Weight, scheme_parameters};
pub(crate) use weights::{draw, scheme_name, taken};

use crate::Result;
use farspan_attention::attend::{Half, Mask, Params};
use farspan_attention::ops::{self, FeedForward, TokenScore};
use farspan_attention::plan::{Geometry, Plan};
use farspan_attention::residual::Residual;
use farspan_attention::{Device, Tensor, Var};
use farspan_datasets::{Batch, rng::Stream};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use weights::{WeightInit, weight_specs};

const NORM_EPS: f64 = 1e-5;

/// All sizes of a decoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shape {
    /// What a scheme sees of it.
    #[serde(flatten)]
    pub geometry: Geometry,
    /// Hidden width of the SwiGLU block.
    pub hidden: usize,
    /// Vocabulary size.
    pub vocab: usize,
}

impl Shape {
    /// Learned numbers, without the scheme's.
    pub fn parameters(&self) -> u64 {
        let weights = weight_specs(self);
        weights
            .iter()
            .map(|w| w.shape.iter().product::<usize>() as u64)
            .sum()
    }

    /// Floating-point operations of one forward pass over `len` tokens (multiply and add counted apart, causal
    /// attention at half the square).
    pub fn forward_flops(&self, len: usize) -> f64 {
        let Geometry {
            layers,
            width,
            heads,
            kv_heads,
            head_dim,
            ..
        } = self.geometry;
        let (n, w) = (len as f64, width as f64);
        let projections =
            w * ((heads + 2 * kv_heads) * head_dim) as f64 + (heads * head_dim) as f64 * w;
        let mlp = 3.0 * w * self.hidden as f64;
        let attention = (heads * head_dim) as f64 * n;
        2.0 * n * (layers as f64 * (projections + mlp + attention) + w * self.vocab as f64)
    }
}

/// A decoder with its weights.
#[derive(Debug)]
pub struct Decoder {
    /// Sizes.
    pub shape: Shape,
    device: Device,
    weights: BTreeMap<String, Weight>,
    /// Text of each token, for places that depend on it.
    texts: Vec<String>,
}

/// Whether a pass is recorded for gradients. Without, activations are freed as soon as they are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    /// Recorded.
    Train,
    /// Not recorded.
    Evaluate,
}

/// The residual stream after the last norm, one row per token.
#[derive(Debug)]
pub struct Hidden {
    /// (batch · len, width)
    pub rows: Tensor,
    /// Attention implementation that ran.
    pub implementation: &'static str,
}

/// A decoder as training and measurements see it.
pub trait Model: std::fmt::Debug {
    /// What a scheme sees of it.
    fn geometry(&self) -> &Geometry;

    /// Where it computes.
    fn device(&self) -> &Device;

    /// The weights that can learn, by checkpoint name.
    fn weights(&self) -> &BTreeMap<String, Weight>;

    /// Numbers that stay as they are.
    fn frozen(&self) -> u64 {
        0
    }

    /// Runs the stack over the windows of `batch`, of `ready`'s length.
    fn hidden(&self, batch: &Batch, ready: &Ready, pass: Pass) -> Result<Hidden>;

    /// Mean loss of a batch in nats per scored token, as a scalar that can be differentiated.
    fn loss(&self, batch: &Batch, ready: &Ready) -> Result<(Tensor, &'static str)>;

    /// Loss and gradients of a batch.
    fn slopes(&self, batch: &Batch, ready: &Ready) -> Result<Slopes> {
        Slopes::of(self.loss(batch, ready)?)
    }

    /// Negative log-likelihood and arg-max of every target of a batch, of rows that [`hidden`](Model::hidden) gave.
    fn scores_of(&self, hidden: &Hidden, batch: &Batch) -> Result<Vec<TokenScore>>;

    /// Negative log-likelihood and arg-max of every target of a batch, without gradients.
    fn scores(&self, batch: &Batch, ready: &Ready) -> Result<Vec<TokenScore>> {
        self.scores_of(&self.hidden(batch, ready, Pass::Evaluate)?, batch)
    }

    /// Makes `plans`, one per layer, ready for windows of `len` tokens starting at position 0.
    fn ready(&self, plans: &[Plan], len: usize) -> Result<Ready> {
        Ready::new(self.geometry(), plans, len, self.device())
    }

    /// Copies out all weights that can learn.
    fn values(&self) -> Result<Values> {
        let copy = |(name, weight): (&String, &Weight)| {
            let tensor = weight.var.tensor();
            Ok((
                name.clone(),
                (tensor.dims().to_vec(), tensor.to_flat::<f32>()?),
            ))
        };
        self.weights().iter().map(copy).collect()
    }

    /// Learned numbers, (all, the scheme's).
    fn parameters(&self) -> (u64, u64) {
        let count = |w: &Weight| w.var.tensor().elem_count() as u64;
        let weights = self.weights().values();
        let scheme = weights.clone().filter(|w| w.scheme).map(count).sum();
        (self.frozen() + weights.map(count).sum::<u64>(), scheme)
    }
}

impl Decoder {
    /// A decoder whose layers follow `plans`, one each. Weights named in `given` (a base's checkpoint) are taken over; the rest are drawn.
    pub fn new(
        shape: Shape,
        plans: &[Plan],
        seed: u64,
        given: Option<&Values>,
        device: &Device,
    ) -> Result<Decoder> {
        let mut decoder = Decoder {
            shape,
            device: device.clone(),
            weights: BTreeMap::new(),
            texts: Vec::new(),
        };
        for spec in weight_specs(&shape) {
            let values = match given {
                Some(values) => taken(values, &spec.name, &spec.shape)?,
                None => {
                    let mut stream = Stream::new(seed, &format!("init/{}", spec.name));
                    let n = spec.shape.iter().product();
                    match spec.init {
                        WeightInit::Ones => vec![1.0; n],
                        WeightInit::Normal(std) => {
                            (0..n).map(|_| (std * stream.normal()) as f32).collect()
                        }
                    }
                }
            };
            decoder.insert(&spec.name, &spec.shape, values, spec.shape.len() > 1, None)?;
        }
        for (layer, plan) in plans.iter().enumerate() {
            for spec in plan.params.iter().filter(|spec| spec.learned) {
                let name = scheme_name(spec, layer);
                if decoder.weights.contains_key(&name) {
                    continue;
                }
                let known = given.is_some_and(|values| values.contains_key(&name));
                let values = match given {
                    Some(values) if known => taken(values, &name, &spec.shape)?,
                    _ => draw(spec, &name, seed),
                };
                decoder.insert(&name, &spec.shape, values, false, Some(spec.clamp))?;
            }
        }
        Ok(decoder)
    }

    fn insert(
        &mut self,
        name: &str,
        shape: &[usize],
        values: Vec<f32>,
        decay: bool,
        scheme: Option<Option<(f64, f64)>>,
    ) -> Result<()> {
        let var = Var::new(Tensor::from_vec(values, shape, &self.device)?)?;
        let weight = Weight {
            var,
            decay,
            scheme: scheme.is_some(),
            clamp: scheme.flatten(),
        };
        self.weights.insert(name.to_string(), weight);
        Ok(())
    }

    /// Tells the text of each token id, which plans need whose places depend on the text.
    pub fn set_texts(&mut self, texts: Vec<String>) {
        self.texts = texts;
    }

    fn weight(&self, name: &str, pass: Pass) -> Tensor {
        let tensor = self.weights[name].var.tensor();
        match pass {
            Pass::Train => tensor.clone(),
            Pass::Evaluate => tensor.detach(),
        }
    }

    /// The scheme's learned parameters as layer `layer` sees them; constants lie in the plan.
    fn scheme_params(&self, ready: &Ready, layer: usize, pass: Pass) -> Params {
        let learned = ready.plan(layer).params.iter().filter(|spec| spec.learned);
        learned
            .map(|spec| {
                (
                    spec.name.clone(),
                    self.weight(&scheme_name(spec, layer), pass),
                )
            })
            .collect()
    }
}

impl Decoder {
    /// Queries and keys of `h + added`, values of `h`.
    fn infused(&self, h: &Tensor, added: &Tensor, weight: &Tensor) -> Result<Tensor> {
        let Geometry {
            heads,
            kv_heads,
            head_dim,
            ..
        } = self.shape.geometry;
        let (placed, plain) = ((heads + kv_heads) * head_dim, kv_heads * head_dim);
        let of_values = weight.narrow(0, placed, plain)?;
        let placed = ops::linear(&h.add(added)?, &weight.narrow(0, 0, placed)?)?;
        let plain = ops::linear(h, &of_values)?;
        Ok(Tensor::cat(&[&placed, &plain], h.rank() - 1)?)
    }
}

impl Model for Decoder {
    fn geometry(&self) -> &Geometry {
        &self.shape.geometry
    }

    fn device(&self) -> &Device {
        &self.device
    }

    fn weights(&self) -> &BTreeMap<String, Weight> {
        &self.weights
    }

    fn hidden(&self, batch: &Batch, ready: &Ready, pass: Pass) -> Result<Hidden> {
        let Geometry { layers, width, .. } = self.shape.geometry;
        let (rows, len, tokens) = (batch.rows, ready.len(), &batch.tokens);
        let standing = Standing::new(
            &self.shape.geometry,
            &self.texts,
            batch,
            ready,
            &self.device,
        )?;
        let embed = self.weight("model.embed_tokens.weight", pass);
        let mut x = ops::embed(&embed, tokens, &[rows, len])?.affine((width as f64).sqrt(), 0.0)?;
        let params = self.scheme_params(ready, 0, pass);
        let added = standing.added(x.dims(), &params, &self.device)?;
        if let Some(added) = added.as_ref().filter(|_| !ready.plan(0).infused) {
            x = x.add(added)?;
        }
        let mut stream = Residual::new(x);
        let mut implementation = "none";
        let mut carried = vec![Params::new(); standing.rows()];
        let mask = Mask::causal();
        for layer in 0..layers {
            let at = |part: &str| self.weight(&format!("model.layers.{layer}.{part}.weight"), pass);
            let (norm, qkv) = (at("input_layernorm"), at("self_attn.qkv_proj"));
            let half = Half {
                norm: &norm,
                qkv: &qkv,
                out: &at("self_attn.o_proj"),
                eps: NORM_EPS,
            };
            let params = self.scheme_params(ready, layer, pass);
            let plan = ready.plan(layer);
            let infused = added.as_ref().filter(|_| plan.infused);
            // Only schemes that read or change the layer's input need it apart from the projection.
            let ran = if plan.reads_input() || infused.is_some() {
                let x = stream.rows()?;
                let h = ops::rms_norm(&x, &norm, NORM_EPS)?;
                let qkv = match infused {
                    Some(added) => self.infused(&h, added, &qkv)?,
                    None => ops::linear(&h, &qkv)?,
                };
                let input = (&qkv, Some(&h));
                let (output, ran) = standing.attend(layer, input, &params, &mask, &mut carried)?;
                stream = Residual::new(ops::linear_add(&x, &output, half.out)?);
                ran
            } else {
                standing.attend_half(layer, &mut stream, &half, &params, &mask, &mut carried)?
            };
            // The slowest is what a reader of the record wants to know of.
            if implementation != "composed" {
                implementation = ran;
            }
            let weights = FeedForward {
                norm: &at("post_attention_layernorm"),
                gate_up: &at("mlp.gate_up_proj"),
                down: &at("mlp.down_proj"),
                eps: NORM_EPS,
            };
            if ready.feeds(layer) {
                feed(&mut carried, &stream.feed_forward_apart(&weights)?)?;
            } else {
                stream.feed_forward(&weights)?;
            }
        }
        let x = ops::rms_norm(
            &stream.rows()?,
            &self.weight("model.norm.weight", pass),
            NORM_EPS,
        )?;
        Ok(Hidden {
            rows: x.reshape((rows * len, width))?,
            implementation,
        })
    }

    fn loss(&self, batch: &Batch, ready: &Ready) -> Result<(Tensor, &'static str)> {
        let hidden = self.hidden(batch, ready, Pass::Train)?;
        let head = self.weight("model.embed_tokens.weight", Pass::Train);
        let loss = ops::cross_entropy(&hidden.rows, &head, &batch.targets, &batch.weights)?;
        Ok((loss, hidden.implementation))
    }

    fn scores_of(&self, hidden: &Hidden, batch: &Batch) -> Result<Vec<TokenScore>> {
        let head = self.weight("model.embed_tokens.weight", Pass::Evaluate);
        Ok(ops::token_scores(&hidden.rows, &head, &batch.targets)?)
    }
}

#[cfg(test)]
mod tests;
