//! Attention whose keys and values come out of one short vector per token (multi-head latent attention, DeepSeek-V2,
//! arXiv 2405.04434, section 2.1), and its queries too. Some channels of queries and keys turn, those of the keys shared
//! by all heads.
//!
//! Here queries, keys and values are unfolded to full heads, and attention itself is the usual one: the channels that turn
//! are put first, which no product of a query and a key can tell, and what is shorter than a head is filled up with zeros.

use super::forward::Forward;
use super::parts::{Part, Spot};
use crate::Result;
use farspan_attention::plan::Geometry;
use farspan_attention::{Tensor, ops};
use serde::{Deserialize, Serialize};

/// Sizes of latent attention.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Latent {
    /// Channels of the vector that queries come from; nothing: they come from the layer's input.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query_rank: Option<usize>,
    /// Channels of the vector that keys and values come from.
    pub rank: usize,
    /// Channels of a query or key that turn.
    pub rotary: usize,
    /// Those that do not.
    pub plain: usize,
    /// Channels of a value.
    pub value: usize,
    /// Added to the variance in the norms of both vectors.
    pub norm_eps: f64,
}

impl Latent {
    /// Channels of a query or key.
    pub fn score(&self) -> usize {
        self.rotary + self.plain
    }

    /// Whether the numbers go together in a decoder of these sizes.
    pub(crate) fn fits(&self, g: &Geometry) -> bool {
        let sizes = [self.rank, self.rotary, self.plain, self.value];
        let whole = !sizes.contains(&0) && self.query_rank != Some(0);
        let inside = self.score() <= g.head_dim && self.value <= g.head_dim;
        whole && inside && g.kv_heads == g.heads
    }

    /// Numbers in the projections of a layer whose residual stream is so wide.
    pub(super) fn numbers(&self, width: usize, heads: usize) -> usize {
        let queries = match self.query_rank {
            Some(rank) => rank * (width + heads * self.score()),
            None => width * heads * self.score(),
        };
        let keys = width * (self.rank + self.rotary);
        queries + keys + heads * (self.rank * (self.plain + self.value) + self.value * width)
    }

    /// The channels of what came out of attention, (rows, tokens, heads · head_dim), that are no filling.
    pub(super) fn values(&self, output: Tensor, g: &Geometry) -> Result<Tensor> {
        if self.value == g.head_dim {
            return Ok(output);
        }
        let (rows, tokens, _) = output.dims3()?;
        let heads = output.reshape((rows, tokens, g.heads, g.head_dim))?;
        let values = heads.narrow(3, 0, self.value)?.contiguous()?;
        Ok(values.reshape((rows, tokens, g.heads * self.value))?)
    }
}

impl Forward<'_> {
    /// Packed queries, keys and values of `h` (rows, tokens, width), as of usual attention.
    pub(super) fn unfolded(&self, h: &Tensor, layer: usize, latent: &Latent) -> Result<Tensor> {
        let at = |part| Spot::of(layer, part);
        let Geometry {
            heads, head_dim, ..
        } = self.decoder.architecture.geometry;
        let Latent { rotary, plain, .. } = *latent;
        let (rows, tokens, _) = h.dims3()?;
        let normed = |x: &Tensor, norm| {
            let weight = self.weight(at(norm))?;
            Ok::<_, crate::Error>(ops::rms_norm(x, &weight, latent.norm_eps)?)
        };
        let by_head = |x: Tensor, dim: usize| x.reshape((rows, tokens, heads, dim));
        let whole = |parts: &[&Tensor]| {
            let mut parts = parts.to_vec();
            let filled: usize = parts.iter().map(|part| part.dims()[3]).sum();
            let zeros = Tensor::zeros((rows, tokens, heads, head_dim - filled), &h.device())?;
            if filled < head_dim {
                parts.push(&zeros);
            }
            Tensor::cat(&parts, 3)?.reshape((rows, tokens, heads * head_dim))
        };

        let q = match latent.query_rank {
            Some(_) => {
                let short = normed(&self.linear(h, at(Part::QueryDown))?, Part::QueryDownNorm)?;
                self.linear(&short, at(Part::QueryUp))?
            }
            None => self.linear(h, at(Part::QueryUp))?,
        };
        let q = by_head(q, latent.score())?;
        let q = whole(&[&q.narrow(3, plain, rotary)?, &q.narrow(3, 0, plain)?])?;

        let down = self.linear(h, at(Part::LatentDown))?;
        let shared = down.narrow(2, latent.rank, rotary)?.contiguous()?;
        let shared = shared.reshape((rows, tokens, 1, rotary))?;
        let shared = shared.broadcast_as((rows, tokens, heads, rotary))?;
        let short = normed(
            &down.narrow(2, 0, latent.rank)?.contiguous()?,
            Part::LatentNorm,
        )?;
        let both = self.linear(&short, at(Part::LatentUp))?;
        let both = by_head(both, plain + latent.value)?;
        let k = whole(&[&shared, &both.narrow(3, 0, plain)?])?;
        let v = whole(&[&both.narrow(3, plain, latent.value)?])?;
        Ok(Tensor::cat(&[&q, &k, &v], 2)?)
    }
}
