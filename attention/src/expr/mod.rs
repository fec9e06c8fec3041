//! `Expr`: the closed language in which a scheme says how a score depends on positions.
//!
//! An expression turns the raw scores of one (query, key) pair into the score that softmax sees. Scores are in units
//! **after** 1/√head_dim: an implementation that adds its bias before the factor writes `bias / √head_dim` here.
//! It has one scalar meaning in f64 ([`eval`](Expr::eval)), and every kernel is a lowering that must agree with it.
//!
//! A new operation needs two schemes that use it and one line in each lowering.

pub mod analysis;
pub mod eval;
mod grad;
mod parse;
mod print;
mod simplify;
mod size;
mod tree;

pub use analysis::{Interval, Tile};
pub use eval::{Env, ParamValues, TokenValues};
pub use grad::Partials;
pub use parse::{ParseError, is_name};
pub use tree::{
    Binary, Expr, Side, Unary, distance, lookup, number, param, raw, select_less, shared_lookup,
};
