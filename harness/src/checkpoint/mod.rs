//! Weights on disk: our own training state, and pretrained checkpoints as Hugging Face lays them out.

mod arch;
pub mod config;
pub mod decoder;
pub mod ends;
pub mod files;
mod forward;
mod frozen;
pub mod generate;
pub mod header;
pub mod hub;
pub mod keys;
mod known_keys;
pub mod layout;
pub mod passkey;
pub mod perplexity;
mod reading;
mod recompute;
mod restated;
mod rope;
mod rope_block;
pub mod save;
pub mod scheme;
mod scores;
mod state;
mod strict;
pub mod text;
mod tune;
pub mod weights;

pub use state::{Loaded, MOMENTS, Owner, load, not_finite, save, tell};
