//! Executes positional-encoding plans inside attention, forward and backward.
//!
//! This crate defines what a positional encoding *can do* to a decoder ([`plan::Plan`], [`expr::Expr`]) and carries it
//! out on a device. It knows no scheme by name, no token id, no loss, no file and no config.

pub mod device;
pub mod error;
pub mod expr;
pub mod plan;
pub mod tensor;

pub use device::{Device, DeviceSpec};
pub use error::{Error, Result};
pub use tensor::{DType, Gradients, Shape, Tensor, Var};
