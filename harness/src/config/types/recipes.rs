//! What training may do beside the plain loss of the next token on windows of one length.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Windows of one length, and their share of the tokens.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LengthShare {
    /// Tokens per window; divides the tokens of a batch.
    #[schemars(range(min = 2))]
    pub length: usize,
    /// Share of the tokens.
    #[schemars(extend("exclusiveMinimum" = 0), range(max = 1))]
    pub share: f64,
}

/// Masked inputs with next-token loss (MEAP, Zhuang et al. 2025, arXiv 2502.07490, section 3): of each window
/// max(1, ⌊share · (tokens)⌋) inputs before the last one, drawn anew for each window, are fed as the mask token; every target
/// is scored as before. Validation and measurements are not masked.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MaskInputs {
    /// Share of the inputs of a window; 0 masks none.
    #[schemars(range(min = 0), extend("exclusiveMaximum" = 1))]
    pub share: f64,
    /// The token that stands for a masked input.
    pub token: MaskToken,
}

/// Which token is a mask.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "expected a token id or \"added\"")]
pub enum MaskToken {
    /// The token with this id, which the vocabulary has.
    Id(u32),
    /// One more entry of the vocabulary, behind all others.
    Entry(Added),
}

/// `"added"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Added {
    /// One more entry of the vocabulary.
    Added,
}

impl MaskInputs {
    /// Whether its token is one more entry of the vocabulary.
    pub fn adds_entry(&self) -> bool {
        matches!(self.token, MaskToken::Entry(_))
    }

    /// Id of its token in a vocabulary of `vocab` entries, the added one included.
    pub fn id(&self, vocab: usize) -> u32 {
        match self.token {
            MaskToken::Id(id) => id,
            MaskToken::Entry(_) => (vocab - 1) as u32,
        }
    }
}

/// A teacher (distillation, Hinton et al. 2015, arXiv 1503.02531, section 2): the loss becomes
/// (1 − weight) · cross-entropy + weight · T² · KL(softmax(z / T), softmax(z′ / T)), where z are the teacher's logits, z′ those
/// of the model in training on the same inputs, and KL is the mean over scored tokens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TeacherConfig {
    /// The model: a folder of a checkpoint, a cell of a run (`RUN:CELL`) or an id in the Hugging Face cache; it has the
    /// same vocabulary. Default, in a fine-tuning: the model that the weights come from, under its own scheme.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Weight of the teacher, from 0 to 1.
    #[schemars(extend("exclusiveMinimum" = 0), range(max = 1))]
    pub weight: f64,
    /// Temperature T. Default: 1.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub temperature: f64,
}

fn one() -> f64 {
    1.0
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands out references"
)]
fn is_one(x: &f64) -> bool {
    *x == 1.0
}
