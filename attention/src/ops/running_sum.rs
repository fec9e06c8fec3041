//! Running sums over the last axis.

use super::bridge::{Floats, floats, for_chunks, ours, tensor};
use crate::{Result, Tensor};
use candle_core::{CpuStorage, CustomOp1, Layout, Shape};

/// y_t = Σ_{s ≤ t} x_s over the last axis, differentiable. In f32 on the CPU sums are carried in f64.
pub fn running_sum(x: &Tensor) -> Result<Tensor> {
    match ours([x]) {
        Some([x]) => Ok(Tensor::from_candle(x.contiguous()?.apply_op1(RunningSum)?)),
        None => x.cumsum(x.rank().saturating_sub(1)),
    }
}

struct RunningSum;

fn sums(x: &[f32], width: usize, backwards: bool) -> Vec<f32> {
    let mut y = vec![0.0; x.len()];
    for_chunks(&mut y, width.max(1), |row, y| {
        let x = &x[row * width..][..width];
        let mut sum = 0.0;
        let mut step = |t: usize| {
            sum += f64::from(x[t]);
            y[t] = sum as f32;
        };
        if backwards {
            (0..width).rev().for_each(&mut step);
        } else {
            (0..width).for_each(&mut step);
        }
    });
    y
}

impl CustomOp1 for RunningSum {
    fn name(&self) -> &'static str {
        "running-sum"
    }

    fn cpu_fwd(
        &self,
        storage: &CpuStorage,
        layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let width = layout.dims().last().copied().unwrap_or(1);
        let y = sums(floats(storage, layout)?, width, false);
        Ok((CpuStorage::F32(y), layout.shape().clone()))
    }

    fn bwd(
        &self,
        x: &candle_core::Tensor,
        _y: &candle_core::Tensor,
        above: &candle_core::Tensor,
    ) -> candle_core::Result<Option<candle_core::Tensor>> {
        let width = x.dims().last().copied().unwrap_or(1);
        let above = above.contiguous()?;
        let by_x = sums(Floats::of(&above)?.get(), width, true);
        Ok(Some(tensor(by_x, x)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Device, Var};

    #[test]
    fn sums_run_along_rows_and_gradients_back() {
        let x = Tensor::from_vec(vec![1f32, 2., 3., 4., 5., 6.], (2, 3), &Device::cpu()).unwrap();
        let x = Var::new(x).unwrap();
        let y = running_sum(x.tensor()).unwrap();
        assert_eq!(y.to_flat::<f32>().unwrap(), [1., 3., 6., 4., 9., 15.]);
        let by_y =
            Tensor::from_vec(vec![1f32, 10., 100., 0., 1., 0.], (2, 3), &Device::cpu()).unwrap();
        let found = y.mul(&by_y).unwrap().backward().unwrap().get(&x).unwrap();
        assert_eq!(
            found.to_flat::<f32>().unwrap(),
            [111., 110., 100., 1., 1., 0.]
        );
    }

    #[test]
    fn long_sums_keep_their_digits() {
        let n = 1 << 20;
        let x = Tensor::full(0.1f32, n, &Device::cpu()).unwrap();
        let last = running_sum(&x).unwrap().to_flat::<f32>().unwrap()[n - 1];
        assert!((f64::from(last) - 0.1 * n as f64).abs() < 0.05, "{last}");
    }
}
