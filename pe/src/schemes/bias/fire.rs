//! FIRE's bias is a small network of the distance on a log scale, divided by that of the query's position, so that it
//! sees numbers from 0 to 1 at any length.
//!
//! score = raw + f_h(ψ(q − k) / (ψ(max(|m·L₀|, q)) + 1e-6)), ψ(x) = ln(|c|·x + 1), f = W₂·relu(w₁x + b₁) + b₂
//!
//! Paper: Li et al. 2023, arXiv 2310.04418, section 4.
//!
//! Code: as in the listing of the paper's appendix, to which the released ports agree. c (from 0.1) and the multiplier m
//! of the threshold (from 1, L₀ = 512) are learned, with one network per layer. FIRE-S shares it between layers
//! (`per_layer = false`); that form is known from the paper's text only. Weights start uniform in ±fan_in^(−1/2).

use crate::card::{Card, Family, Paper};
use crate::error::{PlanError, check};
use crate::scheme::{Len, Scheme};
use farspan_attention::expr::{Expr, Unary, distance, number, raw, shared_lookup};
use farspan_attention::plan::{Geometry, Init, ParamSpec, Plan};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Settings of FIRE.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Fire {
    /// Hidden units of the network.
    #[schemars(range(min = 1))]
    pub hidden: usize,
    /// Scale c of distances before training.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub init_c: f64,
    /// Length L₀: queries before it are divided as if they stood there, until training moves the threshold.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub init_length: f64,
    /// Whether each layer has its own network; FIRE-S shares one.
    pub per_layer: bool,
}

impl Default for Fire {
    fn default() -> Fire {
        Fire {
            hidden: 32,
            init_c: 0.1,
            init_length: 512.0,
            per_layer: true,
        }
    }
}

impl Scheme for Fire {
    const ID: &'static str = "fire";
    const CARD: Card = Card {
        title: "FIRE",
        paper: Paper {
            authors: "Li et al.",
            year: 2023,
            arxiv: "2310.04418",
            section: "4",
        },
        family: Family::Bias,
        idea: "Add a small network of the distance divided by the query's position, so that it \
               sees numbers from 0 to 1 at any length.",
        ..Card::BLANK
    };

    fn check(&self) -> Result<(), PlanError> {
        check("hidden", self.hidden, "at least 1", self.hidden >= 1)?;
        let positive = |key, x: f64| check(key, x, "above 0 and finite", x > 0.0 && x.is_finite());
        positive("init_c", self.init_c)?;
        positive("init_length", self.init_length)
    }

    fn plan(&self, model: &Geometry, _context_len: Len) -> Result<Plan, PlanError> {
        self.check()?;
        let scalar = |name| shared_lookup(name, number(0.0));
        let psi = |x: Expr| (scalar("c").unary(Unary::Abs) * x).log1p();
        let threshold = (scalar("multiplier") * self.init_length).unary(Unary::Abs);
        let share = psi(distance()) / (psi(threshold.max(Expr::Query)) + 1e-6);
        let (heads, hidden) = (model.heads, self.hidden);
        let spread = (hidden as f64).powf(-0.5);
        let uniform = |spread: f64| Init::Uniform(-spread, spread);
        Ok(Plan {
            score: raw()
                + Expr::Net {
                    name: "f".into(),
                    input: Arc::new(share),
                },
            params: vec![
                self.spec("c", vec![1], Init::Constant(self.init_c)),
                self.spec("multiplier", vec![1], Init::Constant(1.0)),
                self.spec("f.w1", vec![hidden], uniform(1.0)),
                self.spec("f.b1", vec![hidden], uniform(1.0)),
                self.spec("f.w2", vec![heads, hidden], uniform(spread)),
                self.spec("f.b2", vec![heads], uniform(spread)),
            ],
            ..Plan::default()
        })
    }
}

impl Fire {
    fn spec(&self, name: &str, shape: Vec<usize>, init: Init) -> ParamSpec {
        ParamSpec {
            name: name.into(),
            shape,
            init,
            learned: true,
            per_layer: self.per_layer,
            clamp: None,
        }
    }
}
