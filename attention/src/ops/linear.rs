//! Matrix products that read and write in place, without transposed copies.

#![expect(
    unsafe_code,
    reason = "gemm takes pointers and strides; one function checks them against the slices"
)]

use super::bridge::{Floats, copied, floats, gemm_threads, ours, tensor};
use crate::tensor::leaf::hand_over;
use crate::{Error, Result, Tensor};
use candle_core::{CpuStorage, CustomOp2, CustomOp3, Layout, Shape, Tensor as Candle};

/// `x · weightᵀ`: x (…, in), weight (out, in) -> (…, out).
pub fn linear(x: &Tensor, weight: &Tensor) -> Result<Tensor> {
    let (out, inner) = weight.dims2()?;
    if x.dims().last() != Some(&inner) {
        let expected = format!("(…, {inner}), for a weight ({out}, {inner})");
        return Err(Error::shape("linear, x", expected, x.dims()));
    }
    if let Some([x, weight]) = ours([x, weight]) {
        let y = x.contiguous()?.apply_op2(&weight.contiguous()?, Linear)?;
        return Ok(Tensor::from_candle(y));
    }
    let mut dims = x.dims().to_vec();
    let rows = x.elem_count() / inner.max(1);
    if let Some(last) = dims.last_mut() {
        *last = out;
    }
    x.reshape((rows, inner))?
        .matmul(&weight.t()?)?
        .reshape(dims)
}

struct Linear;

impl CustomOp2 for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let (out, inner) = weight_layout.shape().dims2()?;
        let (x, weight) = (floats(x, x_layout)?, floats(weight, weight_layout)?);
        let mut dims = x_layout.dims().to_vec();
        if let Some(last) = dims.last_mut() {
            *last = out;
        }
        let shape = Shape::from(dims);
        let rows = shape.elem_count() / out.max(1);
        let weight = View::rows(weight, out, inner).transposed();
        let y = product(View::rows(x, rows, inner), weight);
        Ok((CpuStorage::F32(y), shape))
    }

    fn bwd(
        &self,
        x: &Candle,
        weight: &Candle,
        _y: &Candle,
        dy: &Candle,
    ) -> candle_core::Result<(Option<Candle>, Option<Candle>)> {
        gradients(x, weight, dy)
    }
}

/// `residual + x · weightᵀ`: residual (…, out), x (…, in), weight (out, in) -> (…, out).
pub fn linear_add(residual: &Tensor, x: &Tensor, weight: &Tensor) -> Result<Tensor> {
    let (out, inner) = weight.dims2()?;
    let mut expected = residual.dims().to_vec();
    let last = expected
        .last_mut()
        .map(|last| std::mem::replace(last, inner));
    if last != Some(out) || x.dims() != expected {
        let expected = format!(
            "(…, {inner}), for a residual {:?} (…, {out}) and a weight ({out}, {inner})",
            residual.dims()
        );
        return Err(Error::shape("linear_add, x", expected, x.dims()));
    }
    let Some(tensors) = ours([residual, x, weight]) else {
        return residual.add(&linear(x, weight)?);
    };
    let [residual, x, weight] = tensors.map(Candle::contiguous);
    let y = residual?.apply_op3(&x?, &weight?, LinearAdd)?;
    Ok(Tensor::from_candle(y))
}

struct LinearAdd;

impl CustomOp3 for LinearAdd {
    fn name(&self) -> &'static str {
        "linear-add"
    }

    fn cpu_fwd(
        &self,
        residual: &CpuStorage,
        residual_layout: &Layout,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let (out, inner) = weight_layout.shape().dims2()?;
        let (x, weight) = (floats(x, x_layout)?, floats(weight, weight_layout)?);
        let mut y = copied(floats(residual, residual_layout)?);
        let rows = y.len() / out.max(1);
        let weight = View::rows(weight, out, inner).transposed();
        add_product(&mut y, View::rows(x, rows, inner), weight);
        Ok((CpuStorage::F32(y), residual_layout.shape().clone()))
    }

    fn bwd(
        &self,
        _residual: &Candle,
        x: &Candle,
        weight: &Candle,
        _y: &Candle,
        dy: &Candle,
    ) -> candle_core::Result<(Option<Candle>, Option<Candle>, Option<Candle>)> {
        let (dx, dweight) = gradients(x, weight, dy)?;
        Ok((Some(dy.clone()), dx, dweight))
    }
}

/// Gradients of x and weight, of those that need one.
fn gradients(
    x: &Candle,
    weight: &Candle,
    dy: &Candle,
) -> candle_core::Result<(Option<Candle>, Option<Candle>)> {
    let (out, inner) = weight.dims2()?;
    let dy = dy.contiguous()?;
    let (xs, weights, dys) = (Floats::of(x)?, Floats::of(weight)?, Floats::of(&dy)?);
    let rows = dys.get().len() / out.max(1);
    let dy = View::rows(dys.get(), rows, out);
    let dx = if x.track_op() {
        let dx = product(dy, View::rows(weights.get(), out, inner));
        hand_over(x, tensor(dx, x)?)?
    } else {
        None
    };
    let dweight = if weight.track_op() {
        let dweight = product(dy.transposed(), View::rows(xs.get(), rows, inner));
        hand_over(weight, tensor(dweight, weight)?)?
    } else {
        None
    };
    Ok((dx, dweight))
}

/// A matrix inside a slice.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    data: &'a [f32],
    rows: usize,
    cols: usize,
    row_step: usize,
    col_step: usize,
}

impl<'a> View<'a> {
    /// Row-major.
    pub(crate) fn rows(data: &'a [f32], rows: usize, cols: usize) -> View<'a> {
        assert!(
            data.len() >= rows * cols,
            "{} numbers for {rows} × {cols}",
            data.len()
        );
        View {
            data,
            rows,
            cols,
            row_step: cols,
            col_step: 1,
        }
    }

    /// The same numbers with rows and columns exchanged.
    pub(crate) fn transposed(self) -> View<'a> {
        View {
            rows: self.cols,
            cols: self.rows,
            row_step: self.col_step,
            col_step: self.row_step,
            ..self
        }
    }
}

/// a · b, row-major, on as many threads as pay.
pub(crate) fn product(a: View<'_>, b: View<'_>) -> Vec<f32> {
    let n = a.rows * b.cols;
    let mut out = Vec::with_capacity(n);
    // SAFETY: there is room for n numbers, and `multiply` has written all of them when the length says so.
    unsafe {
        multiply(out.as_mut_ptr(), n, a, b, false);
        out.set_len(n);
    }
    out
}

/// `out = a · b`, likewise.
pub(crate) fn product_into(out: &mut [f32], a: View<'_>, b: View<'_>) {
    // SAFETY: a slice is writable.
    unsafe { multiply(out.as_mut_ptr(), out.len(), a, b, false) }
}

/// `out += a · b`, likewise.
pub(crate) fn add_product(out: &mut [f32], a: View<'_>, b: View<'_>) {
    // SAFETY: a slice is readable and writable.
    unsafe { multiply(out.as_mut_ptr(), out.len(), a, b, true) }
}

/// # Safety
/// `len` numbers at `out` are writable, and readable if `add`; nothing else refers to them. All of them are written.
unsafe fn multiply(out: *mut f32, len: usize, a: View<'_>, b: View<'_>, add: bool) {
    let (m, n, k) = (a.rows, b.cols, a.cols);
    assert_eq!(k, b.rows, "({m}, {k}) times ({}, {n})", b.rows);
    assert_eq!(len, m * n, "product of ({m}, {k}) and ({k}, {n})");
    if len == 0 {
        return;
    }
    if k == 0 && !add {
        // SAFETY: the caller vouches for `len` numbers; all bits 0 are 0.0.
        return unsafe { out.write_bytes(0, len) };
    }
    // SAFETY: `View` guarantees rows · cols numbers behind `data` at these steps (both constructors keep the larger
    // step equal to the other axis); the caller vouches for m · n numbers at `out`, which nothing else refers to.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out,
            1,
            n as isize,
            add,
            a.data.as_ptr(),
            a.col_step as isize,
            a.row_step as isize,
            b.data.as_ptr(),
            b.col_step as isize,
            b.row_step as isize,
            if add { 1.0 } else { 0.0 },
            1.0,
            false,
            false,
            false,
            gemm_threads(m * n * k),
        );
    }
}
