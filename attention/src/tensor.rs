//! `Tensor`: one type for every engine, under candle's own method names.
//!
//! Today there is one engine, candle (CPU, CUDA, Metal). All operations here keep gradients: those of candle-nn that
//! lose them in silence are not used.

use crate::{Device, Error, Result};
pub use candle_core::{DType, Shape, WithDType};

/// An n-dimensional array on a device, with the history needed to differentiate it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Tensor(Engine);

#[derive(Clone, Debug)]
enum Engine {
    Candle(candle_core::Tensor),
}

macro_rules! elementwise {
    ($($(#[$doc:meta])* $name:ident),*) => {$(
        $(#[$doc])*
        pub fn $name(&self) -> Result<Tensor> {
            Ok(Tensor::from_candle(self.as_candle().$name()?))
        }
    )*};
}

macro_rules! pairwise {
    ($($(#[$doc:meta])* $name:ident),*) => {$(
        $(#[$doc])*
        pub fn $name(&self, other: &Tensor) -> Result<Tensor> {
            Ok(Tensor::from_candle(self.as_candle().$name(other.as_candle())?))
        }
    )*};
}

/// Making tensors.
impl Tensor {
    /// `data` in row-major order as `shape`.
    pub fn from_vec<T: WithDType>(
        data: Vec<T>,
        shape: impl Into<Shape>,
        device: &Device,
    ) -> Result<Tensor> {
        let shape = shape.into();
        if shape.elem_count() != data.len() {
            let expected = format!("one of {} elements", data.len());
            return Err(Error::shape("Tensor::from_vec", expected, shape.dims()));
        }
        Ok(Tensor::from_candle(candle_core::Tensor::from_vec(
            data,
            shape,
            device.as_candle(),
        )?))
    }

    /// f32 zeros.
    pub fn zeros(shape: impl Into<Shape>, device: &Device) -> Result<Tensor> {
        let zeros = candle_core::Tensor::zeros(shape, DType::F32, device.as_candle())?;
        Ok(Tensor::from_candle(zeros))
    }

    /// f32 ones.
    pub fn ones(shape: impl Into<Shape>, device: &Device) -> Result<Tensor> {
        Ok(Tensor::from_candle(candle_core::Tensor::ones(
            shape,
            DType::F32,
            device.as_candle(),
        )?))
    }

    /// The same value everywhere.
    pub fn full<T: WithDType>(
        value: T,
        shape: impl Into<Shape>,
        device: &Device,
    ) -> Result<Tensor> {
        Ok(Tensor::from_candle(candle_core::Tensor::full(
            value,
            shape,
            device.as_candle(),
        )?))
    }

    /// Zeros of this shape, type and device.
    pub fn zeros_like(&self) -> Result<Tensor> {
        Ok(Tensor::from_candle(self.as_candle().zeros_like()?))
    }

    /// Joins along `dim`.
    pub fn cat(parts: &[&Tensor], dim: usize) -> Result<Tensor> {
        let parts: Vec<_> = parts.iter().map(|part| part.as_candle()).collect();
        Ok(Tensor::from_candle(candle_core::Tensor::cat(&parts, dim)?))
    }

    /// Wraps a candle tensor, history included.
    pub fn from_candle(tensor: candle_core::Tensor) -> Tensor {
        Tensor(Engine::Candle(tensor))
    }

    /// The candle tensor, history included.
    pub fn as_candle(&self) -> &candle_core::Tensor {
        let Engine::Candle(tensor) = &self.0;
        tensor
    }
}

/// Looking at tensors.
impl Tensor {
    /// Sizes of the axes.
    pub fn dims(&self) -> &[usize] {
        self.as_candle().dims()
    }

    /// Sizes of the axes, as a value.
    pub fn shape(&self) -> &Shape {
        self.as_candle().shape()
    }

    /// Size of one axis.
    pub fn dim(&self, axis: usize) -> Result<usize> {
        Ok(self.as_candle().dim(axis)?)
    }

    /// Sizes of a tensor of rank 2.
    pub fn dims2(&self) -> Result<(usize, usize)> {
        Ok(self.as_candle().dims2()?)
    }

    /// Sizes of a tensor of rank 3.
    pub fn dims3(&self) -> Result<(usize, usize, usize)> {
        Ok(self.as_candle().dims3()?)
    }

    /// Sizes of a tensor of rank 4.
    pub fn dims4(&self) -> Result<(usize, usize, usize, usize)> {
        Ok(self.as_candle().dims4()?)
    }

    /// Number of axes.
    pub fn rank(&self) -> usize {
        self.as_candle().rank()
    }

    /// Number of elements.
    pub fn elem_count(&self) -> usize {
        self.as_candle().elem_count()
    }

    /// Element type.
    pub fn dtype(&self) -> DType {
        self.as_candle().dtype()
    }

    /// Where it lives.
    pub fn device(&self) -> Device {
        Device::from_candle(self.as_candle().device())
    }

    /// Whether a gradient can flow back from it into some [`Var`].
    pub fn tracked(&self) -> bool {
        self.as_candle().track_op()
    }

    /// The only element.
    pub fn to_scalar<T: WithDType>(&self) -> Result<T> {
        Ok(self.as_candle().to_scalar()?)
    }

    /// The elements of a vector.
    pub fn to_vec1<T: WithDType>(&self) -> Result<Vec<T>> {
        Ok(self.as_candle().to_vec1()?)
    }

    /// The elements of a matrix.
    pub fn to_vec2<T: WithDType>(&self) -> Result<Vec<Vec<T>>> {
        Ok(self.as_candle().to_vec2()?)
    }

    /// All elements in row-major order.
    pub fn to_flat<T: WithDType>(&self) -> Result<Vec<T>> {
        Ok(self.as_candle().flatten_all()?.to_vec1()?)
    }
}

/// Shapes.
impl Tensor {
    /// The same elements in row-major order under another shape.
    pub fn reshape(&self, shape: impl Into<Shape>) -> Result<Tensor> {
        let shape = shape.into();
        if shape.elem_count() != self.elem_count() {
            let expected = format!(
                "one of {} elements, as {:?}",
                self.elem_count(),
                self.dims()
            );
            return Err(Error::shape("Tensor::reshape", expected, shape.dims()));
        }
        Ok(Tensor::from_candle(self.as_candle().reshape(shape)?))
    }

    /// Swaps two axes, without moving data.
    pub fn transpose(&self, a: usize, b: usize) -> Result<Tensor> {
        Ok(Tensor::from_candle(self.as_candle().transpose(a, b)?))
    }

    /// Swaps the last two axes, without moving data.
    pub fn t(&self) -> Result<Tensor> {
        Ok(Tensor::from_candle(self.as_candle().t()?))
    }

    /// `len` elements of `axis` from `start`.
    pub fn narrow(&self, axis: usize, start: usize, len: usize) -> Result<Tensor> {
        Ok(Tensor::from_candle(
            self.as_candle().narrow(axis, start, len)?,
        ))
    }

    /// Row-major in memory; a copy only if it is not yet.
    pub fn contiguous(&self) -> Result<Tensor> {
        Ok(Tensor::from_candle(self.as_candle().contiguous()?))
    }

    /// Repeats axes of size 1, without moving data.
    pub fn broadcast_as(&self, shape: impl Into<Shape>) -> Result<Tensor> {
        Ok(Tensor::from_candle(self.as_candle().broadcast_as(shape)?))
    }

    /// Inserts an axis of size 1.
    pub fn unsqueeze(&self, axis: usize) -> Result<Tensor> {
        Ok(Tensor::from_candle(self.as_candle().unsqueeze(axis)?))
    }

    /// Removes an axis of size 1.
    pub fn squeeze(&self, axis: usize) -> Result<Tensor> {
        Ok(Tensor::from_candle(self.as_candle().squeeze(axis)?))
    }

    /// Another element type.
    pub fn to_dtype(&self, dtype: DType) -> Result<Tensor> {
        Ok(Tensor::from_candle(self.as_candle().to_dtype(dtype)?))
    }

    /// Another device.
    pub fn to_device(&self, device: &Device) -> Result<Tensor> {
        Ok(Tensor::from_candle(
            self.as_candle().to_device(device.as_candle())?,
        ))
    }
}

/// Arithmetic.
impl Tensor {
    pairwise! {
        /// Matrix product of the last two axes; the others must agree.
        matmul,
        /// Sum of equal shapes.
        add,
        /// Difference of equal shapes.
        sub,
        /// Product of equal shapes.
        mul,
        /// Quotient of equal shapes.
        div,
        /// Sum with broadcasting.
        broadcast_add,
        /// Difference with broadcasting.
        broadcast_sub,
        /// Product with broadcasting.
        broadcast_mul,
        /// Quotient with broadcasting.
        broadcast_div,
        /// Larger of the two, with broadcasting; on a tie each side gets half of the gradient.
        broadcast_maximum,
        /// Smaller of the two, with broadcasting; on a tie each side gets half of the gradient.
        broadcast_minimum,
        /// 1 (u8) where less, with broadcasting.
        broadcast_lt,
        /// 1 (u8) where greater, with broadcasting.
        broadcast_gt,
        /// 1 (u8) where not greater, with broadcasting.
        broadcast_le,
        /// 1 (u8) where not less, with broadcasting.
        broadcast_ge
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
        Ok(Tensor::from_candle(self.as_candle().affine(mul, add)?))
    }

    /// x to a constant power.
    pub fn powf(&self, exponent: f64) -> Result<Tensor> {
        Ok(Tensor::from_candle(self.as_candle().powf(exponent)?))
    }

    /// Larger of x and a constant.
    pub fn maximum(&self, floor: f64) -> Result<Tensor> {
        Ok(Tensor::from_candle(self.as_candle().maximum(floor)?))
    }

    /// Smaller of x and a constant.
    pub fn minimum(&self, ceiling: f64) -> Result<Tensor> {
        Ok(Tensor::from_candle(self.as_candle().minimum(ceiling)?))
    }

    /// 1 (u8) where equal to a constant.
    pub fn eq(&self, value: f64) -> Result<Tensor> {
        Ok(Tensor::from_candle(self.as_candle().eq(value)?))
    }

    /// 1 (u8) where greater than a constant.
    pub fn gt(&self, value: f64) -> Result<Tensor> {
        Ok(Tensor::from_candle(self.as_candle().gt(value)?))
    }

    /// Sum over one axis, which stays with size 1.
    pub fn sum_keepdim(&self, axis: usize) -> Result<Tensor> {
        Ok(Tensor::from_candle(self.as_candle().sum_keepdim(axis)?))
    }

    /// Mean over one axis, which stays with size 1.
    pub fn mean_keepdim(&self, axis: usize) -> Result<Tensor> {
        Ok(Tensor::from_candle(self.as_candle().mean_keepdim(axis)?))
    }

    /// Largest over one axis, which stays with size 1.
    pub fn max_keepdim(&self, axis: usize) -> Result<Tensor> {
        Ok(Tensor::from_candle(self.as_candle().max_keepdim(axis)?))
    }

    /// Index (u32) of the largest over one axis, which goes.
    pub fn argmax(&self, axis: usize) -> Result<Tensor> {
        Ok(Tensor::from_candle(self.as_candle().argmax(axis)?))
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
        let chosen = self
            .as_candle()
            .where_cond(yes.as_candle(), no.as_candle())?;
        Ok(Tensor::from_candle(chosen))
    }

    /// Slices of `axis` at `indices` (u32 vector).
    pub fn index_select(&self, indices: &Tensor, axis: usize) -> Result<Tensor> {
        Ok(Tensor::from_candle(
            self.as_candle().index_select(indices.as_candle(), axis)?,
        ))
    }

    /// One element along `axis` for each place of `indices` (u32, same rank).
    pub fn gather(&self, indices: &Tensor, axis: usize) -> Result<Tensor> {
        Ok(Tensor::from_candle(
            self.as_candle().gather(indices.as_candle(), axis)?,
        ))
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

/// Gradients.
impl Tensor {
    /// The same values without history.
    pub fn detach(&self) -> Tensor {
        Tensor::from_candle(self.as_candle().detach())
    }

    /// Derivatives of the sum of all elements with respect to every [`Var`] that it was made from.
    pub fn backward(&self) -> Result<Gradients> {
        Ok(Gradients(self.as_candle().backward()?))
    }
}

/// A trainable leaf: its values can be replaced, and gradients arrive at it.
#[derive(Clone, Debug)]
pub struct Var {
    engine: candle_core::Var,
    tensor: Tensor,
}

impl Var {
    /// Takes over the values of `tensor`, without its history.
    pub fn new(tensor: Tensor) -> Result<Var> {
        let engine = candle_core::Var::from_tensor(&tensor.as_candle().contiguous()?)?;
        let tensor = Tensor::from_candle(engine.as_tensor().clone());
        Ok(Var { engine, tensor })
    }

    /// The current values, as a leaf that gradients arrive at.
    pub fn tensor(&self) -> &Tensor {
        &self.tensor
    }

    /// Replaces the values; same shape and type.
    pub fn set(&self, values: &Tensor) -> Result<()> {
        if values.dims() != self.tensor.dims() {
            return Err(Error::shape(
                "Var::set",
                format!("{:?}", self.tensor.dims()),
                values.dims(),
            ));
        }
        Ok(self.engine.set(values.as_candle())?)
    }

    /// The variable of the candle engine.
    pub fn as_candle(&self) -> &candle_core::Var {
        &self.engine
    }
}

/// What [`Tensor::backward`] found.
#[derive(Debug)]
pub struct Gradients(candle_core::backprop::GradStore);

impl Gradients {
    /// The gradient of `var`, of its shape and without history; `None` if the result does not depend on it.
    pub fn get(&self, var: &Var) -> Option<Tensor> {
        // candle's gradients keep a history of their own, which would hold on to every activation.
        self.0
            .get(var.engine.as_tensor())
            .map(|gradient| Tensor::from_candle(gradient.detach()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(values: &[f32]) -> Tensor {
        Tensor::from_vec(values.to_vec(), values.len(), &Device::cpu()).unwrap()
    }

    #[test]
    fn softmax_keeps_its_gradient() {
        let x = Var::new(row(&[0.1, -0.4, 1.3])).unwrap();
        let weights = row(&[1.0, 2.0, -1.0]);
        let loss = x
            .tensor()
            .softmax(0)
            .unwrap()
            .mul(&weights)
            .unwrap()
            .sum_all()
            .unwrap();
        let found = loss
            .backward()
            .unwrap()
            .get(&x)
            .unwrap()
            .to_vec1::<f32>()
            .unwrap();
        let p = x.tensor().softmax(0).unwrap().to_vec1::<f32>().unwrap();
        let mean = p[0] + 2.0 * p[1] - p[2];
        for (i, w) in [1.0, 2.0, -1.0].into_iter().enumerate() {
            assert!((found[i] - p[i] * (w - mean)).abs() < 1e-6, "{found:?}");
        }
    }

    #[test]
    fn shape_errors_print_both_sides() {
        let message = row(&[1.0, 2.0]).reshape((3, 1)).unwrap_err().to_string();
        assert!(
            message.contains("2 elements") && message.contains("[3, 1]"),
            "{message}"
        );
        let message = Tensor::from_vec(vec![0f32; 3], 4, &Device::cpu())
            .unwrap_err()
            .to_string();
        assert!(
            message.contains('3') && message.contains("[4]"),
            "{message}"
        );
        let message = row(&[1.0, 2.0]).add(&row(&[1.0])).unwrap_err().to_string();
        assert!(
            message.contains("[2]") && message.contains("[1]"),
            "{message}"
        );
    }

    #[test]
    fn a_variable_is_replaced_in_place_and_its_gradient_has_no_history() {
        let x = Var::new(row(&[1.0, 2.0])).unwrap();
        x.set(&row(&[3.0, 4.0])).unwrap();
        let gradients = x.tensor().sqr().unwrap().backward().unwrap();
        let gradient = gradients.get(&x).unwrap();
        assert_eq!(gradient.to_vec1::<f32>().unwrap(), [6.0, 8.0]);
        assert!(!gradient.tracked());
        let other = Var::new(row(&[1.0])).unwrap();
        assert!(gradients.get(&other).is_none());
    }

    #[test]
    fn embedding_gathers_rows_and_scatters_gradients() {
        let table = Var::new(
            Tensor::from_vec(vec![1f32, 2., 3., 4., 5., 6.], (3, 2), &Device::cpu()).unwrap(),
        )
        .unwrap();
        let ids = Tensor::from_vec(vec![2u32, 0, 2], (3, 1), &Device::cpu()).unwrap();
        let rows = table.tensor().embedding(&ids).unwrap();
        assert_eq!(rows.dims(), [3, 1, 2]);
        assert_eq!(rows.to_flat::<f32>().unwrap(), [5., 6., 1., 2., 5., 6.]);
        let gradient = rows.backward().unwrap().get(&table).unwrap();
        assert_eq!(gradient.to_flat::<f32>().unwrap(), [1., 1., 0., 0., 2., 2.]);
    }
}
