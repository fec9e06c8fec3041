//! Fused attention on the CPU, f32 or bf16 with all sums in f32, forward and backward: memory linear in length, work
//! only where the mask lets pairs through, every gradient (queries, keys, values, learned parameters, token vectors)
//! from one sweep.
//!
//! A weight below e⁻⁷⁰ of the largest of its row counts as 0, which no sum of f32 can tell from it; tiles in which
//! a bias leaves no other weights are not looked at.
//!
//! bf16 inputs are converted row by row as they are read; output and gradients of inputs are rounded to bf16 at the end.
//!
//! Jobs are (batch entry, key/value head); sums across jobs are taken in order, so results do not depend on the number
//! of threads. Like `composed`, and unlike `naive`, a NaN in a key or value that the mask hides may reach queries whose
//! tile holds it.

mod backward;
mod compile;
mod formed;
mod forward;
mod heads;
mod lanes;
mod matrix;
mod network;
mod node;
mod op;
mod product;
mod program;
mod reflect;
mod rotate;
mod rowwise;
mod scan;
mod scratch;
mod shape;
mod sizes;
mod sublayer;
mod tile;
mod values;
mod view;
mod votes;
mod weightless;

pub(crate) use compile::Compiled;
pub(crate) use heads::attend as heads;
pub(crate) use op::{attend, attend_packed};
pub(crate) use reflect::attend as reflect;
pub(crate) use sublayer::sublayer;
pub(crate) use votes::attend as votes;

pub use crate::choice::supports;

#[cfg(test)]
mod tests;
