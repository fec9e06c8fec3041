//! Tensors of another element type, and on another device.

use super::{Tensor, engine, engine::Engine};
use super::{guest, no_such_type};
use crate::Error;
use crate::device::Place;
use crate::{DType, Device, Result};

/// Element types and devices.
impl Tensor {
    /// Another element type. On a GPU, u8 stays u32.
    pub fn to_dtype(&self, dtype: DType) -> Result<Tensor> {
        match &self.0 {
            Engine::Candle(tensor) => Ok(Tensor::from_candle(tensor.to_dtype(dtype)?)),
            Engine::Guest(tensor, home) => {
                let cast = tensor.to_dtype(dtype)?;
                match (dtype, home.context()) {
                    (DType::F32 | DType::U32, Some(context)) => {
                        Ok(Tensor::from_traced(guest::leave(&cast, home, context)?))
                    }
                    _ => Ok(Tensor(Engine::Guest(cast, home.clone()))),
                }
            }
            Engine::Gpu(traced, _) => match dtype {
                DType::F32 => Ok(Tensor::from_traced(traced.to_real()?)),
                DType::U32 | DType::U8 => Ok(Tensor::from_traced(traced.to_whole()?)),
                DType::F64 => self.to_host()?.to_dtype(DType::F64),
                _ => Err(no_such_type(dtype)),
            },
        }
    }

    /// Another device. History goes along between devices of candle; to or from a GPU a tensor must have none.
    pub fn to_device(&self, device: &Device) -> Result<Tensor> {
        match (&self.0, device.place()) {
            (Engine::Candle(tensor), Place::Candle(device)) => {
                Ok(Tensor::from_candle(tensor.to_device(device)?))
            }
            _ => self.carried_to(device),
        }
    }

    /// [`to_device`](Tensor::to_device) to or from a GPU, through the processor.
    fn carried_to(&self, device: &Device) -> Result<Tensor> {
        if self.device() == *device {
            return Ok(self.clone());
        }
        if self.tracked() {
            return Err(Error::Argument {
                what: "Tensor::to_device",
                expected: format!("a tensor without history, to go to {device}"),
                found: format!("one on {} that gradients flow through", self.device()),
            });
        }
        let values = self.read()?.to_device(&candle_core::Device::Cpu)?;
        if let Place::Candle(device) = device.place() {
            return Ok(Tensor::from_candle(values.to_device(device)?));
        }
        let flat = values.flatten_all()?;
        match values.dtype() {
            DType::F32 => Tensor::from_vec(flat.to_vec1::<f32>()?, values.shape(), device),
            DType::F64 => Tensor::from_vec(flat.to_vec1::<f64>()?, values.shape(), device),
            DType::U32 => Tensor::from_vec(flat.to_vec1::<u32>()?, values.shape(), device),
            DType::U8 => Tensor::from_vec(flat.to_vec1::<u8>()?, values.shape(), device),
            other => Err(no_such_type(other)),
        }
    }

    /// Itself as a tensor that the processor computes with. One of a GPU still belongs to its device: results go back
    /// when they are cast to f32 or u32, and gradients with them.
    pub(crate) fn to_host(&self) -> Result<Tensor> {
        match &self.0 {
            Engine::Candle(tensor) => {
                let cpu = candle_core::Device::Cpu;
                Ok(Tensor::from_candle(tensor.to_device(&cpu)?))
            }
            Engine::Guest(..) => Ok(self.clone()),
            Engine::Gpu(traced, _) => {
                let (tensor, home) = guest::visit(traced)?;
                Ok(Tensor(Engine::Guest(tensor, home)))
            }
        }
    }

    /// An operation of the processor's own on a tensor from [`to_host`](Tensor::to_host).
    pub(crate) fn on_host(
        &self,
        operation: impl FnOnce(&candle_core::Tensor) -> candle_core::Result<candle_core::Tensor>,
    ) -> Result<Tensor> {
        let ([x], home) = engine::on_host([self])?;
        Ok(Tensor::at_home(operation(&x)?, home))
    }
}
