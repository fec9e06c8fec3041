//! The decoder of a study.

use crate::model::{Activation, Norm, QueryKeyNorm, Residual};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
    /// How the sublayers of a layer join the residual stream. Default: `sequential`.
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
