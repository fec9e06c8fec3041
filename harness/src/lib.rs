//! Farspan: what does a positional encoding do past the length it was trained on?
//!
//! The harness is the only crate that knows the whole story: config → dataset → model → train → evaluate → results →
//! report. It knows no scheme's formula and no scheme by name.

pub mod bench;
pub mod cell;
pub mod checkpoint;
pub mod cli;
pub mod config;
mod error;
pub mod grid;
pub mod machine;
pub mod measure;
pub mod model;
pub mod origin;
mod program;
pub mod report;
pub mod scheme;
pub mod search;
pub mod source;
pub mod standard;
pub mod teacher;
pub mod train;

pub use error::{Error, Result};
pub use program::Allocator;
pub use {
    farspan_attention as attention, farspan_datasets as datasets, farspan_pe as pe,
    farspan_reports as reports,
};
