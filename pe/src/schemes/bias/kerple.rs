//! KERPLE lowers scores by a learned kernel of the distance, logarithmic or a power.
//!
//! log: score = raw − p_h · ln(1 + a_h·(q − k));  power: score = raw − a_h · (q − k)^p_h, 0 < p ≤ 2
//!
//! Paper: Chi et al. 2022, arXiv 2205.09921, section 4.
//!
//! Code: names as in the authors' code (the paper's are r₁, r₂). Parameters start as p ~ U(0, 2), a ~ U(0, 1) and are
//! clamped in place to at least 0.01 (the power's p also to at most 2): a projected step, not a differentiable clamp.
//! One module serves all layers, which is easy to miss; others make one per layer (`per_layer`). The code also has a
//! form that first multiplies the score by exp(−w_a·(q − k)^w_p) (`kind = "weighted-power"`).

use crate::card::{Card, Family, Paper};
use crate::error::PlanError;
use crate::scheme::{Len, Scheme};
use farspan_attention::expr::{Expr, Unary, distance, param, raw};
use farspan_attention::plan::{Geometry, Init, ParamSpec, Plan};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Settings of KERPLE.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Kerple {
    /// Which kernel.
    pub kind: Kind,
    /// Whether each layer has its own parameters; the authors' code shares them.
    pub per_layer: bool,
}

/// KERPLE's kernels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// −p·ln(1 + a·r): the one that the paper recommends.
    Log,
    /// −a·r^p
    Power,
    /// The power kernel on scores that are first multiplied by exp(−w_a·r^w_p).
    WeightedPower,
}

impl Default for Kerple {
    fn default() -> Kerple {
        Kerple {
            kind: Kind::Log,
            per_layer: false,
        }
    }
}

impl Scheme for Kerple {
    const ID: &'static str = "kerple";
    const CARD: Card = Card {
        title: "KERPLE",
        paper: Paper {
            authors: "Chi et al.",
            year: 2022,
            arxiv: "2205.09921",
            section: "4",
        },
        family: Family::Bias,
        idea: "Lower scores by a conditionally positive definite kernel of the distance, with \
               learned parameters per head.",
        ..Card::BLANK
    };

    fn plan(&self, model: &Geometry, _context_len: Len) -> Result<Plan, PlanError> {
        self.check()?;
        let power = |scale: &str, exponent: &str| param(scale) * distance().pow(param(exponent));
        let score = match self.kind {
            Kind::Log => raw() - param("p") * (param("a") * distance()).log1p(),
            Kind::Power => raw() - power("a", "p"),
            Kind::WeightedPower => raw() * decay(power("w_a", "w_p")) - power("a", "p"),
        };
        let highest = if self.kind == Kind::Log {
            f64::INFINITY
        } else {
            2.0
        };
        let mut params = vec![
            self.spec(model, "p", 2.0, highest),
            self.spec(model, "a", 1.0, f64::INFINITY),
        ];
        if self.kind == Kind::WeightedPower {
            params.push(self.spec(model, "w_p", 2.0, highest));
            params.push(self.spec(model, "w_a", 1.0, f64::INFINITY));
        }
        Ok(Plan {
            score,
            params,
            ..Plan::default()
        })
    }
}

impl Kerple {
    fn spec(&self, model: &Geometry, name: &str, below: f64, highest: f64) -> ParamSpec {
        ParamSpec {
            name: name.into(),
            shape: vec![model.heads],
            init: Init::Uniform(0.0, below),
            learned: true,
            per_layer: self.per_layer,
            clamp: Some((0.01, highest)),
        }
    }
}

fn decay(x: Expr) -> Expr {
    (-x).unary(Unary::Exp)
}
