//! A map across the heads of each token.

use super::bridge::{Floats, floats, for_chunks, ours, tensor, zeros};
use crate::{Error, Result, Tensor};
use candle_core::{CpuStorage, CustomOp2, Layout, Shape, Tensor as Candle};

/// Tokens of one job.
const ROWS: usize = 64;

/// `x + map · x` over the heads of `x` (batch, heads, tokens, channels), each token with its own `map`
/// (batch, tokens, heads, heads).
pub fn across_heads(x: &Tensor, map: &Tensor) -> Result<Tensor> {
    let (batch, heads, tokens, channels) = x.dims4()?;
    let expected = [batch, tokens, heads, heads];
    if map.dims() != expected {
        let what = "across_heads, map";
        return Err(Error::shape(what, format!("{expected:?}"), map.dims()));
    }
    if let Some([x, map]) = ours([x, map]) {
        let op = AcrossHeads {
            heads,
            tokens,
            channels,
        };
        let (x, map) = (x.contiguous()?, map.contiguous()?);
        return Ok(Tensor::from_candle(x.apply_op2(&map, op)?));
    }
    let change = map.matmul(&x.transpose(1, 2)?.contiguous()?)?;
    x.add(&change.transpose(1, 2)?.contiguous()?)
}

struct AcrossHeads {
    heads: usize,
    tokens: usize,
    channels: usize,
}

impl AcrossHeads {
    /// `x + map · x`, or with each map transposed.
    fn apply(&self, x: &[f32], map: &[f32], transposed: bool) -> Vec<f32> {
        let (n, d, heads) = (self.tokens, self.channels, self.heads);
        let mut out = zeros(x.len());
        // A chunk is a head of a batch entry.
        for_chunks(&mut out, (n * d).max(1), |index, out| {
            let (entry, head) = (index / heads, index % heads);
            for (t, out) in out.chunks_exact_mut(d.max(1)).enumerate() {
                let own = &map[(entry * n + t) * heads * heads..][..heads * heads];
                let row = |g: usize| &x[((entry * heads + g) * n + t) * d..][..d];
                out.copy_from_slice(row(head));
                for g in 0..heads {
                    let weight = match transposed {
                        false => own[head * heads + g],
                        true => own[g * heads + head],
                    };
                    for (y, x) in out.iter_mut().zip(row(g)) {
                        *y += weight * x;
                    }
                }
            }
        });
        out
    }

    /// Σ over channels of above\[h\] · x\[g\], in the shape of the map.
    fn products(&self, above: &[f32], x: &[f32]) -> Vec<f32> {
        let (n, d, heads) = (self.tokens, self.channels, self.heads);
        let (size, entries) = (heads * heads, above.len() / (heads * n * d).max(1));
        let mut out = zeros(entries * n * size);
        for_chunks(&mut out, (ROWS * size).max(1), |block, out| {
            for (row, out) in out.chunks_exact_mut(size).enumerate() {
                let (entry, t) = ((block * ROWS + row) / n, (block * ROWS + row) % n);
                let place = |head: usize| ((entry * heads + head) * n + t) * d;
                for (pair, out) in out.iter_mut().enumerate() {
                    let above = &above[place(pair / heads)..][..d];
                    let x = &x[place(pair % heads)..][..d];
                    *out = above.iter().zip(x).map(|(a, b)| a * b).sum();
                }
            }
        });
        out
    }
}

impl CustomOp2 for AcrossHeads {
    fn name(&self) -> &'static str {
        "across-heads"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        map: &CpuStorage,
        map_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let (x, map) = (floats(x, x_layout)?, floats(map, map_layout)?);
        let out = self.apply(x, map, false);
        Ok((CpuStorage::F32(out), x_layout.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Candle,
        map: &Candle,
        _out: &Candle,
        above: &Candle,
    ) -> candle_core::Result<(Option<Candle>, Option<Candle>)> {
        let above = above.contiguous()?;
        let (xs, maps, dy) = (Floats::of(x)?, Floats::of(map)?, Floats::of(&above)?);
        let dx = tensor(self.apply(dy.get(), maps.get(), true), x)?;
        let dmap = tensor(self.products(dy.get(), xs.get()), map)?;
        Ok((Some(dx), Some(dmap)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Device;
    use crate::ops::tests::check;

    #[test]
    fn maps_across_heads_equal_their_composition() {
        for [batch, heads, tokens, channels] in [[1, 1, 1, 1], [2, 3, 70, 5], [1, 8, 130, 64]] {
            let x = [batch, heads, tokens, channels];
            let map = [batch, tokens, heads, heads];
            check("across_heads", &[&x, &map], |x| {
                across_heads(x[0], x[1]).unwrap()
            });
        }
    }

    #[test]
    fn each_token_has_its_own_map() {
        let numbers = |x: &[f32], shape: &[usize]| {
            Tensor::from_vec(x.to_vec(), shape, &Device::cpu()).unwrap()
        };
        let x = numbers(&[1., 2., 3., 4.], &[1, 2, 2, 1]);
        let map = numbers(&[0., 10., 0., 0., 0., 0., 100., 0.], &[1, 2, 2, 2]);
        let found = across_heads(&x, &map).unwrap();
        // Of the first token head 0 gains ten times head 1, of the second head 1 a hundred times head 0.
        assert_eq!(found.to_flat::<f32>().unwrap(), [31., 2., 3., 204.]);
        assert!(across_heads(&x, &x).is_err());
    }
}
