//! Cable: every token has a step length per head, made from its content, and scores fall with the steps in between.
//!
//! score = raw − Σ_{k < t ≤ q} softplus(w_h·x_t + b_h) of the layer's input x
//!
//! Paper: Veisi et al. 2025, arXiv 2503.08067, section 3.
//!
//! Code: bias and starting values (w ~ N(0, 0.02²), b = 0) are those of the authors' code; since
//! −softplus(g) = ln σ(−g), this is FoX's full gate with the sign of g flipped. The released training code divides raw
//! scores by 1 instead of √head_dim and the evaluation notebook by √width, so they are two different functions. The
//! default is the √head_dim that models elsewhere are trained with; `unscaled` is the training code.

use crate::card::{Card, Family, Paper};
use crate::error::PlanError;
use crate::scheme::{Len, Scheme};
use crate::tensor::ops::{learned, log_sigmoid, since_key};
use farspan_attention::expr::{param, raw};
use farspan_attention::plan::{Geometry, Init, Plan, TokenVector};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Settings of Cable.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Cable {
    /// Whether raw scores are left undivided, as the released training code has it.
    pub unscaled: bool,
}

impl Scheme for Cable {
    const ID: &'static str = "cable";
    const CARD: Card = Card {
        title: "Cable",
        paper: Paper {
            authors: "Veisi et al.",
            year: 2025,
            arxiv: "2503.08067",
            section: "3",
        },
        family: Family::Content,
        idea: "Measure distance in steps whose lengths each token sets by its content.",
        formula: "score = raw - sum of softplus(w_h . x_t + b_h) for k < t <= q",
        latex: r"s_{qk} = \langle q, k\rangle/\sqrt{d} - \sum_{t=k+1}^{q} \ln(1 + e^{w_h^\top x_t + b_h})",
        ..Card::BLANK
    };

    fn plan(&self, model: &Geometry, _context_len: Len) -> Result<Plan, PlanError> {
        self.check()?;
        let undivided = (model.head_dim as f64).sqrt();
        Ok(Plan {
            softmax_scale: if self.unscaled { undivided } else { 1.0 },
            score: raw() + since_key("step"),
            tokens: vec![TokenVector {
                name: "step".into(),
                weight: "w".into(),
                value: log_sigmoid(-(raw() + param("b"))),
                cumulative: true,
            }],
            params: vec![
                learned("w", &[model.heads, model.width], Init::Normal(0.0, 0.02)),
                learned("b", &[model.heads], Init::Constant(0.0)),
            ],
            ..Plan::default()
        })
    }
}
