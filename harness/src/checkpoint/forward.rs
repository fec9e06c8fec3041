//! One pass through the layers that all families share, with other norms, activations and orders.

use super::config::{Activation, Norm, Residual};
use super::decoder::Pretrained;
use super::frozen::{self, single};
use crate::model::{Pass, scheme_name};
use crate::{Error, Result};
use farspan_attention::Tensor;
use farspan_attention::attend::Params;
use farspan_attention::ops::{self, Gelu};
use farspan_attention::plan::Plan;
use farspan_datasets::Batch;

/// Attention of one layer: from packed queries, keys and values, and the layer's input, both (rows, len, …), to what the
/// output projection reads.
pub(super) type Attend<'f> = dyn FnMut(&Tensor, &Tensor) -> Result<Tensor> + 'f;

/// A model, and whether gradients are recorded.
#[derive(Clone, Copy)]
pub(super) struct Forward<'a> {
    pub(super) model: &'a Pretrained,
    pub(super) pass: Pass,
}

impl Forward<'_> {
    fn find(&self, name: &str) -> Option<Tensor> {
        match self.model.learned.get(name) {
            Some(weight) => Some(match self.pass {
                Pass::Train => weight.var.tensor().clone(),
                Pass::Evaluate => weight.var.tensor().detach(),
            }),
            None => self.model.weights.get(name).cloned(),
        }
    }

    fn stored(&self, name: &str) -> Result<Tensor> {
        self.find(name)
            .ok_or_else(|| Error::Bug(format!("the decoder has no weight {name}")))
    }

    /// A weight in single precision; one that is kept in half precision is converted for this use alone.
    fn weight(&self, name: &str) -> Result<Tensor> {
        single(&self.stored(name)?)
    }

    /// The scheme's learned parameters as layer `layer` sees them.
    pub(super) fn scheme_params(&self, plan: &Plan, layer: usize) -> Result<Params> {
        let learned = plan.params.iter().filter(|spec| spec.learned);
        learned
            .map(|spec| Ok((spec.name.clone(), self.weight(&scheme_name(spec, layer))?)))
            .collect()
    }

    /// Embeddings of tokens, (`shape`…, width).
    pub(super) fn tokens(&self, ids: &[u32], shape: &[usize]) -> Result<Tensor> {
        let vocab = self.model.architecture.vocab;
        if let Some(id) = ids.iter().find(|&&id| id as usize >= vocab) {
            return Err(Error::Data(format!(
                "expected token ids below {vocab}, found {id}"
            )));
        }
        let x = single(&ops::embed(&self.stored("embed.weight")?, ids, shape)?)?;
        Ok(match self.model.architecture.embed_scale {
            1.0 => x,
            scale => x.affine(scale, 0.0)?,
        })
    }

    /// The norm behind the embeddings, where there is one.
    pub(super) fn embed_norm(&self, x: Tensor) -> Result<Tensor> {
        match self.model.architecture.embed_norm {
            true => self.norm(&x, "embed_norm"),
            false => Ok(x),
        }
    }

    /// The residual stream (rows, len, width) behind one layer, and what its feed-forward part added to it.
    pub(super) fn layer(
        &self,
        x: &Tensor,
        layer: usize,
        attend: &mut Attend<'_>,
    ) -> Result<(Tensor, Tensor)> {
        let at = |part: &str| format!("layers.{layer}.{part}");
        let (attention_norm, mlp_norm) = (at("attention_norm"), at("mlp_norm"));
        let h = self.norm(x, &attention_norm)?;
        let output = attend(&self.qkv(&h, layer)?, &h)?;
        let attention = self.linear(&output, &at("out"))?;
        let mlp = |h: &Tensor| self.mlp(h, layer);
        let (x, added) = match self.model.architecture.residual {
            Residual::Sequential => {
                let x = x.add(&attention)?;
                let added = mlp(&self.norm(&x, &mlp_norm)?)?;
                (x, added)
            }
            Residual::Parallel => (x.add(&attention)?, mlp(&self.norm(x, &mlp_norm)?)?),
            Residual::ParallelShared => (x.add(&attention)?, mlp(&h)?),
            Residual::Sandwich => {
                let x = x.add(&self.norm(&attention, &at("attention_post_norm"))?)?;
                let h = mlp(&self.norm(&x, &mlp_norm)?)?;
                let added = self.norm(&h, &at("mlp_post_norm"))?;
                (x, added)
            }
            Residual::FromNorm => {
                let h = self.norm(&h.add(&attention)?, &mlp_norm)?;
                let added = mlp(&h)?;
                (h, added)
            }
        };
        Ok((x.add(&added)?, added))
    }

    /// Queries, keys and values of all heads, packed: (rows, len, (heads + 2 · kv_heads) · head_dim).
    fn qkv(&self, h: &Tensor, layer: usize) -> Result<Tensor> {
        let at = |part: &str| format!("layers.{layer}.{part}");
        let architecture = &self.model.architecture;
        let mut qkv = self.linear(h, &at("qkv"))?;
        if let Some(clip) = architecture.clip {
            qkv = qkv.maximum(-clip)?.minimum(clip)?;
        }
        if !architecture.query_key_norm {
            return Ok(qkv);
        }
        let g = &architecture.geometry;
        let (rows, len, _) = qkv.dims3()?;
        let part = |first: usize, heads: usize| {
            qkv.narrow(2, first * g.head_dim, heads * g.head_dim)?
                .contiguous()
        };
        let normed = |first: usize, heads: usize, norm: &str| {
            let part = part(first, heads)?.reshape((rows, len, heads, g.head_dim))?;
            let part = ops::rms_norm(&part, &self.weight(&at(norm))?, architecture.norm_eps)?;
            Ok::<_, Error>(part.reshape((rows, len, heads * g.head_dim))?)
        };
        let q = normed(0, g.heads, "query_norm.weight")?;
        let k = normed(g.heads, g.kv_heads, "key_norm.weight")?;
        let v = part(g.heads + g.kv_heads, g.kv_heads)?;
        Ok(Tensor::cat(&[&q, &k, &v], 2)?)
    }

    fn mlp(&self, h: &Tensor, layer: usize) -> Result<Tensor> {
        let up = self.linear(h, &format!("layers.{layer}.up"))?;
        let architecture = &self.model.architecture;
        let hidden = architecture.hidden;
        let active = match (architecture.gated, architecture.activation) {
            (true, Activation::Silu) => ops::swiglu(&up)?,
            (true, activation) => {
                let gate = apply(activation, &up.narrow(2, 0, hidden)?.contiguous()?)?;
                gate.mul(&up.narrow(2, hidden, hidden)?.contiguous()?)?
            }
            (false, activation) => apply(activation, &up)?,
        };
        self.linear(&active, &format!("layers.{layer}.down"))
    }

    /// A projection with its bias and its adapter, where there are any.
    fn linear(&self, x: &Tensor, name: &str) -> Result<Tensor> {
        let mut y = frozen::linear(x, &self.stored(&format!("{name}.weight"))?)?;
        if let Some(bias) = self.find(&format!("{name}.bias")) {
            y = y.broadcast_add(&single(&bias)?)?;
        }
        if let Some(down) = self.find(&format!("{name}.lora_a")) {
            let up = self.weight(&format!("{name}.lora_b"))?;
            let inner = ops::linear(x, &down)?.affine(self.model.adapter_scale, 0.0)?;
            y = y.add(&ops::linear(&inner, &up)?)?;
        }
        Ok(y)
    }

    pub(super) fn norm(&self, x: &Tensor, name: &str) -> Result<Tensor> {
        let weight = self.weight(&format!("{name}.weight"))?;
        let eps = self.model.architecture.norm_eps;
        match self.model.architecture.norm {
            Norm::Rms | Norm::RmsOffset => Ok(ops::rms_norm(x, &weight, eps)?),
            Norm::Layer => {
                let bias = match self.find(&format!("{name}.bias")) {
                    Some(bias) => single(&bias)?,
                    None => weight.zeros_like()?,
                };
                Ok(ops::layer_norm(x, &weight, &bias, eps)?)
            }
        }
    }

    /// The matrix that logits are made with, (vocab, width).
    pub(super) fn head(&self) -> Result<Tensor> {
        let tied = self.model.architecture.tied;
        self.weight(if tied { "embed.weight" } else { "head.weight" })
    }

    /// Mean loss of a batch in nats per scored token, from rows of the residual stream behind the last norm.
    pub(super) fn loss(&self, rows: &Tensor, batch: &Batch) -> Result<Tensor> {
        let architecture = &self.model.architecture;
        if architecture.logit_cap.is_some() {
            return cross_entropy(&self.logits(rows)?, batch);
        }
        // A scale of logits is a scale of the rows that they are made of.
        let scaled = match architecture.logit_scale {
            1.0 => rows.clone(),
            scale => rows.affine(scale, 0.0)?,
        };
        let head = self.head()?;
        Ok(ops::cross_entropy(
            &scaled,
            &head,
            &batch.targets,
            &batch.weights,
        )?)
    }

    /// Logits of rows of the residual stream: (tokens, width) -> (tokens, vocab).
    pub(super) fn logits(&self, hidden: &Tensor) -> Result<Tensor> {
        let architecture = &self.model.architecture;
        let mut logits = ops::linear(hidden, &self.head()?)?;
        if architecture.logit_scale != 1.0 {
            logits = logits.affine(architecture.logit_scale, 0.0)?;
        }
        if let Some(cap) = architecture.logit_cap {
            logits = logits.affine(1.0 / cap, 0.0)?.tanh()?.affine(cap, 0.0)?;
        }
        Ok(logits)
    }
}

/// Mean negative log-likelihood of the targets by the scores `logits`, (tokens, vocab); tokens weigh as `batch` says.
fn cross_entropy(logits: &Tensor, batch: &Batch) -> Result<Tensor> {
    let total: f64 = batch.weights.iter().map(|w| f64::from(*w)).sum();
    let shares: Vec<f32> = batch
        .weights
        .iter()
        .map(|w| (f64::from(*w) / total) as f32)
        .collect();
    let n = batch.targets.len();
    let device = logits.device();
    let targets = Tensor::from_vec(batch.targets.clone(), (n, 1), &device)?;
    let shifted = logits.broadcast_sub(&logits.detach().max_keepdim(1)?)?;
    let normaliser = shifted.exp()?.sum_keepdim(1)?.log()?;
    let losses = normaliser.sub(&shifted.gather(&targets, 1)?)?;
    Ok(losses
        .mul(&Tensor::from_vec(shares, (n, 1), &device)?)?
        .sum_all()?)
}

fn apply(activation: Activation, x: &Tensor) -> Result<Tensor> {
    Ok(match activation {
        Activation::Silu => x.silu()?,
        Activation::Relu => x.relu()?,
        Activation::GeluTanh => ops::gelu(x, Gelu::Tanh)?,
        Activation::Gelu => ops::gelu(x, Gelu::Exact)?,
    })
}
