//! Executes positional-encoding plans inside attention, forward and backward.
//!
//! This crate defines what a positional encoding *can do* to a decoder ([`plan::Plan`], [`expr::Expr`]) and carries it
//! out on a device. It knows no scheme by name, no token id, no loss, no file and no config.
//!
//! ```
//! use farspan_attention::attend::{Implementation, Mask, Params, attend};
//! use farspan_attention::plan::{Geometry, Init, Pairing, ParamSpec, Plan, QkRotation};
//! use farspan_attention::prepared::Prepared;
//! use farspan_attention::{Device, Tensor, Var};
//!
//! // Rotations, and a learned penalty that grows with the logarithm of the distance.
//! let plan = Plan {
//!     rotations: vec![QkRotation::rotary(vec![1.0, 0.01], 1.0, Pairing::HalfSplit)],
//!     score: "raw - slope[h] * log1p(max(q - k, 0))".parse()?,
//!     params: vec![ParamSpec {
//!         name: "slope".into(),
//!         shape: vec![2],
//!         init: Init::Constant(0.5),
//!         learned: true,
//!         per_layer: false,
//!         clamp: Some((0.0, 10.0)),
//!     }],
//!     ..Plan::default()
//! };
//! let model = Geometry { layers: 1, width: 8, heads: 2, kv_heads: 1, head_dim: 4, trained_length: 16 };
//! let device = Device::cpu();
//! let prepared = Prepared::new(&plan, &model, 0..3, 0..3, &device)?;
//!
//! let ramp = |n: usize| (0..n).map(|i| (i as f32 * 0.7).sin()).collect::<Vec<f32>>();
//! let q = Tensor::from_vec(ramp(2 * 3 * 4), (1, 2, 3, 4), &device)?;
//! let k = Tensor::from_vec(ramp(3 * 4), (1, 1, 3, 4), &device)?;
//! let v = Tensor::from_vec(ramp(3 * 4), (1, 1, 3, 4), &device)?;
//! let slope = Var::new(Tensor::from_vec(vec![0.5f32, 0.5], 2, &device)?)?;
//! let params = Params::from([("slope".to_string(), slope.tensor().clone())]);
//!
//! let attended = attend(&q, &k, &v, &prepared, &params, &Mask::causal(), Implementation::Auto)?;
//! assert_eq!(attended.output.dims(), [1, 2, 3, 4]);
//! let gradients = attended.output.sqr()?.sum_all()?.backward()?;
//! assert_eq!(gradients.get(&slope).map(|g| g.dims().to_vec()), Some(vec![2]));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod attend;
pub mod bench;
mod blocks;
mod call;
mod choice;
mod composed;
pub mod device;
pub mod embed;
pub mod error;
pub mod expr;
pub mod form;
pub mod fused;
mod geometry;
pub mod gpu;
pub mod hook;
mod implementation;
mod locked;
pub mod mask;
pub mod naive;
mod naive_op;
pub mod ops;
pub mod optim;
mod params;
pub mod plan;
pub mod prepared;
pub mod residual;
pub mod scalar;
mod score;
mod span;
mod spec;
pub mod tables;
pub mod tensor;
mod tokens;

#[cfg(test)]
mod equality;
#[cfg(test)]
mod testing;

pub use device::{Device, DeviceSpec, Precision, Traffic};
pub use error::{Error, Result};
pub use tensor::{DType, Gradients, Shape, Tensor, Var};
