//! Products with weights that stay in half precision while others learn (mixed precision: numbers that stay are stored
//! in 16 bits; numbers that learn, activations, gradients and sums are in 32).

use crate::Result;
use candle_core::{CpuStorage, CustomOp1, Layout, Shape, Tensor as Candle};
use farspan_attention::{DType, Tensor, ops};

/// `x · weightᵀ` for a weight (out, in): x (…, in) -> (…, out). A weight in half precision, which does not learn, is
/// converted for the way forth and again for the way back: no copy in single precision outlives its product.
pub(super) fn linear(x: &Tensor, weight: &Tensor) -> Result<Tensor> {
    let halved = x.tracked() && x.device().is_cpu() && weight.dtype() != DType::F32;
    let (Some(input), Some(stored), true) = (x.as_candle(), weight.as_candle(), halved) else {
        return Ok(ops::linear(x, &single(weight)?)?);
    };
    let product = Frozen {
        x: x.detach(),
        weight: stored.clone(),
    };
    let y = input.apply_op1(product);
    Ok(Tensor::from_candle(
        y.map_err(farspan_attention::Error::from)?,
    ))
}

/// `tensor` in single precision.
pub(super) fn single(tensor: &Tensor) -> Result<Tensor> {
    Ok(match tensor.dtype() {
        DType::F32 => tensor.clone(),
        _ => tensor.to_dtype(DType::F32)?,
    })
}

struct Frozen {
    /// The operation's argument, without its history.
    x: Tensor,
    weight: Candle,
}

impl CustomOp1 for Frozen {
    fn name(&self) -> &'static str {
        "frozen-linear"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let weight = Tensor::from_candle(self.weight.to_dtype(DType::F32)?);
        let y =
            ops::linear(&self.x, &weight).and_then(|y| Ok((y.to_flat()?, Shape::from(y.dims()))));
        let (values, shape) = y.map_err(candle_core::Error::wrap)?;
        Ok((CpuStorage::F32(values), shape))
    }

    fn bwd(&self, x: &Candle, _: &Candle, dy: &Candle) -> candle_core::Result<Option<Candle>> {
        let (out, inner) = self.weight.dims2()?;
        let dy = dy.contiguous()?.reshape((x.elem_count() / inner, out))?;
        let dx = dy.matmul(&self.weight.to_dtype(DType::F32)?)?;
        dx.reshape(x.shape()).map(Some)
    }
}
