//! Executes positional-encoding plans inside attention, forward and backward.
//!
//! This crate defines what a positional encoding *can do* to a decoder ([`plan::Plan`], [`expr::Expr`]) and carries it
//! out on a device. It knows no scheme by name, no token id, no loss, no file and no config.

pub mod expr;
pub mod plan;
