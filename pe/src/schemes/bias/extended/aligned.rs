//! Attention alignment: one temperature for a text that is longer than those of training, so that a trained bias by buckets,
//! under which attention flattens as keys are added, gives as sharp weights as before.
//!
//! score = (raw + bias_h(i − j))/λ for T > L tokens, unchanged otherwise;  λ = `temperature`, or ln L/ln T
//!
//! Paper: Chi et al. 2023, arXiv 2311.00684 (for T5).
//!
//! Experimental: the abstract says that λ is chosen so that the largest weight, or the entropy, of attention at T is what it
//! is at L; how, and the values that they found for T5's weights, could not be read, and their code is not to be had. Both
//! numbers of a trained cell are told by `farspan explain --cell RUN:CELL --length T`, from which λ is found by trying
//! (`temperature`). Unless it is set, λ is that of log-n scaling, which keeps the entropy to first order (Chiang & Cholak
//! 2022, arXiv 2202.12172), at the end of the text: one number for all queries, as theirs.

use super::additive;
use crate::angles::trained_length;
use crate::card::{Card, Family, Needs, Paper};
use crate::error::{PlanError, check, check_model};
use crate::over::Over;
use crate::scheme::{Len, Scheme};
use crate::schemes::rotary::extended::pi::check_trained_length;
use farspan_attention::expr::{number, raw};
use farspan_attention::plan::{Cache, Geometry, Plan};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Settings of attention alignment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Aligned {
    /// The bias whose scores are sharpened, with its settings; the base's unless set.
    #[schemars(extend("examples" = [{ "alibi": {} }, { "fire": {} }]))]
    pub over: Over,
    /// Temperature λ of texts longer than L; ln L/ln T unless set.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub temperature: Option<f64>,
    /// Length L that the weights were trained with, if not the model's.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 2))]
    pub trained_length: Option<usize>,
}

impl Default for Aligned {
    fn default() -> Aligned {
        Aligned {
            over: Over::new("t5"),
            temperature: None,
            trained_length: None,
        }
    }
}

impl Scheme for Aligned {
    const ID: &'static str = "aligned-temperature";
    const CARD: Card = Card {
        title: "Attention alignment (temperature for T5)",
        paper: Paper {
            authors: "Chi et al.",
            year: 2023,
            arxiv: "2311.00684",
            section: "abstract",
        },
        family: Family::Bias,
        idea: "Divide all scores of a text longer than those of training by one temperature that makes its attention as \
               sharp as theirs.",
        formula: "score' = score/λ at T > L tokens, λ = ln L/ln T unless measured",
        latex: r"s'_{ij} = s_{ij}/\lambda\ (T > L),\quad \lambda = \ln L/\ln T\ \text{unless measured}",
        needs: Needs::Base(Family::Bias),
        experimental: true,
        ..Card::BLANK
    };

    fn check(&self) -> Result<(), PlanError> {
        self.over.scheme(Family::Bias)?;
        self.temperature.map_or(Ok(()), |temperature| {
            let holds = temperature > 0.0 && temperature.is_finite();
            check("temperature", temperature, "above 0 and finite", holds)
        })?;
        check_trained_length(self.trained_length)?;
        self.trained_length.map_or(Ok(()), |length| {
            check("trained_length", length, "at least 2", length >= 2)
        })
    }

    fn plan(&self, model: &Geometry, context_len: Len) -> Result<Plan, PlanError> {
        Scheme::check(self)?;
        let (base, bias) = additive(&self.over, model, context_len)?;
        let trained = trained_length(self.trained_length, model)?;
        let rule = "at least 2, for the temperature is a ratio to its logarithm";
        check_model("trained_length", trained, rule, trained >= 2)?;
        let cache = Cache::Unrotated;
        if context_len.0 <= trained {
            return Ok(Plan { cache, ..base });
        }
        let by_length = (trained as f64).ln() / (context_len.0 as f64).ln();
        let temperature = self.temperature.unwrap_or(by_length);
        Ok(Plan {
            score: (raw() + bias) * number(temperature.recip()),
            cache,
            ..base
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use farspan_attention::expr::ParamValues;
    use farspan_attention::scalar;

    /// ln 64/ln 256 = 3/4: bias and raw score alike grow by 4/3, in long texts alone.
    #[test]
    fn long_texts_are_sharpened_as_a_whole() {
        let model = Geometry {
            layers: 1,
            width: 8,
            heads: 2,
            kv_heads: 2,
            head_dim: 4,
            trained_length: 64,
        };
        let of = |temperature, length, raw| {
            let scheme = Aligned {
                over: Over::new("alibi"),
                temperature,
                ..Aligned::default()
            };
            let plan = Scheme::plan(&scheme, &model, Len(length)).unwrap();
            let params = plan.params.iter();
            let constants = params.filter_map(|spec| Some((spec.name.clone(), spec.constant()?)));
            let params: ParamValues = constants.collect();
            scalar::score(&plan, &[raw], (0, 2), 9, 5, length, &params).unwrap()
        };
        // ALiBi's slope of the first of two heads is 1/16.
        let short = 0.7 - 4.0 / 16.0;
        assert!((of(None, 64, 0.7) - short).abs() < 1e-12);
        assert!((of(None, 256, 0.7) - short * 4.0 / 3.0).abs() < 1e-12);
        assert!((of(Some(0.5), 256, 0.7) - short * 2.0).abs() < 1e-12);
        assert!((of(Some(0.5), 64, 0.7) - short).abs() < 1e-12);
        // Another trained length than the model's; keys are cached as every length can use them.
        let shorter = Aligned {
            over: Over::new("alibi"),
            trained_length: Some(16),
            ..Aligned::default()
        };
        for (length, factor) in [(256, " * 2"), (16, "* (q - k)")] {
            let plan = Scheme::plan(&shorter, &model, Len(length)).unwrap();
            assert_eq!(plan.cache, Cache::Unrotated);
            let score = plan.score.to_string();
            assert!(score.ends_with(factor), "{score}");
        }
    }
}
