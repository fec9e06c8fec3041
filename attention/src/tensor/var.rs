//! Trainable leaves, and gradients that arrive at them.

use super::{Engine, Tensor};
use crate::gpu::{Traced, tape};
use crate::tensor::leaf;
use crate::{Error, Result};

/// Gradients.
impl Tensor {
    /// The same values without history.
    pub fn detach(&self) -> Tensor {
        match &self.0 {
            Engine::Candle(tensor) => Tensor::from_candle(tensor.detach()),
            Engine::Guest(tensor, home) => Tensor(Engine::Guest(tensor.detach(), home.clone())),
            Engine::Gpu(traced, _) => Tensor::from_traced(traced.detach()),
        }
    }

    /// Derivatives of the sum of all elements with respect to every [`Var`] that it was made from.
    pub fn backward(&self) -> Result<Gradients> {
        match &self.0 {
            Engine::Candle(tensor) => Ok(Gradients(Found::Candle(leaf::backward(tensor)?))),
            Engine::Guest(_, home) => match home.context() {
                Some(_) => self.to_dtype(super::DType::F32)?.backward(),
                None => Err(Error::expr("a guest has a home")),
            },
            Engine::Gpu(traced, _) => Ok(Gradients(Found::Gpu(traced.backward()?))),
        }
    }
}

/// A trainable leaf: its values can be replaced, and gradients arrive at it.
#[derive(Clone, Debug)]
pub struct Var {
    leaf: Leaf,
    tensor: Tensor,
}

#[derive(Clone, Debug)]
enum Leaf {
    Candle(candle_core::Var),
    Gpu(Traced),
}

impl Var {
    /// Takes over the values of `tensor`, without its history. On a GPU they are f32.
    pub fn new(tensor: Tensor) -> Result<Var> {
        match &tensor.0 {
            Engine::Candle(tensor) => {
                let leaf = candle_core::Var::from_tensor(&tensor.contiguous()?)?;
                let tensor = Tensor::from_candle(leaf.as_tensor().clone());
                let leaf = Leaf::Candle(leaf);
                Ok(Var { leaf, tensor })
            }
            Engine::Guest(tensor, _) => Err(Error::Argument {
                what: "Var::new",
                expected: "f32 values on a GPU".into(),
                found: tensor.dtype().as_str().into(),
            }),
            Engine::Gpu(traced, _) => {
                let leaf = Traced::variable(traced.array())?;
                let tensor = Tensor::from_traced(leaf.clone());
                let leaf = Leaf::Gpu(leaf);
                Ok(Var { leaf, tensor })
            }
        }
    }

    /// The current values, as a leaf that gradients arrive at.
    pub fn tensor(&self) -> &Tensor {
        &self.tensor
    }

    /// Replaces the values; same shape, type and device.
    pub fn set(&self, values: &Tensor) -> Result<()> {
        if values.dims() != self.tensor.dims() {
            return Err(Error::shape(
                "Var::set",
                format!("{:?}", self.tensor.dims()),
                values.dims(),
            ));
        }
        match (&self.leaf, &values.0) {
            (Leaf::Candle(leaf), Engine::Candle(values)) => Ok(leaf.set(values)?),
            (Leaf::Gpu(leaf), Engine::Gpu(values, _)) => leaf.assign(values.array()),
            _ => Err(Error::Argument {
                what: "Var::set",
                expected: format!("values on {}", self.tensor.device()),
                found: format!("values on {}", values.device()),
            }),
        }
    }

    /// The variable of the candle engine; `None` on a GPU.
    pub fn as_candle(&self) -> Option<&candle_core::Var> {
        match &self.leaf {
            Leaf::Candle(leaf) => Some(leaf),
            Leaf::Gpu(_) => None,
        }
    }
}

/// What [`Tensor::backward`] found.
#[derive(Debug)]
pub struct Gradients(Found);

#[derive(Debug)]
enum Found {
    Candle(candle_core::backprop::GradStore),
    Gpu(tape::Gradients),
}

impl Gradients {
    /// The gradient of `var`, of its shape and without history; `None` if the result does not depend on it.
    pub fn get(&self, var: &Var) -> Option<Tensor> {
        match (&self.0, &var.leaf) {
            // candle's gradients keep a history of their own, which would hold on to every activation.
            (Found::Candle(found), Leaf::Candle(leaf)) => found
                .get(leaf.as_tensor())
                .map(|gradient| Tensor::from_candle(gradient.detach())),
            (Found::Gpu(found), Leaf::Gpu(leaf)) => {
                let gradient = found.get(leaf)?;
                Some(Tensor::from_traced(Traced::constant(gradient.clone())))
            }
            _ => None,
        }
    }
}
