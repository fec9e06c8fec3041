//! The result schema: what one cell of a run measured, as plain data.
//!
//! A *cell* is one model state that is evaluated: a scheme trained from scratch, the same weights read under an
//! extension without further training, or the extension after fine-tuning. `result.json` of a cell is a [`CellRecord`];
//! it holds nothing that depends on the clock, the number of jobs or interruptions, so that a resumed run ends with
//! the same bytes. Times and memory live beside it in `cost.json` ([`Cost`]).
//!
//! Every sample that entered a number is kept, so that intervals and paired
//! differences can be computed later without the model.

mod measure;
pub mod non_finite;
mod plan;
mod status;

pub use measure::*;
pub use plan::{PlannedCell, RunPlan};
pub use status::{Activity, Phase, State, Status};

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Version of every file in a run folder. Readers refuse a newer one by name. A part of every cell's identity: a run is
/// gone on with under the version that it was begun under.
///
/// 2: every file that a number is read from carries its hash. 3: a cell's config holds its whole decoder and what it reads.
/// 4: a cell holds records of measures in place of a field for each. Runs of earlier versions can be read; what they
/// measured is brought into this form.
pub const SCHEMA_VERSION: u32 = 4;

/// The first version whose files carry their hash.
pub const FIRST_SEALED: u32 = 2;

/// What was done to reach the evaluated weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// Trained from scratch under the scheme itself.
    Trained,
    /// A base's weights, read under an extension, with no further training.
    ZeroShot,
    /// A base's weights, fine-tuned under the extension.
    FineTuned,
}

/// Who was measured. Everything a page needs to label a curve; nothing here is looked up elsewhere.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SchemeRecord {
    /// The name the user gave it in the config (`yarn-x4`); with the stage it labels a curve.
    pub name: String,
    /// The registry id (`yarn`).
    pub id: String,
    /// Full name (`YaRN`).
    pub title: String,
    /// Family, for grouping (`rotary`, `bias`, `absolute`, `none`).
    pub family: String,
    /// One sentence: the idea.
    pub idea: String,
    /// Where it was published (`Peng et al. 2023, arXiv 2309.00071, section 3.4`).
    pub paper: String,
    /// All settings, defaults filled in.
    pub settings: Value,
    /// The score as text, as the plan prints it at the trained length.
    pub formula: String,
    /// The same for LaTeX.
    pub latex: String,
    /// The config name of the scheme whose weights were taken, for extensions.
    pub base: Option<String>,
    /// What was done to reach the weights.
    pub stage: Stage,
}

/// The decoder that was trained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelRecord {
    /// The preset (`d4`), if one was used.
    pub size: Option<String>,
    /// Number of layers.
    pub layers: usize,
    /// Width of the residual stream.
    pub width: usize,
    /// Query heads.
    pub heads: usize,
    /// Key/value heads.
    pub kv_heads: usize,
    /// Channels of a head.
    pub head_dim: usize,
    /// Hidden width of the SwiGLU block.
    pub hidden: usize,
    /// Vocabulary size.
    pub vocab: usize,
    /// All learned numbers, the scheme's included.
    pub parameters: u64,
    /// Learned numbers that belong to the scheme.
    pub scheme_parameters: u64,
    /// What a reader of the numbers should know of a pretrained model: doubts about its config, and what was read
    /// against advice.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// How the weights came to be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrainRecord {
    /// Tokens per training window.
    pub length: usize,
    /// Windows per step.
    pub batch: usize,
    /// Steps of the last stage (0 for a zero-shot cell).
    pub steps: u64,
    /// Steps of the base before that (0 if trained from scratch).
    pub base_steps: u64,
    /// blake3 of the base's weights that this began with; absent without a base that was trained in the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_weights: Option<String>,
    /// Peak learning rate.
    pub lr: f64,
    /// What else was done in training, in sentences: mixed lengths, masked inputs, a teacher, stages of a fine-tuning, what the
    /// scheme added to the loss.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recipe: Vec<String>,
    /// Training tokens of the last stage.
    pub tokens: u64,
    /// (step, mean training loss in nats per scored token since the point before).
    pub curve: Vec<(u64, f64)>,
    /// (step, validation loss in nats per scored token on a fixed set of windows at the trained length).
    pub validation: Vec<(u64, f64)>,
}

/// What was read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DataRecord {
    /// In words (`cargo: 212 files, 14.1 MB`).
    pub description: String,
    /// blake3 of the tokens in order, or of the task's settings.
    pub hash: String,
    /// In words (`byte (256)`).
    pub tokenizer: String,
    /// blake3 of the tokenizer.
    pub tokenizer_hash: String,
    /// Documents and tokens of the train, validation and test parts.
    pub parts: Vec<PartRecord>,
}

/// One part of the data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PartRecord {
    /// `train`, `validation` or `test`.
    pub name: String,
    /// Documents in it.
    pub documents: usize,
    /// Tokens in it.
    pub tokens: u64,
}

/// What ran it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EngineRecord {
    /// `cpu`; a GPU with its driver and, on CUDA, the libraries that compile and multiply.
    pub device: String,
    /// Attention implementation used in training and evaluation (`composed`, `fused-cpu`, …).
    pub attention: String,
    /// Which sublayers of a layer ran as one operation each: `both`, `attention`, `feed-forward` or `none`; empty in records
    /// from before it was told.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub fused_halves: String,
    /// Version of Farspan, with the commit where it is known.
    pub version: String,
}

/// Where a length could not be served: the scheme says why (a learned table past its end).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Refusal {
    /// Id of the measure.
    pub measure: String,
    /// What of it, as [`MeasureRecord::of`].
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub of: String,
    /// The length that was asked for.
    pub length: usize,
    /// The scheme's own words.
    pub reason: String,
}

/// Everything one cell measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CellRecord {
    /// See [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// Identity: blake3 of the canonical resolved config of the cell, data, tokenizer and schema.
    pub id: String,
    /// Which study of the run (`language`, `retrieval`).
    pub study: String,
    /// The scheme and stage.
    pub scheme: SchemeRecord,
    /// Seed of this repetition.
    pub seed: u64,
    /// Length the weights were first trained with, in tokens (the base's, for extensions).
    pub trained_length: usize,
    /// The decoder.
    pub model: ModelRecord,
    /// The training.
    pub train: TrainRecord,
    /// The data.
    pub data: DataRecord,
    /// What was measured, in the order of the page.
    pub measures: Vec<MeasureRecord>,
    /// Lengths that the scheme cannot serve.
    pub refused: Vec<Refusal>,
    /// Learned scheme parameters after training, by name (flattened), for plots of slopes and tables.
    pub learned: Vec<(String, Vec<f64>)>,
    /// How settings were found by search, if they were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub search: Option<SearchRecord>,
    /// Device, implementation, version.
    pub engine: EngineRecord,
}

/// A search for settings before the weights were measured. What was found stands in the settings of the scheme.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SearchRecord {
    /// Tokens of the validation windows that settings were tried on.
    pub length: usize,
    /// How many windows.
    pub windows: usize,
    /// Settings that were tried.
    pub trials: usize,
    /// Mean negative log-likelihood in nats per token on these windows, under what was found.
    #[serde(with = "non_finite::one")]
    pub nll: f64,
    /// What it had to beat.
    pub rivals: Vec<RivalRecord>,
}

/// A scheme that a search is compared with, on the same weights and windows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RivalRecord {
    /// Registry id.
    pub id: String,
    /// Full name.
    pub title: String,
    /// Mean negative log-likelihood in nats per token.
    #[serde(with = "non_finite::one")]
    pub nll: f64,
}

/// What a cell cost. Kept apart from the result because it differs from run to run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    /// Seconds of training, summed over interruptions.
    pub train_seconds: f64,
    /// Seconds of evaluation.
    pub evaluate_seconds: f64,
    /// Training tokens per second.
    pub train_tokens_per_second: f64,
    /// Seconds of processor time, all threads together, of all processes that made the cell, of those that were stopped up to
    /// their last checkpoint: unlike the others they do not grow with what else the machine does. 0 where the system does not
    /// tell.
    #[serde(default)]
    pub cpu_seconds: f64,
    /// Peak resident memory of the process that ran the cell, in bytes.
    pub peak_memory_bytes: u64,
    /// Threads the cell was given.
    pub threads: usize,
    /// Cells that ran beside it.
    pub jobs: usize,
    /// The machine that made it, in words (`Linux x86_64, 2 × Intel Xeon with AVX2, 24 GiB`).
    #[serde(default)]
    pub machine: String,
    /// What it was computed on, in words (`cuda:0: NVIDIA H200`).
    #[serde(default)]
    pub device: String,
}
