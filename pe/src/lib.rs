//! Positional encodings as values.
//!
//! A scheme is a plain struct of settings with one pure function, settings → [`Plan`](farspan_attention::plan::Plan).
//! The plan says what happens to embeddings, queries, keys and scores; `farspan_attention` carries it out. This crate
//! knows no device, kernel, file, clock or random number.
//!
//! - [`Scheme`] is what a scheme implements, [`AnyScheme`] the same for a type not known at compile time.
//! - [`Registry`] finds schemes by name and reads their settings; [`schemes`] has one file for each.
//! - [`explain()`] tells everything about a scheme that can be told without training.
//! - [`angles`] are the frequencies of the rotary family.
//!
//! # A scheme of your own
//!
//! ```
//! use farspan_attention::expr::{distance, param, raw};
//! use farspan_attention::plan::{Geometry, Init, ParamSpec, Plan};
//! use farspan_pe::{Card, Len, PlanError, Registry, Scheme, check, explain};
//! use schemars::JsonSchema;
//! use serde::{Deserialize, Serialize};
//!
//! /// ALiBi with the logarithm of the distance, and one learned slope per head.
//! #[derive(Debug, Serialize, Deserialize, JsonSchema)]
//! #[serde(deny_unknown_fields, default)]
//! struct LogAlibi {
//!     /// Slope of every head before training.
//!     #[schemars(extend("exclusiveMinimum" = 0))]
//!     slope: f64,
//! }
//!
//! impl Default for LogAlibi {
//!     fn default() -> Self {
//!         LogAlibi { slope: 1.0 }
//!     }
//! }
//!
//! impl Scheme for LogAlibi {
//!     const ID: &'static str = "log-alibi";
//!     const CARD: Card = Card {
//!         title: "Log-ALiBi",
//!         idea: "Lower scores by the logarithm of the distance.",
//!         ..Card::BLANK
//!     };
//!
//!     fn check(&self) -> Result<(), PlanError> {
//!         check("slope", self.slope, "above 0", self.slope > 0.0)
//!     }
//!
//!     fn plan(&self, model: &Geometry, _context_len: Len) -> Result<Plan, PlanError> {
//!         self.check()?;
//!         let slope = ParamSpec {
//!             name: "slope".into(),
//!             shape: vec![model.heads],
//!             init: Init::Constant(self.slope),
//!             learned: true,
//!             per_layer: true,
//!             clamp: Some((0.0, f64::INFINITY)),
//!         };
//!         let score = raw() - param("slope") * distance().log1p();
//!         Ok(Plan { score, params: vec![slope], ..Plan::default() })
//!     }
//! }
//!
//! let registry = Registry::builtin().with::<LogAlibi>();
//! let scheme = registry.parse("log-alibi", serde_json::json!({ "slope": 0.5 }))?;
//! let model = Geometry { layers: 2, width: 64, heads: 4, kv_heads: 4, head_dim: 16, trained_length: 128 };
//! let found = explain(scheme.as_ref(), &model, Len(256), &[9], &[0])?;
//! assert_eq!(found.formula.score, "raw - slope[h] * log1p(q - k)");
//! assert_eq!(found.bias.map(|bias| bias.values[0][0][0]), Some(Some(-0.5 * 10f64.ln())));
//!
//! let typo = registry.parse("log-alibi", serde_json::json!({ "slop": 0.5 })).unwrap_err();
//! assert!(typo.to_string().contains("did you mean \"slope\"?"));
//! # Ok::<(), PlanError>(())
//! ```

pub mod angles;
mod card;
mod error;
mod explain;
mod left_out;
mod over;
pub mod recipe;
mod registry;
mod scheme;
pub mod schemes;
pub mod search;
mod settings;
mod tensor;

pub use card::{Card, Family, Needs, Paper};
pub use error::{PlanError, check, check_model};
pub use explain::{
    Bias, Cost, Embedding, Explanation, Formula, Param, RotationReach, Scores, Served,
    TurnPositions, explain, scores, typical,
};
pub use left_out::{LEFT_OUT, LeftOut};
pub use over::{OVER, Over};
pub use registry::{Entry, Registry};
pub use scheme::{AnyScheme, Len, Scheme};
pub use settings::{Setting, settings};
