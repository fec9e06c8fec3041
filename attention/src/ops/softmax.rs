//! Softmax over keys with a bias. On the CPU in f32 it is one operation with its own backward pass; elsewhere it is
//! composed.

use super::bridge::{Floats, floats, for_chunks, ours, tensor};
use super::simd::{Kernel, Simd, dispatch};
use crate::{Result, Tensor};
use candle_core::{CpuStorage, CustomOp2, Layout, Shape};

/// Shares of softmax(`raw` + `bias`) over the last axis: `raw` is (batch, heads, queries, keys), `bias` is (1 or heads,
/// queries, keys). A row of −∞ gives zeros, and no gradient.
pub(crate) fn weights(raw: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    let Some(bias) = bias else {
        let (_, _, queries, keys) = raw.dims4()?;
        let none = Tensor::zeros((1, queries, keys), &raw.device())?.to_dtype(raw.dtype())?;
        return weights(raw, Some(&none));
    };
    if let Some([raw, bias]) = ours([raw, bias]) {
        let (raw, bias) = (raw.contiguous()?, bias.contiguous()?);
        let op = Softmax {
            bias_tracked: bias.track_op(),
        };
        return Ok(Tensor::from_candle(raw.apply_op2(&bias, op)?));
    }
    let scores = raw.broadcast_add(bias)?;
    // The largest score only shifts: it takes no part in the gradient, and a row of −∞ gets a finite one.
    let largest = scores
        .detach()
        .max_keepdim(3)?
        .maximum(f64::from(f32::MIN) / 2.0)?;
    let weights = scores.broadcast_sub(&largest)?.exp()?;
    let sum = weights.sum_keepdim(3)?;
    // A row without any visible key has the sum 0.
    let sum = sum.add(&sum.detach().eq(0.0)?.to_dtype(raw.dtype())?)?;
    weights.broadcast_div(&sum)
}

struct Softmax {
    bias_tracked: bool,
}

impl CustomOp2 for Softmax {
    fn name(&self) -> &'static str {
        "biased-softmax"
    }

    fn cpu_fwd(
        &self,
        raw: &CpuStorage,
        raw_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let (_, _, queries, keys) = raw_layout.shape().dims4()?;
        let (raw, bias) = (floats(raw, raw_layout)?, floats(bias, bias_layout)?);
        let (size, heads) = (queries * keys, bias.len() / (queries * keys).max(1));
        let mut shares = vec![0.0; raw.len()];
        for_chunks(&mut shares, size.max(1), |index, shares| {
            let raw = &raw[index * size..][..size];
            let bias = &bias[index % heads * size..][..size];
            dispatch(Forward {
                raw,
                bias,
                shares,
                keys,
            });
        });
        Ok((CpuStorage::F32(shares), raw_layout.shape().clone()))
    }

    fn bwd(
        &self,
        _raw: &candle_core::Tensor,
        bias: &candle_core::Tensor,
        shares: &candle_core::Tensor,
        above: &candle_core::Tensor,
    ) -> candle_core::Result<(Option<candle_core::Tensor>, Option<candle_core::Tensor>)> {
        let (_, _, queries, keys) = shares.dims4()?;
        let size = queries * keys;
        let above = above.contiguous()?;
        let (p, g) = (Floats::of(shares)?, Floats::of(&above)?);
        let (p, g) = (p.get(), g.get());
        let mut by_score = vec![0.0; shares.elem_count()];
        for_chunks(&mut by_score, size.max(1), |index, by_score| {
            let range = index * size..(index + 1) * size;
            dispatch(Backward {
                p: &p[range.clone()],
                g: &g[range],
                by_score,
                keys,
            });
        });
        let by_bias = if self.bias_tracked {
            // In order of batch and head, so that the sum is the same every time.
            let mut sum = vec![0.0; bias.elem_count()];
            for part in by_score.chunks(sum.len().max(1)) {
                for (sum, x) in sum.iter_mut().zip(part) {
                    *sum += x;
                }
            }
            Some(tensor(sum, bias)?)
        } else {
            None
        };
        Ok((Some(tensor(by_score, shares)?), by_bias))
    }
}

/// One head: rows of `keys` scores.
struct Forward<'a> {
    raw: &'a [f32],
    bias: &'a [f32],
    shares: &'a mut [f32],
    keys: usize,
}

impl Kernel for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let rows = self
            .raw
            .chunks_exact(self.keys)
            .zip(self.bias.chunks_exact(self.keys));
        for ((raw, bias), shares) in rows.zip(self.shares.chunks_exact_mut(self.keys)) {
            // What a causal mask hides at the end of the row is skipped.
            let seen = bias
                .iter()
                .rposition(|x| *x != f32::NEG_INFINITY)
                .map_or(0, |last| last + 1);
            softmax_row(s, &raw[..seen], &bias[..seen], &mut shares[..seen]);
        }
    }
}

#[inline(always)]
fn softmax_row<S: Simd>(s: S, raw: &[f32], bias: &[f32], shares: &mut [f32]) {
    let len = shares.len();
    let whole = len - len % S::LANES;
    let mut largest = s.splat(f32::NEG_INFINITY);
    for at in (0..len).step_by(S::LANES) {
        let x = s.add(s.read(raw, at), s.read(bias, at));
        s.write(shares, at, x);
        if at < whole {
            largest = s.max(x, largest);
        }
    }
    let top = shares[whole..]
        .iter()
        .fold(s.largest(largest), |top, x| top.max(*x));
    if top == f32::NEG_INFINITY {
        let hidden = shares.iter().all(|x| !x.is_nan());
        shares.fill(if hidden { 0.0 } else { f32::NAN });
        return;
    }
    let top = s.splat(top);
    let mut sum = s.splat(0.0);
    for at in (0..len).step_by(S::LANES) {
        let e = s.exp(s.sub(s.read(shares, at), top));
        s.write(shares, at, e);
        if at < whole {
            sum = s.add(sum, e);
        }
    }
    let sum = s.total(sum) + shares[whole..].iter().sum::<f32>();
    let share = s.splat(1.0 / sum);
    for at in (0..len).step_by(S::LANES) {
        let x = s.mul(s.read(shares, at), share);
        s.write(shares, at, x);
    }
}

/// One head: p ⊙ (g − ⟨p, g⟩) row by row.
struct Backward<'a> {
    p: &'a [f32],
    g: &'a [f32],
    by_score: &'a mut [f32],
    keys: usize,
}

impl Kernel for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let rows = self
            .p
            .chunks_exact(self.keys)
            .zip(self.g.chunks_exact(self.keys));
        for ((p, g), by_score) in rows.zip(self.by_score.chunks_exact_mut(self.keys)) {
            let mut mean = s.splat(0.0);
            for at in (0..p.len()).step_by(S::LANES) {
                mean = s.fma(s.read(p, at), s.read(g, at), mean);
            }
            let mean = s.splat(s.total(mean));
            for at in (0..p.len()).step_by(S::LANES) {
                s.write(
                    by_score,
                    at,
                    s.mul(s.read(p, at), s.sub(s.read(g, at), mean)),
                );
            }
        }
    }
}
