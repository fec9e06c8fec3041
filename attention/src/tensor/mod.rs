//! `Tensor`: one type for every engine, under candle's own method names.
//!
//! Two engines: candle on the processor, and [`gpu`](crate::gpu) for other devices. All operations here keep
//! gradients: those of candle-nn that lose them in silence are not used.

mod arithmetic;
mod engine;
mod guest;
pub(crate) mod leaf;
mod moving;
#[cfg(test)]
mod tests;
mod var;

use crate::device::Place;
use crate::{Device, Error, Result};
pub use candle_core::{DType, Shape, WithDType};
pub(crate) use engine::on_gpu;
use engine::{Engine, Home, candles, operation};
pub use var::{Gradients, Var};
use {
    crate::gpu::{Array, Kind, Traced},
    candle_core::CpuStorage,
};

/// An n-dimensional array on a device, with the history needed to differentiate it. Cheap to clone.
///
/// A GPU computes in f32 and u32; conditions are u32 there. f64 tensors of such a device are computed on the
/// processor, and go back when they are cast to f32.
#[derive(Clone, Debug)]
pub struct Tensor(Engine);

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
        match device.place() {
            Place::Candle(device) => Ok(Tensor::from_candle(candle_core::Tensor::from_vec(
                data, shape, device,
            )?)),
            Place::Gpu(context) => match T::to_cpu_storage_owned(data) {
                CpuStorage::F32(data) => {
                    Array::from_f32(context, &data, shape.dims()).map(Tensor::constant)
                }
                CpuStorage::U32(data) => {
                    Array::from_u32(context, &data, shape.dims()).map(Tensor::constant)
                }
                CpuStorage::U8(data) => {
                    let data: Vec<u32> = data.into_iter().map(u32::from).collect();
                    Array::from_u32(context, &data, shape.dims()).map(Tensor::constant)
                }
                CpuStorage::F64(data) => {
                    let cpu = candle_core::Device::Cpu;
                    let tensor = candle_core::Tensor::from_vec(data, shape, &cpu)?;
                    Ok(Tensor(Engine::Guest(tensor, Home::of(context))))
                }
                _ => Err(no_such_type(T::DTYPE)),
            },
        }
    }

    /// `values` as a float type, cast last.
    pub(crate) fn from_numbers(
        values: &[f64],
        shape: &[usize],
        dtype: DType,
        device: &Device,
    ) -> Result<Tensor> {
        match dtype {
            DType::F64 => Tensor::from_vec(values.to_vec(), shape, device),
            _ => {
                let values: Vec<f32> = values.iter().map(|&x| x as f32).collect();
                Tensor::from_vec(values, shape, device)?.to_dtype(dtype)
            }
        }
    }

    /// f32 zeros.
    pub fn zeros(shape: impl Into<Shape>, device: &Device) -> Result<Tensor> {
        Tensor::full(0f32, shape, device)
    }

    /// f32 ones.
    pub fn ones(shape: impl Into<Shape>, device: &Device) -> Result<Tensor> {
        Tensor::full(1f32, shape, device)
    }

    /// The same value everywhere.
    pub fn full<T: WithDType>(
        value: T,
        shape: impl Into<Shape>,
        device: &Device,
    ) -> Result<Tensor> {
        let shape = shape.into();
        match device.place() {
            Place::Candle(device) => Ok(Tensor::from_candle(candle_core::Tensor::full(
                value, shape, device,
            )?)),
            Place::Gpu(context) if T::DTYPE == DType::F32 => {
                let value = value.to_f64() as f32;
                Array::full(context, value, shape.dims()).map(Tensor::constant)
            }
            Place::Gpu(_) => Tensor::from_vec(vec![value; shape.elem_count()], shape, device),
        }
    }

    /// Zeros of this shape, type and device.
    pub fn zeros_like(&self) -> Result<Tensor> {
        operation!([self] as [x], candle x.zeros_like()?, gpu {
            let context = x.array().context();
            match x.array().kind() {
                Kind::F32 => Traced::zeros(context, x.dims())?,
                Kind::U32 => {
                    let zeros = vec![0; x.array().count()];
                    Traced::constant(Array::from_u32(context, &zeros, x.dims())?)
                }
            }
        })
    }

    /// Joins along `dim`.
    pub fn cat(parts: &[&Tensor], dim: usize) -> Result<Tensor> {
        if let Some(parts) = engine::traced(parts)?
            && !parts.is_empty()
        {
            return Ok(Tensor::from_traced(Traced::cat(&parts, dim)?));
        }
        let (parts, home) = candles(parts)?;
        Ok(Tensor::at_home(
            candle_core::Tensor::cat(&parts, dim)?,
            home,
        ))
    }

    /// Wraps a candle tensor, history included.
    pub fn from_candle(tensor: candle_core::Tensor) -> Tensor {
        Tensor(Engine::Candle(tensor))
    }

    /// The candle tensor, history included; `None` on a GPU.
    pub fn as_candle(&self) -> Option<&candle_core::Tensor> {
        match &self.0 {
            Engine::Candle(tensor) => Some(tensor),
            Engine::Guest(..) | Engine::Gpu(..) => None,
        }
    }

    /// The same for a kernel that knows candle's tensors only.
    pub(crate) fn candle(&self) -> Result<&candle_core::Tensor> {
        self.as_candle().ok_or_else(|| Error::Argument {
            what: "a kernel of the processor",
            expected: "tensors on cpu".into(),
            found: format!("one on {}", self.device()),
        })
    }

    /// What candle made of inputs that belong to `home`.
    fn at_home(tensor: candle_core::Tensor, home: Home) -> Tensor {
        match home.spec() {
            None => Tensor(Engine::Candle(tensor)),
            Some(_) => Tensor(Engine::Guest(tensor, home)),
        }
    }

    /// Wraps a traced array of a GPU, history included.
    pub fn from_traced(traced: Traced) -> Tensor {
        let shape = Shape::from(traced.dims());
        Tensor(Engine::Gpu(traced, shape))
    }

    /// The traced array of a GPU, history included; `None` on other devices.
    pub fn as_traced(&self) -> Option<&Traced> {
        match &self.0 {
            Engine::Gpu(traced, _) => Some(traced),
            Engine::Candle(_) | Engine::Guest(..) => None,
        }
    }

    fn constant(array: Array) -> Tensor {
        Tensor::from_traced(Traced::constant(array))
    }
}

/// No GPU has numbers of this type.
fn no_such_type(dtype: DType) -> Error {
    Error::Argument {
        what: "a tensor on a GPU",
        expected: "f32, f64, u32 or u8 elements".into(),
        found: dtype.as_str().into(),
    }
}

/// Looking at tensors.
impl Tensor {
    /// Sizes of the axes.
    pub fn dims(&self) -> &[usize] {
        self.shape().dims()
    }

    /// Sizes of the axes, as a value.
    pub fn shape(&self) -> &Shape {
        match &self.0 {
            Engine::Candle(tensor) => tensor.shape(),
            Engine::Guest(tensor, _) => tensor.shape(),
            Engine::Gpu(_, shape) => shape,
        }
    }

    /// Size of one axis.
    pub fn dim(&self, axis: usize) -> Result<usize> {
        match self.dims().get(axis) {
            Some(size) => Ok(*size),
            None => {
                let expected = format!("one with axis {axis}");
                Err(Error::shape("Tensor::dim", expected, self.dims()))
            }
        }
    }

    /// Sizes of a tensor of rank 2.
    pub fn dims2(&self) -> Result<(usize, usize)> {
        Ok(self.shape().dims2()?)
    }

    /// Sizes of a tensor of rank 3.
    pub fn dims3(&self) -> Result<(usize, usize, usize)> {
        Ok(self.shape().dims3()?)
    }

    /// Sizes of a tensor of rank 4.
    pub fn dims4(&self) -> Result<(usize, usize, usize, usize)> {
        Ok(self.shape().dims4()?)
    }

    /// Number of axes.
    pub fn rank(&self) -> usize {
        self.dims().len()
    }

    /// Number of elements.
    pub fn elem_count(&self) -> usize {
        self.shape().elem_count()
    }

    /// Element type.
    pub fn dtype(&self) -> DType {
        match &self.0 {
            Engine::Candle(tensor) => tensor.dtype(),
            Engine::Guest(tensor, _) => tensor.dtype(),
            Engine::Gpu(traced, _) => match traced.array().kind() {
                Kind::F32 => DType::F32,
                Kind::U32 => DType::U32,
            },
        }
    }

    /// Where it lives.
    pub fn device(&self) -> Device {
        match &self.0 {
            Engine::Candle(_) => Device::cpu(),
            Engine::Guest(_, home) => match home.context() {
                Some(context) => Device::from_context(context),
                None => Device::cpu(),
            },
            Engine::Gpu(traced, _) => Device::from_context(traced.array().context()),
        }
    }

    /// Whether a gradient can flow back from it into some [`Var`].
    pub fn tracked(&self) -> bool {
        match &self.0 {
            Engine::Candle(tensor) => tensor.track_op(),
            Engine::Guest(tensor, _) => tensor.track_op(),
            Engine::Gpu(traced, _) => traced.tracked(),
        }
    }

    /// Its values on the processor, without history.
    fn read(&self) -> Result<candle_core::Tensor> {
        match &self.0 {
            Engine::Candle(tensor) => Ok(tensor.detach()),
            Engine::Guest(tensor, _) => Ok(tensor.detach()),
            Engine::Gpu(traced, _) => Ok(guest::visit(&traced.detach())?.0),
        }
    }

    /// The only element.
    pub fn to_scalar<T: WithDType>(&self) -> Result<T> {
        Ok(self.read()?.to_scalar()?)
    }

    /// The elements of a vector.
    pub fn to_vec1<T: WithDType>(&self) -> Result<Vec<T>> {
        Ok(self.read()?.to_vec1()?)
    }

    /// The elements of a matrix.
    pub fn to_vec2<T: WithDType>(&self) -> Result<Vec<Vec<T>>> {
        Ok(self.read()?.to_vec2()?)
    }

    /// All elements in row-major order.
    pub fn to_flat<T: WithDType>(&self) -> Result<Vec<T>> {
        Ok(self.read()?.flatten_all()?.to_vec1()?)
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
        operation!([self] as [x], candle x.reshape(shape)?, gpu x.reshape(shape.dims())?)
    }

    /// Swaps two axes, without moving data.
    pub fn transpose(&self, a: usize, b: usize) -> Result<Tensor> {
        operation!([self] as [x], candle x.transpose(a, b)?, gpu x.transpose(a, b)?)
    }

    /// Swaps the last two axes, without moving data.
    pub fn t(&self) -> Result<Tensor> {
        let rank = self.rank();
        if rank < 2 {
            return Err(Error::shape("Tensor::t", "two axes or more", self.dims()));
        }
        self.transpose(rank - 2, rank - 1)
    }

    /// `len` elements of `axis` from `start`.
    pub fn narrow(&self, axis: usize, start: usize, len: usize) -> Result<Tensor> {
        operation!([self] as [x], candle x.narrow(axis, start, len)?, gpu x.narrow(axis, start, len)?)
    }

    /// Row-major in memory; a copy only if it is not yet.
    pub fn contiguous(&self) -> Result<Tensor> {
        operation!([self] as [x], candle x.contiguous()?, gpu x.contiguous()?)
    }

    /// Repeats axes of size 1, without moving data.
    pub fn broadcast_as(&self, shape: impl Into<Shape>) -> Result<Tensor> {
        let shape = shape.into();
        operation!([self] as [x], candle x.broadcast_as(shape)?, gpu x.broadcast_as(shape.dims())?)
    }

    /// Inserts an axis of size 1.
    pub fn unsqueeze(&self, axis: usize) -> Result<Tensor> {
        operation!([self] as [x], candle x.unsqueeze(axis)?, gpu x.unsqueeze(axis)?)
    }

    /// Removes an axis of size 1.
    pub fn squeeze(&self, axis: usize) -> Result<Tensor> {
        operation!([self] as [x], candle x.squeeze(axis)?, gpu x.squeeze(axis)?)
    }
}
