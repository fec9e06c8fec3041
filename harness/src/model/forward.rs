//! One pass through the layers, with the norms, activations and orders of any architecture.

use super::architecture::{Activation, Clamped, Residual};
use super::frozen::{self, single};
use super::parts::{Part, Spot};
use super::{Decoder, Pass, scheme_name, sinks};
use crate::{Error, Result};
use farspan_attention::attend::{Mask, Params, Sublayer};
use farspan_attention::ops::{self, FeedForward, Gelu};
use farspan_attention::plan::Plan;
use farspan_attention::residual::Residual as Stream;
use farspan_attention::{DType, Tensor};

/// How the tokens of a pass attend to each other: windows at once, or a text in pieces.
pub(super) trait Attending {
    /// What `layer` follows.
    fn plan(&self, layer: usize) -> &Plan;

    /// What is added to what queries and keys are projected from, (rows, tokens, width).
    fn infused(&self, layer: usize) -> Option<&Tensor>;

    /// Tokens of the text so far, or of a window.
    fn tokens(&self) -> usize;

    /// Whether the layer behind `layer` reads what the feed-forward part of `layer` adds.
    fn feeds(&self, layer: usize) -> bool;

    /// Is handed it.
    fn feed(&mut self, added: &Tensor) -> Result<()>;

    /// What does the whole attention sublayer of a layer at once, if anything does.
    fn sublayers(&mut self) -> Option<&mut dyn Sublayers>;

    /// From packed queries, keys and values, and the layer's input, both (rows, tokens, …), to what the output projection
    /// reads.
    fn attend(&mut self, at: &At, qkv: &Tensor, input: &Tensor) -> Result<Tensor>;
}

/// Attention sublayers as a whole.
pub(super) trait Sublayers {
    /// Moves `stream` behind the attention sublayer of a layer.
    fn sublayer(&mut self, at: &At, sublayer: &Sublayer<'_>, stream: &mut Stream) -> Result<()>;
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
    pub(super) fn find(&self, name: &str) -> Option<Tensor> {
        match self.decoder.learned.get(name) {
            Some(weight) => Some(match self.pass {
                Pass::Train => weight.var.tensor().clone(),
                Pass::Evaluate => weight.var.tensor().detach(),
            }),
            None => self.decoder.frozen.get(name).cloned(),
        }
    }

    pub(super) fn stored(&self, name: &str) -> Result<Tensor> {
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
        let x = match self.decoder.architecture.embed_scale {
            1.0 => x,
            scale => x.affine(scale, 0.0)?,
        };
        match self.decoder.architecture.embed_width {
            None => Ok(x),
            Some(_) => self.linear(&x, Spot::whole(Part::ProjectIn)),
        }
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
        let h = match architecture.residual {
            Residual::Behind | Residual::Post => x.clone(),
            _ => self.norm(&x, at(Part::AttentionNorm))?,
        };
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
            Residual::Behind => {
                let x = x.add(&norm(&attention, Part::AttentionPostNorm)?)?;
                let added = norm(&mlp(&x)?, Part::MlpPostNorm)?;
                (x, added)
            }
            Residual::Post => {
                let x = norm(&x.add(&attention)?, Part::AttentionPostNorm)?;
                let added = mlp(&x)?;
                (x, added)
            }
            Residual::FromNorm => {
                let h = norm(&h.add(&attention)?, Part::MlpNorm)?;
                let added = mlp(&h)?;
                (h, added)
            }
        };
        let sum = x.add(&added)?;
        *stream = Stream::new(match architecture.residual {
            Residual::Post => norm(&sum, Part::MlpPostNorm)?,
            _ => sum,
        });
        if attending.feeds(layer) {
            attending.feed(&added)?;
        }
        Ok(())
    }

    /// The attention sublayer of a layer whose sublayers follow each other.
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
        if let Some(sublayers) = attending.sublayers().filter(|_| plain && !apart) {
            let sublayer = Sublayer {
                norm: &self.weight(norm)?,
                qkv: &self.weight(at(Part::Qkv))?,
                out: &self.weight(out)?,
                eps: self.decoder.architecture.norm_eps,
            };
            return sublayers.sublayer(&params, &sublayer, stream);
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

    /// The other sublayer.
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
        let qkv = self.qkv(h, layer, attending)?;
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
        let chunk = architecture.chunks.get(layer).copied().flatten();
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
                documents: chunk.map(|chunk| documents(attending.tokens(), chunk)),
            },
        })
    }

    /// What a sublayer adds, by the architecture's scale.
    fn scaled(&self, added: Tensor) -> Result<Tensor> {
        Ok(match self.decoder.architecture.residual_scale {
            1.0 => added,
            scale => added.affine(scale, 0.0)?,
        })
    }

    /// Queries, keys and values of all heads, packed: (rows, len, (heads + 2 · kv_heads) · head_dim). Queries and keys are
    /// those of `h + infused`.
    fn qkv(&self, h: &Tensor, layer: usize, attending: &dyn Attending) -> Result<Tensor> {
        let at = |part| Spot::of(layer, part);
        let architecture = &self.decoder.architecture;
        if let Some(latent) = &architecture.latent {
            return self.unfolded(h, layer, latent);
        }
        let g = &architecture.geometry;
        let (placed, plain) = ((g.heads + g.kv_heads) * g.head_dim, g.kv_heads * g.head_dim);
        let mut qkv = match attending.infused(layer) {
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
        self.query_key_norm(qkv, attending.plan(layer), layer)
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
}

/// The chunk of each of `tokens`.
fn documents(tokens: usize, chunk: usize) -> Vec<u32> {
    (0..tokens).map(|token| (token / chunk) as u32).collect()
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
        Activation::SquaredRelu => {
            let x = x.relu()?;
            x.mul(&x)?
        }
        Activation::GeluTanh => ops::gelu(x, Gelu::Tanh)?,
        Activation::Gelu => ops::gelu(x, Gelu::Exact)?,
    })
}
