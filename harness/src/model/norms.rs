//! Norms of the residual stream, and of queries and keys.

use super::architecture::{Norm, QueryKeyNorm};
use super::forward::Forward;
use super::frozen::single;
use super::parts::{Part, Spot};
use crate::{Error, Result};
use farspan_attention::plan::Plan;
use farspan_attention::{Tensor, ops};

impl Forward<'_> {
    /// A norm over the last axis, with its weight and its bias.
    pub(super) fn norm(&self, x: &Tensor, spot: Spot) -> Result<Tensor> {
        if self.decoder.architecture.norm == Norm::LayerBare {
            return self.bare(x);
        }
        let weight = self.weight(spot)?;
        let eps = self.decoder.architecture.norm_eps;
        match self.decoder.architecture.norm {
            Norm::Rms | Norm::RmsOffset => Ok(ops::rms_norm(x, &weight, eps)?),
            Norm::Layer | Norm::LayerOffset | Norm::LayerBare => {
                let bias = match self.find(&format!("{}.bias", spot.name())) {
                    Some(bias) => single(&bias)?,
                    None => weight.zeros_like()?,
                };
                Ok(ops::layer_norm(x, &weight, &bias, eps)?)
            }
        }
    }

    /// The same without anything learned.
    fn bare(&self, x: &Tensor) -> Result<Tensor> {
        let eps = self.decoder.architecture.norm_eps;
        let weight = Tensor::ones(x.dim(x.rank() - 1)?, &x.device())?;
        Ok(match self.decoder.architecture.norm {
            Norm::Rms | Norm::RmsOffset => ops::rms_norm(x, &weight, eps)?,
            Norm::Layer | Norm::LayerOffset | Norm::LayerBare => {
                ops::layer_norm(x, &weight, &weight.zeros_like()?, eps)?
            }
        })
    }

    /// Packed queries, keys and values (rows, len, …) with the first two normalised, which `plan` is to turn.
    pub(super) fn query_key_norm(&self, qkv: Tensor, plan: &Plan, layer: usize) -> Result<Tensor> {
        let architecture = &self.decoder.architecture;
        let kind = architecture.query_key_norm;
        let turned = kind == QueryKeyNorm::Turned;
        if kind == QueryKeyNorm::None || turned && architecture.stands_apart(layer) {
            return Ok(qkv);
        }
        let g = &architecture.geometry;
        let (rows, len, _) = qkv.dims3()?;
        let part = |first: usize, heads: usize| {
            qkv.narrow(2, first * g.head_dim, heads * g.head_dim)?
                .contiguous()
        };
        let normed = |first: usize, heads: usize, norm| {
            let (part, spot) = (part(first, heads)?, Spot::of(layer, norm));
            if kind == QueryKeyNorm::Whole {
                return self.norm(&part, spot);
            }
            let part = part.reshape((rows, len, heads, g.head_dim))?;
            let part = match kind {
                // A rotation keeps the length of a head, but for its amplitude, which goes into the norm.
                QueryKeyNorm::Turned => {
                    let amplitude = plan
                        .rotations
                        .first()
                        .map_or(1.0, |turn| turn.query.amplitude);
                    let part = self.bare(&part.affine(amplitude, 0.0)?)?;
                    part.affine(1.0 / amplitude, 0.0)?
                }
                QueryKeyNorm::EachHead => {
                    let weight = self.weight(spot)?.reshape((heads, g.head_dim))?;
                    self.bare(&part)?.broadcast_mul(&weight)?
                }
                _ => self.norm(&part, spot)?,
            };
            Ok::<_, Error>(part.reshape((rows, len, heads * g.head_dim))?)
        };
        let q = normed(0, g.heads, Part::QueryNorm)?;
        let k = normed(g.heads, g.kv_heads, Part::KeyNorm)?;
        let v = part(g.heads + g.kv_heads, g.kv_heads)?;
        Ok(Tensor::cat(&[&q, &k, &v], 2)?)
    }
}
