//! BAM takes positional encoding for a prior over where to look: a generalised Gaussian of the distance, whose width, shape
//! and centre each head learns.
//!
//! score = raw − e^a_h·(|j − i − (e^μ_h − e^−μ_h)| + ε)^β_h, ε = 1e-5;  `ssmax`: all of it times s_h·ln(i + 1)
//!
//! Paper: Bianchessi et al. 2025, arXiv 2505.22842, section 4.
//!
//! Code: as released: β starts at 1 and e^a at ALiBi's slopes, so that training starts from ALiBi; μ starts at 0 and stays
//! there unless `learn_centre`; one prior serves all layers (`per_layer`). With `ssmax` the prior is scaled too, and s, one
//! per layer and head, starts at 1. A negative β looks away from neighbours.

use super::alibi::slopes;
use crate::card::{Card, Family, Paper};
use crate::error::PlanError;
use crate::scheme::{Len, Scheme};
use farspan_attention::expr::{Expr, Unary, distance, param, raw};
use farspan_attention::plan::{Geometry, Init, ParamSpec, Plan};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Keeps the power's derivative finite at the centre.
const NEAR: f64 = 1e-5;

/// Settings of BAM.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Bam {
    /// Whether the centre μ is trained, from 0 on.
    pub learn_centre: bool,
    /// Whether each layer has a prior of its own; the authors' code shares one.
    pub per_layer: bool,
    /// Multiply scores and prior by s·ln(i + 1), s learned, as scalable softmax does.
    pub ssmax: bool,
}

impl Scheme for Bam {
    const ID: &'static str = "bam";
    const CARD: Card = Card {
        title: "BAM (Bayesian attention mechanism)",
        paper: Paper {
            authors: "Bianchessi et al.",
            year: 2025,
            arxiv: "2505.22842",
            section: "4",
        },
        family: Family::Bias,
        idea: "Add the logarithm of a prior over positions, a generalised Gaussian of the distance with learned width, \
               shape and centre.",
        ..Card::BLANK
    };

    fn plan(&self, model: &Geometry, _context_len: Len) -> Result<Plan, PlanError> {
        self.check()?;
        let spec = |name: &str, init, learned, per_layer| ParamSpec {
            name: name.into(),
            shape: vec![model.heads],
            init,
            learned,
            per_layer,
            clamp: None,
        };
        let widths = slopes(model.heads, 8.0).into_iter().map(f64::ln).collect();
        let mut params = vec![
            spec("shape", Init::Constant(1.0), true, self.per_layer),
            spec("scale", Init::Values(widths), true, self.per_layer),
        ];
        // j − i − c, but for the sign.
        let mut from_centre = distance();
        if self.learn_centre {
            from_centre = from_centre + exp(param("centre")) - exp(-param("centre"));
            params.push(spec("centre", Init::Constant(0.0), true, self.per_layer));
        }
        let near = from_centre.unary(Unary::Abs) + NEAR;
        let mut score = raw() - exp(param("scale")) * near.pow(param("shape"));
        if self.ssmax {
            score = score * (param("s") * (Expr::Query + 1.0).unary(Unary::Ln));
            params.push(spec("s", Init::Constant(1.0), true, true));
        }
        Ok(Plan {
            score,
            params,
            ..Plan::default()
        })
    }
}

fn exp(x: Expr) -> Expr {
    x.unary(Unary::Exp)
}
