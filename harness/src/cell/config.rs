//! What a cell is: its settings, and the identity that they make.

use crate::checkpoint::config::Reading;
use crate::checkpoint::files::Files;
use crate::checkpoint::weights::load;
use crate::config::types::{EvaluateConfig, LoraConfig, Reads, SchemeConfig, TrainConfig};
use crate::measure::Given;
use crate::model::{Architecture, Weights};
use crate::scheme::Positional;
use crate::source::Source;
use crate::{Error, Result, origin};
use farspan_attention::Device;
use farspan_pe::Registry;
use farspan_pe::search::Search;
use farspan_reports::record::{SCHEMA_VERSION, Stage};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// All that a cell depends on. Its hash, without [`data_root`](CellConfig::data_root), is the cell's identity.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CellConfig {
    /// Study.
    pub study: String,
    /// What its model reads.
    pub reads: Reads,
    /// Seed of data order, initial weights and prompts.
    pub seed: u64,
    /// The scheme that reads the weights.
    pub scheme: SchemeConfig,
    /// What is done to reach the weights.
    pub stage: Stage,
    /// Preset name, for the record.
    pub size: Option<String>,
    /// The decoder. Its notes, which a reader of its numbers should know, are no part of a cell's identity.
    pub architecture: Architecture,
    /// Where its weights were read, in place of a decoder of our own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<CheckpointConfig>,
    /// Adapters that learn in place of all weights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lora: Option<LoraConfig>,
    /// Activations are computed again in place of being held.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub checkpointing: bool,
    /// Folder that relative paths start from; in `plan.json` as it is reached from the run folder.
    pub data_root: PathBuf,
    /// Training of this stage (`steps` is 0 for zero-shot). Of several stages of fine-tuning the last one's, with the steps of
    /// all.
    pub train: TrainConfig,
    /// The stages of a fine-tuning that has several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stages: Vec<CellStage>,
    /// The model whose next tokens it learns to tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub teacher: Option<CellTeacher>,
    /// Steps of the base before this stage.
    pub base_steps: u64,
    /// Batches that these steps read: this stage goes on with the next.
    pub base_batches: u64,
    /// Measurements.
    pub evaluate: EvaluateConfig,
    /// Identity of the cell whose weights are taken.
    pub base: Option<String>,
    /// Device.
    pub device: String,
    /// blake3 of the data.
    pub data_hash: String,
    /// blake3 of the tokenizer.
    pub tokenizer_hash: String,
    /// blake3 of each file and model that its measures read beside the data.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub beside: Vec<String>,
}

/// A stage of a fine-tuning.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CellStage {
    /// Its training.
    pub train: TrainConfig,
    /// All settings of the scheme while it lasts.
    pub settings: serde_json::Value,
}

/// A model whose next tokens another one learns to tell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CellTeacher {
    /// Where its weights are read; without, they are those that the cell begins with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<CheckpointConfig>,
    /// The scheme that reads them.
    pub scheme: Positional,
    /// Weight of what it tells in the loss.
    pub weight: f64,
    /// Weight of the text's own next tokens.
    pub text: f64,
    /// Both sides' logits are divided by it.
    pub temperature: f64,
    /// Of how many tokens at the beginning of each window it tells; of all without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<usize>,
}

/// A pretrained checkpoint of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CheckpointConfig {
    /// How the config names it; no part of a cell's identity. Earlier versions kept its folder.
    #[serde(alias = "dir")]
    pub name: String,
    /// blake3 of its config and weights.
    pub hash: String,
    /// How its config is read.
    #[serde(default, skip_serializing_if = "Reading::is_plain")]
    pub reading: Reading,
}

impl CheckpointConfig {
    /// Its folder on this machine; relative paths start from `root`.
    pub(crate) fn dir(&self, root: &Path) -> Result<PathBuf> {
        origin::folder_from(root, &self.name)
    }

    /// Its files, which are those that the run was planned with.
    pub(super) fn files(&self, root: &Path) -> Result<Files> {
        let files = Files::open(&self.dir(root)?)?.with_reading(self.reading.clone());
        let found = files.hash()?;
        if found != self.hash {
            return Err(Error::Data(format!(
                "the checkpoint {} is another than when this run was planned: expected hash {}, found {found} in {}",
                self.name,
                self.hash,
                files.dir().display()
            )));
        }
        Ok(files)
    }

    /// Its weights, which are those of `architecture`.
    pub(crate) fn weights(
        &self,
        root: &Path,
        architecture: &Architecture,
        device: &Device,
    ) -> Result<Weights> {
        load(&self.files(root)?, architecture, device)
    }
}

impl CellConfig {
    /// Identity of the cell: what could change a number, and nothing else.
    pub fn id(&self) -> Result<String> {
        let mut value = serde_json::to_value(self).map_err(|e| Error::Bug(e.to_string()))?;
        for pointer in ["/checkpoint", "/teacher/checkpoint"] {
            if let Some(checkpoint) = value.pointer_mut(pointer).and_then(|c| c.as_object_mut()) {
                checkpoint.remove("name");
            }
        }
        let object = value
            .as_object_mut()
            .ok_or_else(|| Error::Bug("a cell is no table".into()))?;
        object.remove("data_root");
        let architecture = object.get_mut("architecture");
        if let Some(architecture) = architecture.and_then(|a| a.as_object_mut()) {
            architecture.remove("notes");
        }
        object.insert("schema_version".into(), SCHEMA_VERSION.into());
        let canonical =
            serde_json::to_string(&sorted(value)).map_err(|e| Error::Bug(e.to_string()))?;
        Ok(blake3::hash(canonical.as_bytes()).to_hex()[..16].to_string())
    }

    /// The folder of its checkpoint, if the weights come from one.
    pub(crate) fn checkpoint_dir(&self) -> Result<Option<PathBuf>> {
        let checkpoint = self.checkpoint.as_ref();
        checkpoint.map(|c| c.dir(&self.data_root)).transpose()
    }

    /// What its measures can draw on; `checkpoint` is its [`checkpoint_dir`](CellConfig::checkpoint_dir).
    pub(crate) fn given<'a>(
        &'a self,
        source: &'a Source,
        registry: &'a Registry,
        checkpoint: Option<&'a Path>,
    ) -> Given<'a> {
        Given {
            source,
            registry,
            root: &self.data_root,
            checkpoint,
            vocab: self.architecture.vocab,
            seed: self.seed,
        }
    }

    /// Its trainings, one after the other.
    pub(crate) fn trainings(&self) -> Vec<&TrainConfig> {
        match self.stages.as_slice() {
            [] => vec![&self.train],
            stages => stages.iter().map(|stage| &stage.train).collect(),
        }
    }

    /// Tokens of its training.
    pub(crate) fn training_tokens(&self) -> u64 {
        let tokens = |train: &TrainConfig| train.steps * train.step_tokens() as u64;
        self.trainings().into_iter().map(tokens).sum()
    }

    /// Floating-point operations of its training: a step is three forward passes, a teacher reads once beside them.
    pub(crate) fn training_flops(&self) -> f64 {
        let passes = if self.teacher.is_some() { 4.0 } else { 3.0 };
        let per_token = |length: usize| self.architecture.flops_per_token(length);
        let of = |train: &TrainConfig| {
            let tokens = (train.steps * train.step_tokens() as u64) as f64;
            let per_token: f64 = match train.lengths.as_slice() {
                [] => per_token(train.length),
                lengths => lengths.iter().map(|s| s.share * per_token(s.length)).sum(),
            };
            passes * tokens * per_token
        };
        self.trainings().into_iter().map(of).sum()
    }

    /// Floating-point operations of a search before that.
    pub(crate) fn search_flops(&self, search: &Search) -> f64 {
        search.tokens() as f64 * self.architecture.flops_per_token(search.length)
    }

    /// Readable name (`language/yarn-x4+finetuned/s0`).
    pub fn label(&self) -> String {
        let stage = match (self.stage, &self.scheme.base) {
            (Stage::FineTuned, _) => "+finetuned",
            _ => "",
        };
        format!("{}/{}{stage}/s{}", self.study, self.scheme.name, self.seed)
    }
}

/// Tables with their keys in order, so that equal values print alike.
fn sorted(value: serde_json::Value) -> serde_json::Value {
    use serde_json::Value;
    match value {
        Value::Object(map) => {
            let mut entries: Vec<_> = map.into_iter().collect();
            entries.sort_by(|a, b| a.0.cmp(&b.0));
            Value::Object(entries.into_iter().map(|(k, v)| (k, sorted(v))).collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(sorted).collect()),
        other => other,
    }
}
