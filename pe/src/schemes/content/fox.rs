//! FoX, the Forgetting Transformer: a gate per token and head says how much of everything before is kept, which makes
//! ALiBi's slope follow the content.
//!
//! score = raw + Σ_{k < t ≤ q} ln f_t, f_t = σ(w_h·x_t + b_h) of the layer's input x
//!
//! Paper: Lin et al. 2025, arXiv 2503.02130, section 3; constant gates: section 4 and appendix.
//!
//! Code: gates of the authors' release. The gate of the query's token counts, that of the key's does not. A constant
//! gate, learned (`bias-only`) or not (`fixed`), starts with decay times −1/ln f spread evenly on a log scale over the
//! heads: b_h = −ln(e^(1/T_h) − 1). The `full` gate starts at b = 0 and w ~ N(0, 0.02²) unless `spread_bias`. RoPE is
//! an option of the release and off, as there. The norms, shifts and output gates of the "Pro" block are not positions.

use crate::card::{Card, Family, Paper};
use crate::error::{PlanError, check};
use crate::scheme::{Len, Scheme};
use crate::schemes::none::nope_or_rope;
use crate::tensor::ops::{learned, log_sigmoid, since_key};
use farspan_attention::expr::{distance, param, raw};
use farspan_attention::plan::{Geometry, Init, ParamSpec, Plan, TokenVector};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Settings of FoX.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Fox {
    /// What the gate is made from.
    pub gate: Gate,
    /// Whether a full gate starts with the decay times of the constant ones, rather than at one half.
    pub spread_bias: bool,
    /// Decay time of the first head before training, in tokens.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub shortest: f64,
    /// Decay time of the last head before training, in tokens.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub longest: f64,
    /// Turn queries and keys by RoPE with this base. Left out: no rotation.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("exclusiveMinimum" = 1))]
    pub rope_base: Option<f64>,
}

/// Forget gates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Gate {
    /// From the token: σ(w_h·x + b_h).
    Full,
    /// One learned number per head.
    BiasOnly,
    /// One constant per head.
    Fixed,
}

impl Default for Fox {
    fn default() -> Fox {
        Fox {
            gate: Gate::Full,
            spread_bias: false,
            shortest: 2.0,
            longest: 1024.0,
            rope_base: None,
        }
    }
}

impl Scheme for Fox {
    const ID: &'static str = "fox";
    const CARD: Card = Card {
        title: "FoX",
        paper: Paper {
            authors: "Lin et al.",
            year: 2025,
            arxiv: "2503.02130",
            section: "3",
        },
        family: Family::Content,
        idea: "Let each token's forget gate lower the scores of everything before it.",
        formula: "score = raw + sum of ln f_t for k < t <= q, f_t = sigmoid(w_h . x_t + b_h)",
        latex: r"s_{qk} = \langle q, k\rangle/\sqrt{d} + \sum_{t=k+1}^{q} \ln \sigma(w_h^\top x_t + b_h)",
        ..Card::BLANK
    };

    fn check(&self) -> Result<(), PlanError> {
        let positive = |key, x: f64| check(key, x, "above 0 and finite", x > 0.0 && x.is_finite());
        positive("shortest", self.shortest)?;
        positive("longest", self.longest)?;
        nope_or_rope::check(self.rope_base)
    }

    fn plan(&self, model: &Geometry, _context_len: Len) -> Result<Plan, PlanError> {
        self.check()?;
        let below = nope_or_rope::plan(self.rope_base, model)?;
        let bias = ParamSpec {
            learned: self.gate != Gate::Fixed,
            ..learned("b", &[model.heads], self.bias(model.heads))
        };
        if self.gate != Gate::Full {
            return Ok(Plan {
                score: raw() + log_sigmoid(param("b")) * distance(),
                params: vec![bias],
                ..below
            });
        }
        Ok(Plan {
            score: raw() + since_key("forget"),
            tokens: vec![TokenVector {
                name: "forget".into(),
                weight: "w".into(),
                value: log_sigmoid(raw() + param("b")),
                cumulative: true,
            }],
            params: vec![
                learned("w", &[model.heads, model.width], Init::Normal(0.0, 0.02)),
                bias,
            ],
            ..below
        })
    }
}

impl Fox {
    /// Biases of the gates before training.
    fn bias(&self, heads: usize) -> Init {
        if self.gate == Gate::Full && !self.spread_bias {
            return Init::Constant(0.0);
        }
        let (low, high) = (self.shortest.ln(), self.longest.ln());
        let last = heads.saturating_sub(1).max(1) as f64;
        let of_head = |head: usize| {
            let time = (low + (high - low) * head as f64 / last).exp();
            // −ln f = 1/T means e^(−b) = e^(1/T) − 1; far below one token the 1 does not count.
            let forgets = 1.0 / time;
            if forgets > 30.0 {
                -forgets
            } else {
                -forgets.exp_m1().ln()
            }
        };
        Init::Values((0..heads).map(of_head).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use farspan_attention::expr::ParamValues;
    use farspan_attention::scalar;

    const MODEL: Geometry = Geometry {
        layers: 1,
        width: 8,
        heads: 4,
        kv_heads: 2,
        head_dim: 4,
        trained_length: 64,
    };

    #[test]
    fn constant_gates_are_alibi_with_slopes_of_their_decay_times() {
        let fox = Fox {
            gate: Gate::Fixed,
            ..Fox::default()
        };
        let plan = Scheme::plan(&fox, &MODEL, Len(64)).unwrap();
        for (head, time) in [2.0, 16.0, 128.0, 1024.0].into_iter().enumerate() {
            for (i, j) in [(5, 5), (9, 4), (60, 0)] {
                let found = scalar::bias(&plan, (head, 4), i, j, 64, &ParamValues::new()).unwrap();
                let expected = -((i - j) as f64) / time;
                assert!(
                    (found - expected).abs() < 1e-12,
                    "{head}: {found}, expected {expected}"
                );
            }
        }
    }

    #[test]
    fn extreme_decay_times_stay_finite() {
        let fox = Fox {
            gate: Gate::BiasOnly,
            shortest: 1e-6,
            longest: 1e12,
            ..Fox::default()
        };
        Scheme::plan(&fox, &MODEL, Len(64))
            .unwrap()
            .validate(&MODEL)
            .unwrap();
    }
}
