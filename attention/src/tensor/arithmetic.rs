//! Arithmetic, reductions, and reading at indices.

use super::{Tensor, operation};
use crate::Result;
use crate::{Error, gpu::Traced};

macro_rules! elementwise {
    ($($(#[$doc:meta])* $name:ident),*) => {$(
        $(#[$doc])*
        pub fn $name(&self) -> Result<Tensor> {
            operation!([self] as [x], candle x.$name()?, gpu x.$name()?)
        }
    )*};
}

macro_rules! pairwise {
    ($($(#[$doc:meta])* $name:ident, $of_shape:ident, $gpu:ident);* $(;)?) => {$(
        $(#[$doc])*
        pub fn $name(&self, other: &Tensor) -> Result<Tensor> {
            operation!(
                [self, other] as [x, y],
                candle x.$name(&y)?,
                gpu $of_shape(x, y)?.$gpu(y)?
            )
        }
    )*};
}

/// The left side, if both sides have one shape.
fn equal<'a>(x: &'a Traced, y: &Traced) -> Result<&'a Traced> {
    if x.dims() == y.dims() {
        return Ok(x);
    }
    let expected = format!("{:?}", x.dims());
    Err(Error::shape(
        "an operation on equal shapes",
        expected,
        y.dims(),
    ))
}

/// The left side, whatever the shapes.
fn any<'a>(x: &'a Traced, _: &Traced) -> Result<&'a Traced> {
    Ok(x)
}

/// Arithmetic.
impl Tensor {
    pairwise! {
        /// Matrix product of the last two axes; the others must agree.
        matmul, any, matmul;
        /// Sum of equal shapes.
        add, equal, add;
        /// Difference of equal shapes.
        sub, equal, sub;
        /// Product of equal shapes.
        mul, equal, mul;
        /// Quotient of equal shapes.
        div, equal, div;
        /// Sum with broadcasting.
        broadcast_add, any, add;
        /// Difference with broadcasting.
        broadcast_sub, any, sub;
        /// Product with broadcasting.
        broadcast_mul, any, mul;
        /// Quotient with broadcasting.
        broadcast_div, any, div;
        /// Larger of the two, with broadcasting; on a tie each side gets half of the gradient.
        broadcast_maximum, any, maximum;
        /// Smaller of the two, with broadcasting; on a tie each side gets half of the gradient.
        broadcast_minimum, any, minimum;
        /// 1 (u8; u32 on a GPU) where less, with broadcasting.
        broadcast_lt, any, lt;
        /// 1 (u8; u32 on a GPU) where greater, with broadcasting.
        broadcast_gt, any, gt;
        /// 1 (u8; u32 on a GPU) where not greater, with broadcasting.
        broadcast_le, any, le;
        /// 1 (u8; u32 on a GPU) where not less, with broadcasting.
        broadcast_ge, any, ge;
    }

    elementwise! {
        /// −x
        neg,
        /// eˣ
        exp,
        /// ln x
        log,
        /// x²
        sqr,
        /// √x
        sqrt,
        /// 1/x
        recip,
        /// tanh x
        tanh,
        /// x · σ(x)
        silu,
        /// max(x, 0); derivative 1 at 0
        relu,
        /// GELU with the tanh approximation; its backward constants have six digits
        gelu,
        /// GELU with the error function
        gelu_erf,
        /// |x|; derivative 1 at 0
        abs,
        /// sin x
        sin,
        /// cos x
        cos,
        /// Largest integer not above x; no gradient
        floor,
        /// Sum of all elements, a scalar.
        sum_all,
        /// Mean of all elements, a scalar.
        mean_all
    }

    /// `mul · x + add`
    pub fn affine(&self, mul: f64, add: f64) -> Result<Tensor> {
        operation!([self] as [x], candle x.affine(mul, add)?, gpu x.affine(mul, add)?)
    }

    /// x to a constant power.
    pub fn powf(&self, exponent: f64) -> Result<Tensor> {
        operation!([self] as [x], candle x.powf(exponent)?, gpu x.powf(exponent)?)
    }

    /// Larger of x and a constant.
    pub fn maximum(&self, floor: f64) -> Result<Tensor> {
        operation!([self] as [x], candle x.maximum(floor)?, gpu x.at_least(floor)?)
    }

    /// Smaller of x and a constant.
    pub fn minimum(&self, ceiling: f64) -> Result<Tensor> {
        operation!([self] as [x], candle x.minimum(ceiling)?, gpu x.at_most(ceiling)?)
    }

    /// 1 (u8; u32 on a GPU) where equal to a constant.
    pub fn eq(&self, value: f64) -> Result<Tensor> {
        operation!([self] as [x], candle x.eq(value)?, gpu x.compare("==", value)?)
    }

    /// 1 (u8; u32 on a GPU) where greater than a constant.
    pub fn gt(&self, value: f64) -> Result<Tensor> {
        operation!([self] as [x], candle x.gt(value)?, gpu x.compare(">", value)?)
    }

    /// 1 (u8; u32 on a GPU) where not greater than a constant.
    pub(crate) fn le(&self, value: f64) -> Result<Tensor> {
        operation!([self] as [x], candle x.le(value)?, gpu x.compare("<=", value)?)
    }

    /// −1, 0 or 1; no gradient.
    pub(crate) fn sign(&self) -> Result<Tensor> {
        operation!([self] as [x], candle x.sign()?, gpu x.sign()?)
    }

    /// Sums so far along `axis`.
    pub(crate) fn cumsum(&self, axis: usize) -> Result<Tensor> {
        operation!([self] as [x], candle x.cumsum(axis)?, gpu x.cumsum(axis)?)
    }

    /// Sum over one axis, which stays with size 1.
    pub fn sum_keepdim(&self, axis: usize) -> Result<Tensor> {
        operation!([self] as [x], candle x.sum_keepdim(axis)?, gpu x.sum_keepdim(axis)?)
    }

    /// Mean over one axis, which stays with size 1.
    pub fn mean_keepdim(&self, axis: usize) -> Result<Tensor> {
        operation!([self] as [x], candle x.mean_keepdim(axis)?, gpu x.mean_keepdim(axis)?)
    }

    /// Largest over one axis, which stays with size 1.
    pub fn max_keepdim(&self, axis: usize) -> Result<Tensor> {
        operation!([self] as [x], candle x.max_keepdim(axis)?, gpu x.max_keepdim(axis)?)
    }

    /// Index (u32) of the largest over one axis, which goes.
    pub fn argmax(&self, axis: usize) -> Result<Tensor> {
        operation!([self] as [x], candle x.argmax(axis)?, gpu x.argmax(axis)?)
    }

    /// Softmax over one axis, differentiable.
    pub fn softmax(&self, axis: usize) -> Result<Tensor> {
        // The shift by the maximum changes no value, so it takes no part in the gradient either.
        let shifted = self.broadcast_sub(&self.detach().max_keepdim(axis)?)?;
        let weights = shifted.exp()?;
        weights.broadcast_div(&weights.sum_keepdim(axis)?)
    }

    /// Where `self` (u8 or u32) is not zero, `yes`, else `no`. All three of one shape.
    pub fn where_cond(&self, yes: &Tensor, no: &Tensor) -> Result<Tensor> {
        operation!(
            [self, yes, no] as [x, yes, no],
            candle x.where_cond(&yes, &no)?,
            gpu x.where_cond(yes, no)?
        )
    }

    /// Slices of `axis` at `indices` (u32 vector).
    pub fn index_select(&self, indices: &Tensor, axis: usize) -> Result<Tensor> {
        operation!(
            [self, indices] as [x, indices],
            candle x.index_select(&indices, axis)?,
            gpu x.index_select(indices, axis)?
        )
    }

    /// One element along `axis` for each place of `indices` (u32, same rank).
    pub fn gather(&self, indices: &Tensor, axis: usize) -> Result<Tensor> {
        operation!(
            [self, indices] as [x, indices],
            candle x.gather(&indices, axis)?,
            gpu x.gather(indices, axis)?
        )
    }

    /// Rows of this (rows, width) table at `ids` (u32, any shape): (…, width).
    pub fn embedding(&self, ids: &Tensor) -> Result<Tensor> {
        let (_, width) = self.dims2()?;
        let mut shape = ids.dims().to_vec();
        shape.push(width);
        self.index_select(&ids.reshape(ids.elem_count())?, 0)?
            .reshape(shape)
    }
}
