//! The config as plain structs: what a study may say, with every default. Parsing, merging and checking live beside.

mod finetune;
mod model;
pub(crate) mod named;
mod recipes;
mod task;

pub use crate::measure::EvaluateConfig;
pub use finetune::{FinetuneConfig, LoraConfig};
pub use model::ModelConfig;
pub use named::Named;
pub use recipes::{Added, LengthShare, MaskInputs, MaskToken, TeacherConfig};
pub use task::TaskConfig;

use farspan_datasets::DataConfig;
use farspan_pe::recipe::Sampler;
use farspan_reports::record::RunPlan;
use schemars::JsonSchema;
use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use std::fmt;

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
    /// Lengths of windows that training mixes, of which `length` is the longest; shares of its tokens that sum to 1. Each batch
    /// has windows of one length, drawn by the seed, and as many tokens as `batch` windows of `length`. Default: all of
    /// `length`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub lengths: Vec<LengthShare>,
    /// Inputs that are masked while all next tokens are to be told. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mask_inputs: Option<MaskInputs>,
    /// A model whose next tokens are to be told as well as those of the text. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub teacher: Option<TeacherConfig>,
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
            lengths: Vec::new(),
            mask_inputs: None,
            teacher: None,
        }
    }
}

impl TrainConfig {
    /// Tokens of an optimizer step.
    pub fn step_tokens(&self) -> usize {
        self.batch * self.length * self.accumulate as usize
    }
}

/// One study: a task, a model, a training and a measurement, over the run's schemes and seeds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StudyConfig {
    /// What is trained and asked.
    #[serde(default)]
    pub task: TaskConfig,
    /// Names of the schemes of this study. Default: all of the run's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schemes: Option<Vec<String>>,
    /// Seeds of this study. Default: the run's.
    #[serde(
        default,
        deserialize_with = "some_seeds",
        skip_serializing_if = "Option::is_none"
    )]
    pub seeds: Option<Vec<u64>>,
    /// Text (task `text`).
    #[serde(default)]
    pub data: DataConfig,
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
    /// Examples of a task.
    Task(Named),
}

impl StudyConfig {
    /// What its models read.
    pub fn reads(&self) -> Reads {
        match &self.task {
            TaskConfig::Text => Reads::Text(self.data.clone()),
            TaskConfig::Of(task) => Reads::Task(task.clone()),
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

impl Run {
    /// The schemes of a study, in the order of the config.
    pub fn schemes_of<'a>(
        &'a self,
        study: &'a StudyConfig,
    ) -> impl Iterator<Item = &'a SchemeConfig> {
        let wanted = |name: &String| {
            study
                .schemes
                .as_ref()
                .is_none_or(|list| list.contains(name))
        };
        self.schemes
            .iter()
            .filter(move |scheme| wanted(&scheme.name))
    }

    /// The seeds of a study.
    pub fn seeds_of<'a>(&'a self, study: &'a StudyConfig) -> &'a [u64] {
        study.seeds.as_ref().unwrap_or(&self.seeds)
    }

    /// Number of cells: every study, scheme and seed, and once more for every fine-tuning.
    pub fn cells(&self) -> usize {
        let stages = |scheme: &SchemeConfig| 1 + usize::from(scheme.finetune.is_some());
        let of = |study: &StudyConfig| {
            self.schemes_of(study).map(stages).sum::<usize>() * self.seeds_of(study).len()
        };
        self.studies.iter().map(|(_, study)| of(study)).sum()
    }
}

/// Reads seeds; what is no list is told how to write one.
pub(super) fn seeds<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u64>, D::Error> {
    struct Seeds;
    impl<'de> Visitor<'de> for Seeds {
        type Value = Vec<u64>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list of seeds ([3] for seed 3 alone; [0, 1, 2] for three)")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<u64>, A::Error> {
            let mut seeds = Vec::new();
            while let Some(seed) = list.next_element()? {
                seeds.push(seed);
            }
            Ok(seeds)
        }
    }
    from.deserialize_any(Seeds)
}

fn some_seeds<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Vec<u64>>, D::Error> {
    seeds(from).map(Some)
}
