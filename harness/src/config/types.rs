//! The config as plain structs: what a study may say, with every default. Parsing, merging and checking live beside.

use crate::model::{Activation, Norm, QueryKeyNorm, Residual};
use farspan_datasets::{DataConfig, tasks::passkey::PasskeyConfig};
use farspan_pe::recipe::Sampler;
use farspan_reports::record::{Protocol, RunPlan};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a model is trained on and asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Task {
    /// Next-token prediction on text; perplexity is measured.
    Text,
    /// The passkey task itself, with loss on the key only; retrieval is measured.
    Passkey,
}

/// The decoder. `size` is the one dial; any field set beside it wins.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ModelConfig {
    /// A checkpoint in place of a decoder of our own: its folder (relative to where the program runs), or its id in the
    /// Hugging Face cache. It gives all sizes, the trained length and the tokenizer; its weights are not trained from
    /// scratch, so `train.steps` is 0, and schemes take over what belongs to the weights (`base`, `partial`, `pairing`) where they leave it at its default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<String>,
    /// Keys of the checkpoint's config that are read as if they were not there, though they may change the computation;
    /// results tell of it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ignore_keys: Vec<String>,
    /// Length that the checkpoint's weights were trained with, where its config does not tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trained_length: Option<usize>,
    /// Preset `dN`: N layers, width 32·N, max(4, N) heads, SwiGLU hidden width 8/3 of the width.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<String>,
    /// Layers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layers: Option<usize>,
    /// Width of the residual stream.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub width: Option<usize>,
    /// Query heads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub heads: Option<usize>,
    /// Key/value heads (grouped-query attention); divides `heads`. Default: `heads`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kv_heads: Option<usize>,
    /// Channels of a head. Default: width / heads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub head_dim: Option<usize>,
    /// Hidden width of the block after attention.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hidden: Option<usize>,
    /// A family of checkpoints (`gemma2`, `qwen3`, …) whose choices are taken, all but its sizes and its scheme; what is set
    /// beside it wins. Layers that see a window there have one here: `window` tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub like: Option<String>,
    /// Kind of norm. Default: `rms`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub norm: Option<Norm>,
    /// How queries and keys are normalised. Default: `none`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query_key_norm: Option<QueryKeyNorm>,
    /// How the halves of a layer join the residual stream. Default: `sequential`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub block: Option<Residual>,
    /// Activation of the block after attention. Default: `silu`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub activation: Option<Activation>,
    /// Whether the activation gates a second projection. Default: true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gated: Option<bool>,
    /// Whether projections and LayerNorms add biases. Default: false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub biases: Option<bool>,
    /// Scores s become c·tanh(s/c).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub score_cap: Option<f64>,
    /// Logits z become c·tanh(z/c).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub logit_cap: Option<f64>,
    /// Multiplies scores beside 1/√head_dim. Default: 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub score_scale: Option<f64>,
    /// Multiplies the token embeddings. Default: √width.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub embed_scale: Option<f64>,
    /// Multiplies what a half of a layer adds. Default: 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub residual_scale: Option<f64>,
    /// Multiplies the logits. Default: 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub logit_scale: Option<f64>,
    /// Whether the head is the transposed embedding. Default: true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tied: Option<bool>,
    /// Tokens that a token sees in layers with a window. Default: half of the trained length.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<usize>,
    /// Which layers have a window, as a pattern that repeats: `[true, false]` is every other one, from the first on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub windowed: Option<Vec<bool>>,
}

/// Training from scratch. The same for every scheme.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TrainConfig {
    /// Tokens per window: the trained length.
    pub length: usize,
    /// Windows per step.
    pub batch: usize,
    /// Optimizer steps.
    pub steps: u64,
    /// Peak learning rate.
    pub lr: f64,
    /// Steps of linear warm-up.
    pub warmup: u64,
    /// Final learning rate as a fraction of the peak (cosine decay).
    pub final_lr: f64,
    /// AdamW first-moment decay.
    pub beta1: f64,
    /// AdamW second-moment decay.
    pub beta2: f64,
    /// Decoupled weight decay, on matrices only.
    pub weight_decay: f64,
    /// Gradients are scaled down to this global norm.
    pub clip: f64,
    /// Learning-rate multiplier of every scheme's own parameters (bias tables, slopes), the same for all schemes.
    pub scheme_lr: f64,
    /// Batches whose gradients are averaged before each optimizer step, each of `batch` windows.
    #[serde(skip_serializing_if = "is_one")]
    pub accumulate: u64,
    /// Steps between validation losses (0: only at the end).
    pub validate_every: u64,
    /// Where the tokens of a window stand, if not at their places; a scheme's own recipe comes first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub positions: Option<Sampler>,
}

/// Left out of what is written, so that runs from before the setting keep their identity.
#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands out references"
)]
fn is_one(n: &u64) -> bool {
    *n == 1
}

/// As [`is_one`].
#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands out references"
)]
fn is_default_margin(margin: &f64) -> bool {
    *margin == RunPlan::default_margin()
}

impl Default for TrainConfig {
    fn default() -> TrainConfig {
        TrainConfig {
            length: 256,
            batch: 16,
            steps: 2000,
            lr: 2e-3,
            warmup: 100,
            final_lr: 0.1,
            beta1: 0.9,
            beta2: 0.95,
            weight_decay: 0.01,
            clip: 1.0,
            scheme_lr: 8.0,
            accumulate: 1,
            validate_every: 200,
            positions: None,
        }
    }
}

impl TrainConfig {
    /// Tokens of an optimizer step.
    pub fn step_tokens(&self) -> usize {
        self.batch * self.length * self.accumulate as usize
    }
}

/// Adapters of low rank beside the projections of the layers (LoRA, Hu et al. 2021, arXiv 2106.09685).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LoraConfig {
    /// Rank r of an adapter's two matrices.
    #[schemars(range(min = 1))]
    pub rank: usize,
    /// The adapters' product is multiplied by alpha / rank.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub alpha: f64,
    /// Whether embeddings and norms learn as well, without which longer texts are learned badly (LongLoRA, Chen et al.
    /// 2023, arXiv 2309.12307, section 3.3).
    pub embeddings_and_norms: bool,
}

impl Default for LoraConfig {
    fn default() -> LoraConfig {
        LoraConfig {
            rank: 8,
            alpha: 16.0,
            embeddings_and_norms: true,
        }
    }
}

/// Further training of a base under an extension.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FinetuneConfig {
    /// Optimizer steps.
    pub steps: u64,
    /// Tokens per window; this or `times`. Default: the trained length.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub length: Option<usize>,
    /// Tokens per window as a multiple of the trained length; this or `length`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<f64>,
    /// Peak learning rate. Default: a quarter of `train.lr`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lr: Option<f64>,
    /// Windows per step. Default: as many as keep the tokens per step of `train`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch: Option<usize>,
    /// Steps of linear warm-up. Default: a tenth of `steps`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warmup: Option<u64>,
    /// Batches whose gradients are averaged before each optimizer step, each of `batch` windows. Default: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accumulate: Option<u64>,
    /// Activations are computed again on the way back, layer by layer, in place of being held: less memory, a third more
    /// time.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub checkpointing: bool,
    /// Adapters learn in place of all weights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lora: Option<LoraConfig>,
    /// Where the tokens of a window stand, if not at their places: `{ skip = { target = 1024 } }` is PoSE. Default: as
    /// `train` has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub positions: Option<Sampler>,
}

impl FinetuneConfig {
    /// Tokens per window, for a base trained at `trained` tokens.
    pub fn window(&self, trained: usize) -> usize {
        match (self.length, self.times) {
            (Some(length), _) => length,
            (None, Some(times)) => (trained as f64 * times).round() as usize,
            (None, None) => trained,
        }
    }
}

/// What is measured.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct EvaluateConfig {
    /// Perplexity on held-out text (task `text`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub perplexity: Option<PerplexityConfig>,
    /// Passkey retrieval (task `passkey`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub passkey: Option<PasskeyGridConfig>,
}

/// Perplexity: which lengths, and how windows are laid. The unit of every interval is one test segment of the
/// longest length; the same segments serve every scheme, seed and length.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PerplexityConfig {
    /// Lengths in tokens, increasing. Default: 1, 2, 4 and 8 times the trained length.
    #[serde(default)]
    pub lengths: Vec<usize>,
    /// Test segments: how many, or `"all"` that there is room for.
    #[serde(default = "PerplexityConfig::segments")]
    pub segments: Segments,
    /// What a segment is.
    #[serde(default, skip_serializing_if = "is_default")]
    pub unit: Unit,
    /// How windows are laid: all of `non-overlap`, `sliding` and `fixed-target`, or some of them.
    #[serde(
        default = "PerplexityConfig::protocols",
        skip_serializing_if = "are_all"
    )]
    #[schemars(schema_with = "protocols_schema")]
    pub protocols: Vec<Protocol>,
    /// Stride of the sliding protocol: a fraction of each length, or `{ tokens = N }`.
    #[serde(default = "PerplexityConfig::stride")]
    pub stride: Stride,
    /// Tokens at the end of each segment that the fixed-target protocol scores at every length. Default: 64, or the
    /// shortest length if that is less.
    #[serde(default = "PerplexityConfig::target")]
    pub target: usize,
    /// What the first token of a window is.
    #[serde(default, skip_serializing_if = "is_default")]
    pub bos: Bos,
}

/// How many test segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Segments {
    /// So many.
    Count(usize),
    /// All that there is room for.
    All(All),
}

/// The word `all`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum All {
    /// All.
    All,
}

impl Segments {
    /// Their number; `None` for all.
    pub fn count(self) -> Option<usize> {
        match self {
            Segments::Count(count) => Some(count),
            Segments::All(All::All) => None,
        }
    }
}

/// What a test segment is: the unit of resampling.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Unit {
    /// A stretch with as many targets as the longest length, inside one document.
    #[default]
    Stretch,
    /// A whole document that holds the longest length.
    Document,
}

/// Distance between the starts of sliding windows.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Stride {
    /// A fraction of the length, above 0, at most 1.
    Fraction(f64),
    /// The same at every length.
    #[serde(rename_all = "kebab-case")]
    Fixed {
        /// Tokens; at most the shortest length.
        tokens: usize,
    },
}

impl Stride {
    /// In tokens, at a length of `length` tokens.
    pub fn at(self, length: usize) -> usize {
        match self {
            Stride::Fraction(share) => ((length as f64 * share).round() as usize).max(1),
            Stride::Fixed { tokens } => tokens,
        }
    }
}

/// The first token of a window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Bos {
    /// As it stands in the text (`data.bos` puts BOS before documents).
    #[default]
    Text,
    /// BOS in its place, as lm-evaluation-harness begins its windows. The targets are the same.
    Window,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

fn are_all(protocols: &[Protocol]) -> bool {
    protocols == Protocol::ALL
}

fn protocols_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "type": "array",
        "items": { "enum": Protocol::ALL },
        "minItems": 1,
        "uniqueItems": true,
    })
}

impl Default for PerplexityConfig {
    /// No lengths yet: they follow from the trained length.
    fn default() -> PerplexityConfig {
        PerplexityConfig {
            lengths: Vec::new(),
            segments: PerplexityConfig::segments(),
            unit: Unit::default(),
            protocols: PerplexityConfig::protocols(),
            stride: PerplexityConfig::stride(),
            target: PerplexityConfig::target(),
            bos: Bos::default(),
        }
    }
}

impl PerplexityConfig {
    fn segments() -> Segments {
        Segments::Count(32)
    }
    fn protocols() -> Vec<Protocol> {
        Protocol::ALL.to_vec()
    }
    fn stride() -> Stride {
        Stride::Fraction(0.5)
    }
    fn target() -> usize {
        64
    }
}

/// The passkey grid.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PasskeyGridConfig {
    /// Lengths in tokens, increasing. Default: 1, 2, 4 and 8 times the trained length.
    #[serde(default)]
    pub lengths: Vec<usize>,
    /// Depths, evenly spaced from start to end.
    #[serde(default = "PasskeyGridConfig::depths")]
    pub depths: usize,
    /// Prompts per (length, depth).
    #[serde(default = "PasskeyGridConfig::trials")]
    pub trials: usize,
    /// Accuracy at or above which a length counts as served.
    #[serde(default = "PasskeyGridConfig::threshold")]
    pub threshold: f64,
}

impl Default for PasskeyGridConfig {
    /// No lengths yet: they follow from the trained length.
    fn default() -> PasskeyGridConfig {
        PasskeyGridConfig {
            lengths: Vec::new(),
            depths: PasskeyGridConfig::depths(),
            trials: PasskeyGridConfig::trials(),
            threshold: PasskeyGridConfig::threshold(),
        }
    }
}

impl PasskeyGridConfig {
    fn depths() -> usize {
        11
    }
    fn trials() -> usize {
        20
    }
    fn threshold() -> f64 {
        0.8
    }
}

/// One study: a task, a model, a training and a measurement, over the run's schemes and seeds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StudyConfig {
    /// What is trained and asked.
    #[serde(default = "StudyConfig::text")]
    pub task: Task,
    /// Names of the schemes of this study. Default: all of the run's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schemes: Option<Vec<String>>,
    /// Seeds of this study. Default: the run's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seeds: Option<Vec<u64>>,
    /// Text (task `text`).
    #[serde(default)]
    pub data: DataConfig,
    /// The retrieval task (task `passkey`).
    #[serde(default)]
    pub passkey: PasskeyConfig,
    /// The decoder.
    #[serde(default)]
    pub model: ModelConfig,
    /// Training.
    #[serde(default)]
    pub train: TrainConfig,
    /// Measurements.
    #[serde(default)]
    pub evaluate: EvaluateConfig,
}

/// What models of a study read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reads {
    /// Text.
    Text(DataConfig),
    /// Passkey prompts.
    Passkey(PasskeyConfig),
}

impl StudyConfig {
    fn text() -> Task {
        Task::Text
    }

    /// What its models read.
    pub fn reads(&self) -> Reads {
        match self.task {
            Task::Text => Reads::Text(self.data.clone()),
            Task::Passkey => Reads::Passkey(self.passkey.clone()),
        }
    }
}

/// A scheme of the run, as the user named it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SchemeConfig {
    /// Name in the config; with the stage it labels a curve.
    pub name: String,
    /// Registry id.
    pub id: String,
    /// All settings, defaults filled in, those shared with the base taken over.
    pub settings: serde_json::Value,
    /// Name of the scheme whose weights are taken (extensions).
    pub base: Option<String>,
    /// Further training, besides the zero-shot reading.
    pub finetune: Option<FinetuneConfig>,
}

/// A run, checked and complete. Nothing downstream sees the config as written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// Name of the run.
    pub name: String,
    /// Seeds; each repeats every cell.
    pub seeds: Vec<u64>,
    /// Scheme that the others are compared with. Default: the first.
    pub reference: Option<String>,
    /// Confidence of every interval.
    pub confidence: f64,
    /// Rise of the loss over the trained length, in nats per token, below which a length counts as served.
    #[serde(
        default = "RunPlan::default_margin",
        skip_serializing_if = "is_default_margin"
    )]
    pub margin: f64,
    /// Device (`cpu`, `cuda:0`, `auto`).
    pub device: String,
    /// Schemes in the order of the config.
    pub schemes: Vec<SchemeConfig>,
    /// Studies by name, in the order of the config.
    pub studies: Vec<(String, StudyConfig)>,
}
