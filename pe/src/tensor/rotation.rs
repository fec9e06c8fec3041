//! Rotations and activations in tensor operations, for hooks whose angles or magnitudes are tensors themselves.
//! Everything is differentiable.

use farspan_attention::hook::Scope;
use farspan_attention::{DType, Result, Tensor};

/// Cosines and sines of angles, each broadcastable to (batch, heads, tokens, pairs).
#[derive(Clone, Debug)]
pub(crate) struct Angles {
    cos: Tensor,
    sin: Tensor,
}

impl Angles {
    /// Of `angles` in radians. The cosine is taken in the type that they are in and then cast to `dtype`.
    pub(crate) fn new(angles: &Tensor, dtype: DType) -> Result<Angles> {
        Ok(Angles {
            cos: angles.cos()?.to_dtype(dtype)?,
            sin: angles.sin()?.to_dtype(dtype)?,
        })
    }

    /// Of tokens at `positions` under fixed frequencies: (tokens, pairs), computed in f64.
    pub(crate) fn fixed(scope: &Scope<'_>, positions: &[f64], inv_freq: &[f64]) -> Result<Angles> {
        let angles = || {
            positions
                .iter()
                .flat_map(|x| inv_freq.iter().map(move |theta| x * theta))
        };
        let shape = [positions.len(), inv_freq.len()];
        let cos: Vec<f64> = angles().map(f64::cos).collect();
        let sin: Vec<f64> = angles().map(f64::sin).collect();
        Ok(Angles {
            cos: scope.constant(&cos, &shape)?,
            sin: scope.constant(&sin, &shape)?,
        })
    }

    /// Of tokens at `positions` under frequencies that are tensors, (…, pairs): (…, tokens, pairs). Computed in f64,
    /// because rounding of a frequency grows with the position.
    pub(crate) fn learned(positions: &[f64], inv_freq: &Tensor, dtype: DType) -> Result<Angles> {
        let inv_freq = inv_freq.to_dtype(DType::F64)?;
        let at = Tensor::from_vec(positions.to_vec(), (positions.len(), 1), &inv_freq.device())?;
        let row = inv_freq.unsqueeze(inv_freq.rank() - 1)?;
        Angles::new(&row.broadcast_mul(&at)?, dtype)
    }

    /// Pair p, channels (p, p + d/2) of `x` (batch, heads, tokens, d), turned from x towards y by its angle.
    pub(crate) fn turn(&self, x: &Tensor) -> Result<Tensor> {
        let (a, b) = halves(x)?;
        let along = a
            .broadcast_mul(&self.cos)?
            .sub(&b.broadcast_mul(&self.sin)?)?;
        let across = a
            .broadcast_mul(&self.sin)?
            .add(&b.broadcast_mul(&self.cos)?)?;
        Tensor::cat(&[&along, &across], x.rank() - 1)
    }

    /// The opposite angles.
    pub(crate) fn reversed(&self) -> Result<Angles> {
        Ok(Angles {
            cos: self.cos.clone(),
            sin: self.sin.neg()?,
        })
    }

    /// (x cos, x sin): a vector of twice the width whose channels are polar, `x` (batch, heads, tokens, pairs) being
    /// the magnitudes.
    pub(crate) fn polar(&self, magnitudes: &Tensor) -> Result<Tensor> {
        let cos = magnitudes.broadcast_mul(&self.cos)?;
        let sin = magnitudes.broadcast_mul(&self.sin)?;
        Tensor::cat(&[&cos, &sin], magnitudes.rank() - 1)
    }

    /// The cosines and sines, e.g. to be carried as a state.
    pub(crate) fn parts(&self) -> (&Tensor, &Tensor) {
        (&self.cos, &self.sin)
    }
}

/// First and second half of the last axis.
pub(crate) fn halves(x: &Tensor) -> Result<(Tensor, Tensor)> {
    let last = x.rank() - 1;
    let half = x.dim(last)? / 2;
    Ok((x.narrow(last, 0, half)?, x.narrow(last, half, half)?))
}

/// σ(x) = 1 / (1 + e⁻ˣ), by the hyperbolic tangent, which cannot overflow.
pub(crate) fn sigmoid(x: &Tensor) -> Result<Tensor> {
    x.affine(0.5, 0.0)?.tanh()?.affine(0.5, 0.5)
}

/// ln(1 + eˣ), without overflow; the derivative is σ(x), at 0 too.
pub(crate) fn softplus(x: &Tensor) -> Result<Tensor> {
    let rest = x.abs()?.neg()?.exp()?.affine(1.0, 1.0)?.log()?;
    x.relu()?.add(&rest)
}

/// x / √(Σ x² + ε) over the last axis, with the ε of the code that the schemes come from.
pub(crate) fn l2_norm(x: &Tensor) -> Result<Tensor> {
    const EPS: f64 = 1e-6;
    let length = x.sqr()?.sum_keepdim(x.rank() - 1)?.affine(1.0, EPS)?;
    x.broadcast_div(&length.sqrt()?)
}

/// `x` (batch, heads, tokens, in) times a matrix of each head, `weight` (heads, in, out).
pub(crate) fn by_head(x: &Tensor, weight: &Tensor) -> Result<Tensor> {
    let mut shape = vec![x.dim(0)?];
    shape.extend(weight.dims());
    let weight = weight.unsqueeze(0)?.broadcast_as(shape)?.contiguous()?;
    x.contiguous()?.matmul(&weight)
}

/// `x` (batch, tokens, channels) moved `by` tokens towards the end, zeros in front.
pub(crate) fn delayed(x: &Tensor, by: usize) -> Result<Tensor> {
    let tokens = x.dim(1)?;
    let by = by.min(tokens);
    if by == 0 {
        return Ok(x.clone());
    }
    let none = x.narrow(1, 0, by)?.zeros_like()?;
    if by == tokens {
        return Ok(none);
    }
    Tensor::cat(&[&none, &x.narrow(1, 0, tokens - by)?], 1)
}

/// `x` (batch, heads, tokens, d) moved one token towards the end behind `first` (batch, heads, 1, d).
pub(crate) fn after(x: &Tensor, first: &Tensor) -> Result<Tensor> {
    let tokens = x.dim(2)?;
    Tensor::cat(&[first, &x.narrow(2, 0, tokens - 1)?], 2)
}

/// Causal convolution of each channel of `x` (batch, tokens, channels) with its own `weight` (channels, kernel), the
/// last of which meets the token itself.
pub(crate) fn convolved(x: &Tensor, weight: &Tensor) -> Result<Tensor> {
    let (channels, kernel) = weight.dims2()?;
    let tap = |s: usize| -> Result<Tensor> {
        let weight = weight.narrow(1, kernel - 1 - s, 1)?.reshape(channels)?;
        delayed(x, s)?.broadcast_mul(&weight)
    };
    (1..kernel).try_fold(tap(0)?, |sum, s| sum.add(&tap(s)?))
}

/// (batch, tokens, heads · channels) as (batch, heads, tokens, channels).
pub(crate) fn split(x: &Tensor, heads: usize) -> Result<Tensor> {
    let (batch, tokens, channels) = x.dims3()?;
    x.reshape((batch, tokens, heads, channels / heads))?
        .transpose(1, 2)?
        .contiguous()
}

/// Sums over the tokens so far, this one included, of `x` (batch, heads, tokens, channels).
pub(crate) fn summed(x: &Tensor) -> Result<Tensor> {
    let by_channel = x.transpose(2, 3)?.contiguous()?;
    farspan_attention::ops::running_sum(&by_channel)?
        .transpose(2, 3)?
        .contiguous()
}

/// Fails unless queries and keys are the same tokens: what a sum over all earlier tokens needs.
pub(crate) fn whole_text(scope: &Scope<'_>, what: &'static str) -> Result<()> {
    let (queries, keys) = (scope.prepared.queries(), scope.prepared.keys());
    if queries == keys {
        return Ok(());
    }
    Err(farspan_attention::Error::Argument {
        what,
        expected: "queries and keys at the same positions".into(),
        found: format!("{queries:?} and {keys:?}"),
    })
}
