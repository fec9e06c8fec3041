//! One pass through the layers, with the norms, activations and orders of any architecture.

use super::architecture::{Activation, Clamped, Norm, QueryKeyNorm, Residual};
use super::frozen::{self, single};
use super::parts::{Part, Spot};
use super::{Decoder, Pass, scheme_name, sinks};
use crate::{Error, Result};
use farspan_attention::attend::{Half, Mask, Params};
use farspan_attention::ops::{self, FeedForward, Gelu, TokenScore};
use farspan_attention::plan::Plan;
use farspan_attention::residual::Residual as Stream;
use farspan_attention::{DType, Tensor};
use farspan_datasets::Batch;

/// Rows of logits that are held at once.
const ROWS: usize = 64;

/// How the tokens of a pass attend to each other: windows at once, or a text in pieces.
pub(super) trait Attending {
    /// What `layer` follows.
    fn plan(&self, layer: usize) -> &Plan;

    /// What is added to what queries and keys are projected from, (rows, tokens, width).
    fn infused(&self, layer: usize) -> Option<&Tensor>;

    /// Whether the layer behind `layer` reads what the feed-forward part of `layer` adds.
    fn feeds(&self, layer: usize) -> bool;

    /// Is handed it.
    fn feed(&mut self, added: &Tensor) -> Result<()>;

    /// What does the whole attention half of a layer at once, if anything does.
    fn halves(&mut self) -> Option<&mut dyn Halves>;

    /// From packed queries, keys and values, and the layer's input, both (rows, tokens, …), to what the output projection
    /// reads.
    fn attend(&mut self, at: &At, qkv: &Tensor, input: &Tensor) -> Result<Tensor>;
}

/// Attention halves as a whole.
pub(super) trait Halves {
    /// Moves `stream` behind the attention half of a layer.
    fn half(&mut self, at: &At, half: &Half<'_>, stream: &mut Stream) -> Result<()>;
}

/// What attention of a layer goes by.
pub(super) struct At {
    pub(super) layer: usize,
    /// The scheme's learned parameters as this layer sees them; constants lie in the plan.
    pub(super) params: Params,
    /// Which keys a query sees.
    pub(super) mask: Mask,
}

/// A decoder, and whether gradients are recorded.
#[derive(Clone, Copy)]
pub(super) struct Forward<'a> {
    pub(super) decoder: &'a Decoder,
    pub(super) pass: Pass,
}

impl Forward<'_> {
    fn find(&self, name: &str) -> Option<Tensor> {
        match self.decoder.learned.get(name) {
            Some(weight) => Some(match self.pass {
                Pass::Train => weight.var.tensor().clone(),
                Pass::Evaluate => weight.var.tensor().detach(),
            }),
            None => self.decoder.frozen.get(name).cloned(),
        }
    }

    fn stored(&self, name: &str) -> Result<Tensor> {
        self.find(name)
            .ok_or_else(|| Error::Bug(format!("the decoder has no weight {name}")))
    }

    /// A weight in single precision; one that is kept in half precision is converted for this use alone.
    pub(super) fn weight(&self, spot: Spot) -> Result<Tensor> {
        single(&self.stored(&format!("{}.weight", spot.name()))?)
    }

    /// The scheme's learned parameters as layer `layer` sees them.
    pub(super) fn scheme_params(&self, plan: &Plan, layer: usize) -> Result<Params> {
        let learned = plan.params.iter().filter(|spec| spec.learned);
        let of = |spec| single(&self.stored(&scheme_name(spec, layer))?);
        learned
            .map(|spec| Ok((spec.name.clone(), of(spec)?)))
            .collect()
    }

    /// Embeddings of tokens, (`shape`…, width).
    pub(super) fn tokens(&self, ids: &[u32], shape: &[usize]) -> Result<Tensor> {
        let vocab = self.decoder.architecture.vocab;
        if let Some(id) = ids.iter().find(|&&id| id as usize >= vocab) {
            return Err(Error::Data(format!(
                "expected token ids below {vocab}, found {id}"
            )));
        }
        let table = self.stored(&format!("{}.weight", Part::Embed.name()))?;
        let x = single(&ops::embed(&table, ids, shape)?)?;
        Ok(match self.decoder.architecture.embed_scale {
            1.0 => x,
            scale => x.affine(scale, 0.0)?,
        })
    }

    /// The norm behind the embeddings, where there is one.
    pub(super) fn embed_norm(&self, x: Tensor) -> Result<Tensor> {
        match self.decoder.architecture.embed_norm {
            true => self.norm(&x, Spot::whole(Part::EmbedNorm)),
            false => Ok(x),
        }
    }

    /// Moves the residual stream (rows, len, width) behind one layer.
    pub(super) fn layer(
        &self,
        stream: &mut Stream,
        layer: usize,
        attending: &mut dyn Attending,
    ) -> Result<()> {
        let architecture = &self.decoder.architecture;
        if architecture.residual == Residual::Sequential {
            self.attention(stream, layer, attending)?;
            return self.feed_forward(stream, layer, attending);
        }
        let at = |part| Spot::of(layer, part);
        let x = stream.rows()?;
        let h = self.norm(&x, at(Part::AttentionNorm))?;
        let attention = self.linear(&self.attend(&h, layer, attending)?, at(Part::Out))?;
        let attention = self.scaled(attention)?;
        let mlp = |h: &Tensor| self.scaled(self.mlp(h, layer)?);
        let norm = |x: &Tensor, part| self.norm(x, at(part));
        let (x, added) = match architecture.residual {
            Residual::Sequential | Residual::Parallel => {
                (x.add(&attention)?, mlp(&norm(&x, Part::MlpNorm)?)?)
            }
            Residual::ParallelShared => (x.add(&attention)?, mlp(&h)?),
            Residual::Sandwich => {
                let x = x.add(&norm(&attention, Part::AttentionPostNorm)?)?;
                let added = mlp(&norm(&x, Part::MlpNorm)?)?;
                let added = norm(&added, Part::MlpPostNorm)?;
                (x, added)
            }
            Residual::FromNorm => {
                let h = norm(&h.add(&attention)?, Part::MlpNorm)?;
                let added = mlp(&h)?;
                (h, added)
            }
        };
        *stream = Stream::new(x.add(&added)?);
        if attending.feeds(layer) {
            attending.feed(&added)?;
        }
        Ok(())
    }

    /// The attention half of a layer whose halves follow each other.
    fn attention(
        &self,
        stream: &mut Stream,
        layer: usize,
        attending: &mut dyn Attending,
    ) -> Result<()> {
        let at = |part| Spot::of(layer, part);
        let [norm, out] = [at(Part::AttentionNorm), at(Part::Out)];
        let plan = attending.plan(layer);
        // Only schemes that read or change the layer's input need it apart from the projection.
        let apart = plan.reads_input() || plan.infused;
        let plain = self.decoder.architecture.plain_attention()
            && self.is_plain(at(Part::Qkv))?
            && self.is_plain(out)?;
        let params = self.at(layer, attending)?;
        if let Some(halves) = attending.halves().filter(|_| plain && !apart) {
            let half = Half {
                norm: &self.weight(norm)?,
                qkv: &self.weight(at(Part::Qkv))?,
                out: &self.weight(out)?,
                eps: self.decoder.architecture.norm_eps,
            };
            return halves.half(&params, &half, stream);
        }
        let x = stream.rows()?;
        let h = self.norm(&x, norm)?;
        let output = self.attend(&h, layer, attending)?;
        *stream = Stream::new(match plain {
            true => ops::linear_add(&x, &output, &self.weight(out)?)?,
            false => x.add(&self.scaled(self.linear(&output, out)?)?)?,
        });
        Ok(())
    }

    /// The other half.
    fn feed_forward(
        &self,
        stream: &mut Stream,
        layer: usize,
        attending: &mut dyn Attending,
    ) -> Result<()> {
        let at = |part| Spot::of(layer, part);
        let [norm, up, down] = [Part::MlpNorm, Part::Up, Part::Down].map(at);
        let plain = self.decoder.architecture.plain_mlp(layer);
        if plain && self.is_plain(up)? && self.is_plain(down)? {
            let weights = FeedForward {
                norm: &self.weight(norm)?,
                gate_up: &self.weight(up)?,
                down: &self.weight(down)?,
                eps: self.decoder.architecture.norm_eps,
            };
            return match attending.feeds(layer) {
                true => attending.feed(&stream.feed_forward_apart(&weights)?),
                false => Ok(stream.feed_forward(&weights)?),
            };
        }
        let x = stream.rows()?;
        let added = self.scaled(self.mlp(&self.norm(&x, norm)?, layer)?)?;
        *stream = Stream::new(x.add(&added)?);
        match attending.feeds(layer) {
            true => attending.feed(&added),
            false => Ok(()),
        }
    }

    /// Attention over the normed input of a layer, before the output projection.
    fn attend(&self, h: &Tensor, layer: usize, attending: &mut dyn Attending) -> Result<Tensor> {
        let qkv = self.qkv(h, layer, attending.infused(layer))?;
        let at = self.at(layer, attending)?;
        let output = attending.attend(&at, &qkv, h)?;
        let architecture = &self.decoder.architecture;
        match &architecture.latent {
            Some(latent) => latent.values(output, &architecture.geometry),
            None => Ok(output),
        }
    }

    fn at(&self, layer: usize, attending: &dyn Attending) -> Result<At> {
        let architecture = &self.decoder.architecture;
        let mut params = self.scheme_params(attending.plan(layer), layer)?;
        if architecture.sinks {
            let logits = self.weight(Spot::of(layer, Part::Sinks))?;
            params.insert(sinks::NAME.into(), logits);
        }
        Ok(At {
            layer,
            params,
            mask: Mask {
                causal: true,
                window: architecture.windows[layer],
                sinks: usize::from(architecture.sinks),
                documents: None,
            },
        })
    }

    /// What a half adds, by the architecture's scale.
    fn scaled(&self, added: Tensor) -> Result<Tensor> {
        Ok(match self.decoder.architecture.residual_scale {
            1.0 => added,
            scale => added.affine(scale, 0.0)?,
        })
    }

    /// Queries, keys and values of all heads, packed: (rows, len, (heads + 2 · kv_heads) · head_dim). Queries and keys are
    /// those of `h + infused`.
    fn qkv(&self, h: &Tensor, layer: usize, infused: Option<&Tensor>) -> Result<Tensor> {
        let at = |part| Spot::of(layer, part);
        let architecture = &self.decoder.architecture;
        if let Some(latent) = &architecture.latent {
            return self.unfolded(h, layer, latent);
        }
        let g = &architecture.geometry;
        let (placed, plain) = ((g.heads + g.kv_heads) * g.head_dim, g.kv_heads * g.head_dim);
        let mut qkv = match infused {
            None => self.linear(h, at(Part::Qkv))?,
            Some(added) => {
                let of = |x: &Tensor, rows| self.rows_of(x, at(Part::Qkv), Some(rows));
                let placed_part = of(&h.add(added)?, (0, placed))?;
                let plain_part = of(h, (placed, plain))?;
                Tensor::cat(&[&placed_part, &plain_part], h.rank() - 1)?
            }
        };
        if let Some(clip) = architecture.clip {
            qkv = qkv.maximum(-clip)?.minimum(clip)?;
        }
        if architecture.query_key_norm == QueryKeyNorm::None {
            return Ok(qkv);
        }
        let (rows, len, _) = qkv.dims3()?;
        let part = |first: usize, heads: usize| {
            qkv.narrow(2, first * g.head_dim, heads * g.head_dim)?
                .contiguous()
        };
        let normed = |first: usize, heads: usize, norm| {
            let part = part(first, heads)?.reshape((rows, len, heads, g.head_dim))?;
            let part = ops::rms_norm(&part, &self.weight(at(norm))?, architecture.norm_eps)?;
            Ok::<_, Error>(part.reshape((rows, len, heads * g.head_dim))?)
        };
        let q = normed(0, g.heads, Part::QueryNorm)?;
        let k = normed(g.heads, g.kv_heads, Part::KeyNorm)?;
        let v = part(g.heads + g.kv_heads, g.kv_heads)?;
        Ok(Tensor::cat(&[&q, &k, &v], 2)?)
    }

    fn mlp(&self, h: &Tensor, layer: usize) -> Result<Tensor> {
        let at = |part| Spot::of(layer, part);
        match self.decoder.experts(layer) {
            Some(experts) => self.experts(h, layer, experts),
            None => self.block(h, at(Part::Up), at(Part::Down)),
        }
    }

    /// A feed-forward block.
    pub(super) fn block(&self, h: &Tensor, up: Spot, down: Spot) -> Result<Tensor> {
        let up = self.linear(h, up)?;
        let architecture = &self.decoder.architecture;
        let (axis, hidden) = (up.rank() - 1, up.dim(up.rank() - 1)? / 2);
        let half = |start| up.narrow(axis, start, hidden)?.contiguous();
        let active = match (architecture.gated, architecture.activation) {
            (true, _) if let Some(clamped) = architecture.clamped => {
                clamped.apply(&half(0)?, &half(hidden)?)?
            }
            (true, Activation::Silu) => ops::swiglu(&up)?,
            (true, activation) => apply(activation, &half(0)?)?.mul(&half(hidden)?)?,
            (false, activation) => apply(activation, &up)?,
        };
        self.linear(&active, down)
    }

    /// Whether a projection is its matrix in single precision alone, or needs no gradients.
    fn is_plain(&self, spot: Spot) -> Result<bool> {
        let name = spot.name();
        let weight = self.stored(&format!("{name}.weight"))?;
        let single = weight.dtype() == DType::F32 || self.pass == Pass::Evaluate;
        Ok(single && !self.decoder.learned.contains_key(&format!("{name}.lora_a")))
    }

    /// A projection with its bias and its adapter, where there are any.
    pub(super) fn linear(&self, x: &Tensor, spot: Spot) -> Result<Tensor> {
        self.rows_of(x, spot, None)
    }

    /// The channels of a projection from the first on, so many; all without `rows`.
    fn rows_of(&self, x: &Tensor, spot: Spot, rows: Option<(usize, usize)>) -> Result<Tensor> {
        let name = spot.name();
        let cut = |tensor: Tensor| match rows {
            Some((first, n)) => Ok::<_, Error>(tensor.narrow(0, first, n)?),
            None => Ok(tensor),
        };
        let mut y = frozen::linear(x, &cut(self.stored(&format!("{name}.weight"))?)?)?;
        if let Some(bias) = self.find(&format!("{name}.bias")) {
            y = y.broadcast_add(&single(&cut(bias)?)?)?;
        }
        if let Some(down) = self.find(&format!("{name}.lora_a")) {
            let up = cut(self.stored(&format!("{name}.lora_b"))?)?;
            let inner = ops::linear(x, &down)?.affine(self.decoder.adapter_scale, 0.0)?;
            y = y.add(&ops::linear(&inner, &up)?)?;
        }
        Ok(y)
    }

    fn norm(&self, x: &Tensor, spot: Spot) -> Result<Tensor> {
        let weight = self.weight(spot)?;
        let eps = self.decoder.architecture.norm_eps;
        match self.decoder.architecture.norm {
            Norm::Rms | Norm::RmsOffset => Ok(ops::rms_norm(x, &weight, eps)?),
            Norm::Layer => {
                let bias = match self.find(&format!("{}.bias", spot.name())) {
                    Some(bias) => single(&bias)?,
                    None => weight.zeros_like()?,
                };
                Ok(ops::layer_norm(x, &weight, &bias, eps)?)
            }
        }
    }

    /// The norm behind the last layer, and its rows (tokens, width).
    pub(super) fn end(&self, x: &Tensor) -> Result<Tensor> {
        let width = self.decoder.architecture.geometry.width;
        let rows = x.elem_count() / width;
        Ok(self
            .norm(x, Spot::whole(Part::Norm))?
            .reshape((rows, width))?)
    }

    /// The matrix that logits are made with, (vocab, width).
    fn head(&self) -> Result<Tensor> {
        self.weight(Spot::whole(match self.decoder.architecture.tied {
            true => Part::Embed,
            false => Part::Head,
        }))
    }

    /// Mean loss of a batch in nats per scored token, from rows of the residual stream behind the last norm.
    pub(super) fn loss(&self, rows: &Tensor, batch: &Batch) -> Result<Tensor> {
        let architecture = &self.decoder.architecture;
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
    pub(super) fn logits(&self, rows: &Tensor) -> Result<Tensor> {
        let architecture = &self.decoder.architecture;
        let mut logits = ops::linear(rows, &self.head()?)?;
        if architecture.logit_scale != 1.0 {
            logits = logits.affine(architecture.logit_scale, 0.0)?;
        }
        if let Some(cap) = architecture.logit_cap {
            logits = logits.affine(1.0 / cap, 0.0)?.tanh()?.affine(cap, 0.0)?;
        }
        Ok(logits)
    }

    /// Negative log-likelihood of `targets` and the most likely token, row by row.
    pub(super) fn scores(&self, rows: &Tensor, targets: &[u32]) -> Result<Vec<TokenScore>> {
        let architecture = &self.decoder.architecture;
        if architecture.logit_cap.is_none() && architecture.logit_scale == 1.0 {
            return Ok(ops::token_scores(rows, &self.head()?, targets)?);
        }
        let mut scores = Vec::with_capacity(targets.len());
        for (start, targets) in (0..).step_by(ROWS).zip(targets.chunks(ROWS)) {
            let logits = self.logits(&rows.narrow(0, start, targets.len())?)?;
            let logits = logits.to_vec2::<f32>()?;
            let of = |(row, &target): (&Vec<f32>, &u32)| score(row, target);
            scores.extend(logits.iter().zip(targets).map(of));
        }
        Ok(scores)
    }
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

impl Clamped {
    fn apply(&self, gate: &Tensor, up: &Tensor) -> Result<Tensor> {
        let gate = gate.minimum(self.limit)?;
        let up = up.maximum(-self.limit)?.minimum(self.limit)?;
        // silu(α·g) is α·g · σ(α·g).
        let gate = gate.affine(self.sharpness, 0.0)?.silu()?;
        let gate = gate.affine(1.0 / self.sharpness, 0.0)?;
        Ok(up.affine(1.0, 1.0)?.mul(&gate)?)
    }
}

fn apply(activation: Activation, x: &Tensor) -> Result<Tensor> {
    Ok(match activation {
        Activation::Silu => x.silu()?,
        Activation::Relu => x.relu()?,
        Activation::GeluTanh => ops::gelu(x, Gelu::Tanh)?,
        Activation::Gelu => ops::gelu(x, Gelu::Exact)?,
    })
}
