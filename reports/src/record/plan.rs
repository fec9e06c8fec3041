//! What a run is to make: its cells and what holds for all of them (`plan.json`).

use super::Stage;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// `plan.json` of a run: frozen when the run folder is made, so that editing the config later changes nothing queued. It
/// holds nothing of one machine: where cells read files, paths start from the run folder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunPlan {
    /// See [`SCHEMA_VERSION`](super::SCHEMA_VERSION).
    pub schema_version: u32,
    /// Name of the run, from the config.
    pub name: String,
    /// blake3 of the canonical resolved config.
    pub config_hash: String,
    /// The command line that made it.
    pub command: String,
    /// When it was made (RFC 3339).
    pub created: String,
    /// Version of Farspan that made it.
    pub version: String,
    /// Machine facts in words, as runs of earlier versions kept them; since then every cell says where it was made.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub machine: String,
    /// Rise of the loss over the trained length, in nats per token, below which a length counts as served.
    #[serde(default = "RunPlan::default_margin")]
    pub margin: f64,
    /// Confidence of every interval (0.95).
    pub confidence: f64,
    /// The scheme every other is compared with (config name), if it was declared.
    pub reference: Option<String>,
    /// The cells, in the order of the page.
    pub cells: Vec<PlannedCell>,
}

impl RunPlan {
    /// The margin of a run that does not name one: a twentieth of a nat is five percent of perplexity.
    #[must_use]
    pub fn default_margin() -> f64 {
        0.05
    }
}

/// One cell of the plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlannedCell {
    /// Identity, and the name of its folder under `cells/`.
    pub id: String,
    /// Readable name (`language/yarn-x4+finetuned/s0`).
    pub label: String,
    /// Study.
    pub study: String,
    /// Config name of the scheme.
    pub scheme: String,
    /// Stage.
    pub stage: Stage,
    /// Seed.
    pub seed: u64,
    /// Identity of the cell whose checkpoint it starts from.
    pub base: Option<String>,
    /// Parameters of its model.
    pub parameters: u64,
    /// Training tokens.
    pub train_tokens: u64,
    /// Tokens that are read to measure it, as forecast.
    #[serde(default)]
    pub measured_tokens: u64,
    /// Forecast floating-point operations, training and evaluation.
    pub flops: f64,
    /// Forecast peak memory in bytes, of training and evaluation.
    #[serde(default)]
    pub memory_bytes: f64,
    /// Bytes of the weights that it keeps.
    #[serde(default)]
    pub disk_bytes: u64,
    /// The cell's resolved config, for the page and for `export`.
    pub config: Value,
}
