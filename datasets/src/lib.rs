//! Text and tasks as token ids: corpora, tokenizers, task generators, scorers.
//!
//! Two sources of windows for a language model that reads `len` tokens and predicts `len` targets:
//!
//! - [`TextData`]: real text (the project's own dependencies, text files, JSON Lines, Parquet), split into training,
//!   validation and test parts by whole documents, or whole packages of them;
//! - [`tasks`]: made from a seed.
//!
//! And one of prompts in words, for models that were trained on text: [`words`].
//!
//! Every draw is a pure function of a seed, a label and an index ([`rng::Stream`]), so that a training can stop and go
//! on at any step, and models that are compared see the same windows in the same order. This crate knows no models
//! and no tensors.
//!
//! ```
//! use farspan_datasets::tasks::{passkey::Passkey, train_batch};
//!
//! let task = Passkey::default();
//! let batch = train_batch(&task, 0, 1000, 32, 64);
//! assert_eq!((32, 64), (batch.rows, batch.len));
//! // The same step again, in any order, is the same batch.
//! assert_eq!(batch, train_batch(&task, 0, 1000, 32, 64));
//! ```

mod batch;
mod bpe;
mod cache;
mod config;
mod corpus;
mod error;
pub mod foreign;
mod overlap;
mod parallel;
mod part;
pub mod rng;
mod split;
pub mod tasks;
mod text;
mod tokenizer;
mod tokenizer_file;
pub mod words;

pub use batch::Batch;
pub use config::{DataConfig, NamedCorpus, TokenizerConfig};
pub use error::DataError;
pub use text::{PartInfo, Segment, TextData};
pub use tokenizer_file::{Around, TokenizerFile, Tokens};
