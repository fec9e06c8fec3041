//! Text and tasks as token ids: corpora, tokenizers, task generators, scorers.
//!
//! Two sources of windows for a language model that reads `len` tokens and predicts `len` targets:
//!
//! - [`TextData`]: real text (the project's own dependencies, text files, JSON Lines, Parquet), split into training,
//!   validation and test parts by whole documents, or whole packages of them;
//! - [`tasks`]: made from a seed: retrieval, recall, tracking of state, strings and sums, a language whose useful context is
//!   known. [`tasks::BUILTIN`] lists them.
//!
//! And one of prompts in words, for models that were trained on text: [`words`].
//!
//! Every draw is a pure function of a seed, a label and an index ([`rng::Stream`]), so that a training can stop and go
//! on at any step, and models that are compared see the same windows in the same order. This crate knows no models
//! and no tensors.
//!
//! ```
//! use farspan_datasets::tasks::{Point, find, grid, score, train_batch};
//!
//! let settings = serde_json::json!({ "keys": 1, "hay": "noise" });
//! let task = find("needle").expect("a task of the list").parse(settings)?;
//! let batch = train_batch(&*task, 0, 1000, 32, 64);
//! assert_eq!((32, 64), (batch.rows, batch.len));
//! // The same step again, in any order, is the same batch.
//! assert_eq!(batch, train_batch(&*task, 0, 1000, 32, 64));
//!
//! // Eight prompts at four times the length, the needle in the middle, and what a model that is always right scores.
//! let point = Point { length: 256, at: vec![0.5] };
//! let asked = grid(&*task, 0, &point, 8);
//! let trials = score(task.card().rule, &asked.examples, 256, &asked.batch.targets);
//! assert!(trials.iter().all(|trial| trial.right == trial.asked));
//! # Ok::<(), farspan_datasets::DataError>(())
//! ```

mod batch;
mod bpe;
mod cache;
mod config;
mod corpus;
mod error;
pub mod foreign;
mod line;
mod overlap;
mod parallel;
mod part;
pub mod rng;
mod settings;
mod split;
pub mod tasks;
mod text;
mod tokenizer;
mod tokenizer_file;
pub mod words;

pub use batch::{Batch, Documents};
pub use config::{DataConfig, NamedCorpus, Packed, TokenizerConfig};
pub use error::DataError;
pub use text::{PartInfo, Segment, TextData};
pub use tokenizer_file::{Around, TokenizerFile, Tokens};
