//! Turns whose cosines and sines are tensors themselves: a number for each channel of each row.

use super::bridge::{Floats, floats, for_chunks, ours, tensor, zeros};
use crate::{Error, Result, Tensor};
use candle_core::{CpuStorage, CustomOp3, Layout, Shape, Tensor as Candle};

/// Rows of one job.
const ROWS: usize = 64;

/// `x ⊙ cos + rot(x) ⊙ sin` with rot(x) = (−right, left), the halves of the last axis; all of one shape. Cosines and sines
/// need not be those of angles.
pub fn turn(x: &Tensor, cos: &Tensor, sin: &Tensor) -> Result<Tensor> {
    let width = x.dims().last().copied().unwrap_or(0);
    if width == 0 || width % 2 != 0 {
        return Err(Error::shape("turn, x", "(…, 2 · pairs)", x.dims()));
    }
    for part in [cos, sin] {
        if part.dims() != x.dims() {
            let expected = format!("{:?}", x.dims());
            return Err(Error::shape(
                "turn, cosines and sines",
                expected,
                part.dims(),
            ));
        }
    }
    if let Some([x, cos, sin]) = ours([x, cos, sin]) {
        let op = Turn {
            width,
            tracked: [x, cos, sin].map(Candle::track_op),
        };
        let (x, cos, sin) = (x.contiguous()?, cos.contiguous()?, sin.contiguous()?);
        return Ok(Tensor::from_candle(x.apply_op3(&cos, &sin, op)?));
    }
    let last = x.rank() - 1;
    let half = |start| x.narrow(last, start, width / 2);
    let across = Tensor::cat(&[&half(width / 2)?.neg()?, &half(0)?], last)?;
    x.mul(cos)?.add(&across.mul(sin)?)
}

struct Turn {
    width: usize,
    /// Which operands have a gradient that somebody reads.
    tracked: [bool; 3],
}

impl Turn {
    /// `job(operands, left, right)` for every row of a new array: the same row of each operand in two halves.
    fn rows<const N: usize>(
        &self,
        operands: [&[f32]; N],
        job: impl Fn([(&[f32], &[f32]); N], &mut [f32], &mut [f32]) + Sync,
    ) -> Vec<f32> {
        let (width, half) = (self.width, self.width / 2);
        let mut out = zeros(operands[0].len());
        for_chunks(&mut out, ROWS * width, |block, out| {
            for (row, out) in out.chunks_exact_mut(width).enumerate() {
                let start = (block * ROWS + row) * width;
                let (left, right) = out.split_at_mut(half);
                let row = operands.map(|x| x[start..start + width].split_at(half));
                job(row, left, right);
            }
        });
        out
    }
}

/// `out = a ⊙ b + sign · c ⊙ d`
fn sum(out: &mut [f32], (a, b): (&[f32], &[f32]), sign: f32, (c, d): (&[f32], &[f32])) {
    let pairs = a.iter().zip(b).zip(c.iter().zip(d));
    for (out, ((a, b), (c, d))) in out.iter_mut().zip(pairs) {
        *out = a * b + sign * (c * d);
    }
}

/// `out = sign · a ⊙ b`
fn product(out: &mut [f32], sign: f32, a: &[f32], b: &[f32]) {
    for (out, (a, b)) in out.iter_mut().zip(a.iter().zip(b)) {
        *out = sign * (a * b);
    }
}

impl CustomOp3 for Turn {
    fn name(&self) -> &'static str {
        "turn"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        cos: &CpuStorage,
        cos_layout: &Layout,
        sin: &CpuStorage,
        sin_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let operands = [
            floats(x, x_layout)?,
            floats(cos, cos_layout)?,
            floats(sin, sin_layout)?,
        ];
        let turned = self.rows(operands, |[x, cos, sin], left, right| {
            sum(left, (x.0, cos.0), -1.0, (x.1, sin.0));
            sum(right, (x.1, cos.1), 1.0, (x.0, sin.1));
        });
        Ok((CpuStorage::F32(turned), x_layout.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Candle,
        cos: &Candle,
        sin: &Candle,
        _turned: &Candle,
        above: &Candle,
    ) -> candle_core::Result<(Option<Candle>, Option<Candle>, Option<Candle>)> {
        let above = above.contiguous()?;
        let (xs, dy) = (Floats::of(x)?, Floats::of(&above)?);
        let (xs, dy) = (xs.get(), dy.get());
        let [by_x, by_cos, by_sin] = self.tracked;
        let dx = || {
            let (cos, sin) = (Floats::of(cos)?, Floats::of(sin)?);
            let operands = [dy, cos.get(), sin.get()];
            let dx = self.rows(operands, |[dy, cos, sin], left, right| {
                sum(left, (dy.0, cos.0), 1.0, (dy.1, sin.1));
                sum(right, (dy.1, cos.1), -1.0, (dy.0, sin.0));
            });
            tensor(dx, x)
        };
        let dcos = || {
            let dcos = self.rows([dy, xs], |[dy, x], left, right| {
                product(left, 1.0, dy.0, x.0);
                product(right, 1.0, dy.1, x.1);
            });
            tensor(dcos, cos)
        };
        let dsin = || {
            let dsin = self.rows([dy, xs], |[dy, x], left, right| {
                product(left, -1.0, dy.0, x.1);
                product(right, 1.0, dy.1, x.0);
            });
            tensor(dsin, sin)
        };
        Ok((
            by_x.then(dx).transpose()?,
            by_cos.then(dcos).transpose()?,
            by_sin.then(dsin).transpose()?,
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Device;
    use crate::ops::tests::check;

    #[test]
    fn turns_equal_their_composition() {
        for dims in [[1, 2], [3, 10], [150, 64]] {
            check("turn", &[&dims, &dims, &dims], |x| {
                turn(x[0], x[1], x[2]).unwrap()
            });
        }
    }

    #[test]
    fn channels_pair_up_with_those_half_a_row_away() {
        let row = |values: [f32; 4]| Tensor::from_vec(values.to_vec(), 4, &Device::cpu()).unwrap();
        let x = row([1.0, 2.0, 3.0, 4.0]);
        let (cos, sin) = (row([10.0, 20.0, 30.0, 40.0]), row([1.0, 2.0, 5.0, 6.0]));
        let turned = turn(&x, &cos, &sin).unwrap().to_flat::<f32>().unwrap();
        assert_eq!(turned, [10.0 - 3.0, 40.0 - 8.0, 90.0 + 5.0, 160.0 + 12.0]);
        let refused = |cos: &Tensor| turn(&x, cos, &sin).unwrap_err().to_string();
        assert!(refused(&Tensor::ones(2, &Device::cpu()).unwrap()).contains("[4]"));
    }
}
