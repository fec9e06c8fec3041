//! Further training of weights that are there.

use super::TrainConfig;
use super::recipes::{LengthShare, MaskInputs, TeacherConfig};
use farspan_pe::recipe::Sampler;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

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

impl LoraConfig {
    /// What the adapters' product is multiplied by.
    pub fn scale(&self) -> f64 {
        self.alpha / self.rank as f64
    }
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
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FinetuneConfig {
    /// Optimizer steps; left out where `stages` have theirs.
    #[serde(default)]
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
    /// Lengths of windows that are mixed, as in `train`, the longest being that of this fine-tuning. Default: one length.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lengths: Vec<LengthShare>,
    /// Inputs that are masked; a share of 0 masks none. Default: as `train` has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mask_inputs: Option<MaskInputs>,
    /// A model whose next tokens are to be told as well as those of the text: the one that the weights come from, under its
    /// own scheme, unless `from` names another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub teacher: Option<TeacherConfig>,
    /// Weight of KL(p, p′) in the loss, where p are the next tokens of the model that the weights come from, under its own
    /// scheme, on the first tokens of each window up to the trained length, and p′ those of the model in training there
    /// (LongPO, Chen et al. 2025, arXiv 2502.13922, keeps close to the short model by such a term). Default: 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_short: Option<f64>,
    /// Fine-tunings one after the other, each from the weights of the one before, with rates, warm-up and moments of its own:
    /// progressive extension, recovery of short lengths, two bases. A stage leaves out what stands beside the list.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stages: Vec<FinetuneConfig>,
    /// Of a stage: settings of the scheme that differ from its own while it lasts (`{ factor = 2 }`). The last stage has none,
    /// as its scheme is the one that is measured.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub settings: Map<String, Value>,
}

impl FinetuneConfig {
    /// Tokens per window, for a base trained at `trained` tokens; of several lengths the longest.
    pub fn window(&self, trained: usize) -> usize {
        let longest = self.lengths.iter().map(|share| share.length).max();
        match (self.length, self.times) {
            (Some(length), _) => length,
            (None, Some(times)) => (trained as f64 * times).round() as usize,
            (None, None) => longest.unwrap_or(trained),
        }
    }

    /// Windows per step, for a base trained by `train`.
    pub fn rows(&self, train: &TrainConfig) -> usize {
        let window = self.window(train.length);
        let same = (train.batch * train.length / window.max(1)).max(1);
        self.batch.unwrap_or(same)
    }

    /// Its stages with what stands beside their list; itself where there is no list.
    pub fn each(&self) -> Vec<FinetuneConfig> {
        if self.stages.is_empty() {
            return vec![self.clone()];
        }
        let whole = |stage: &FinetuneConfig| {
            let sized =
                stage.length.is_some() || stage.times.is_some() || !stage.lengths.is_empty();
            let beside = (!sized).then_some(self);
            FinetuneConfig {
                length: stage.length.or(beside.and_then(|all| all.length)),
                times: stage.times.or(beside.and_then(|all| all.times)),
                lengths: beside.map_or(&stage.lengths, |all| &all.lengths).clone(),
                lr: stage.lr.or(self.lr),
                batch: stage.batch.or(self.batch),
                warmup: stage.warmup.or(self.warmup),
                accumulate: stage.accumulate.or(self.accumulate),
                positions: stage.positions.or(self.positions),
                mask_inputs: stage.mask_inputs.or(self.mask_inputs),
                lora: self.lora.clone(),
                ..stage.clone()
            }
        };
        self.stages.iter().map(whole).collect()
    }
}
