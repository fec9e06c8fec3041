//! Scalable softmax multiplies scores by the logarithm of how many keys there are, with a learned strength per head.
//!
//! score = raw · (s_h · ln(i + 1) + b_h) for the query at position i;  b only if `bias`
//!
//! Paper: Nakanishi 2025, arXiv 2501.19399, section 2.
//!
//! Code: none was released. The paper trains under RoPE (`rope_base`) with one s per layer and head, and finds the
//! additive b of little use. The strength starts so that the mean factor over the trained length is 1, which for 1024
//! tokens is the 0.168 that the paper uses when it replaces the softmax of a trained model.

use crate::card::{Card, Family, Paper};
use crate::error::{PlanError, check, check_model};
use crate::scheme::{Len, Scheme};
use crate::schemes::none::nope_or_rope;
use farspan_attention::expr::{Unary, param};
use farspan_attention::plan::{Geometry, Init, ParamSpec, Plan};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Settings of scalable softmax.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SsMax {
    /// Strength s of every head before training. Left out: 1 / mean of ln n over the trained length.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub strength: Option<f64>,
    /// Learn an additive term b per head as well, from 0 on.
    pub bias: bool,
    /// Turn queries and keys by RoPE with this base. Left out: no positional encoding below.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("exclusiveMinimum" = 1))]
    pub rope_base: Option<f64>,
}

impl Scheme for SsMax {
    const ID: &'static str = "ssmax";
    const CARD: Card = Card {
        title: "SSMax (scalable softmax)",
        paper: Paper {
            authors: "Nakanishi",
            year: 2025,
            arxiv: "2501.19399",
            section: "2",
        },
        family: Family::Scaling,
        idea: "Multiply scores by the logarithm of the number of keys with a learned strength, so \
               that attention does not fade in long texts.",
        formula: "factor of the query at q: s[h]·ln(q+1)",
        latex: r"\lambda_{hi} = s_h \ln(i+1)",
        ..Card::BLANK
    };

    fn check(&self) -> Result<(), PlanError> {
        self.strength.map_or(Ok(()), |strength| {
            let holds = strength > 0.0 && strength.is_finite();
            check("strength", strength, "above 0 and finite", holds)
        })?;
        nope_or_rope::check(self.rope_base)
    }

    fn plan(&self, model: &Geometry, _context_len: Len) -> Result<Plan, PlanError> {
        self.check()?;
        let strength = match self.strength {
            Some(strength) => strength,
            None => 1.0 / mean_log(model.trained_length)?,
        };
        let learned = |name: &str, start| ParamSpec {
            name: name.into(),
            shape: vec![model.heads],
            init: Init::Constant(start),
            learned: true,
            per_layer: true,
            clamp: None,
        };
        let mut factor = param("s") * super::log_n::visible().unary(Unary::Ln);
        let mut params = vec![learned("s", strength)];
        if self.bias {
            factor = factor + param("b");
            params.push(learned("b", 0.0));
        }
        Ok(Plan {
            query_scale: Some(factor),
            params,
            ..nope_or_rope::plan(self.rope_base, model)?
        })
    }
}

/// Mean of ln n over n = 1 … length.
fn mean_log(length: usize) -> Result<f64, PlanError> {
    check_model(
        "trained_length",
        length,
        "at least 2, for the strength divides by the mean of its logarithms",
        length >= 2,
    )?;
    let sum: f64 = (1..=length).map(|n| (n as f64).ln()).sum();
    Ok(sum / length as f64)
}

#[cfg(test)]
mod tests {
    use super::mean_log;

    #[test]
    fn the_strength_for_1024_tokens_is_the_papers() {
        assert_eq!((1e3 / mean_log(1024).unwrap()).round(), 168.0);
    }
}
