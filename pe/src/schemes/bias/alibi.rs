//! ALiBi lowers each score in proportion to the distance, each head with its own slope.
//!
//! score = raw − m_h · (q − k);  m_h = 2^(−8h/H) for h = 1 … H if H is a power of two
//!
//! Paper: Press et al. 2021, arXiv 2108.12409, section 3.
//!
//! Code: for other H, the authors take the slopes of the next lower power of two and fill up with every other slope of
//! the next higher one. MPT's generator (slopes for the next higher power, even ones before odd ones) gives the same
//! numbers in the same order and takes the 8 as a setting, `bias_max`; it is used here. Falcon adds the bias before the
//! factor 1/√head_dim (`placement = "before-scale"`).

use crate::card::{Card, Family, Paper};
use crate::error::{PlanError, check};
use crate::scheme::{Len, Scheme};
use farspan_attention::expr::{distance, param, raw};
use farspan_attention::plan::{Geometry, Init, ParamSpec, Plan};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Settings of ALiBi.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Alibi {
    /// The slopes end at 2^(−bias_max) ("alibi_bias_max").
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub bias_max: f64,
    /// Whether the slopes are trained, from these values on. The paper found no gain in it.
    pub learned: bool,
    /// On which side of the factor 1/√head_dim the bias is added.
    pub placement: Placement,
}

/// Where a bias is added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Placement {
    /// To the scaled score: the paper, BLOOM, MPT.
    AfterScale,
    /// To ⟨q, k⟩, so that it is divided by √head_dim as well: Falcon.
    BeforeScale,
}

impl Default for Alibi {
    fn default() -> Alibi {
        Alibi {
            bias_max: 8.0,
            learned: false,
            placement: Placement::AfterScale,
        }
    }
}

impl Scheme for Alibi {
    const ID: &'static str = "alibi";
    const CARD: Card = Card {
        title: "ALiBi",
        paper: Paper {
            authors: "Press et al.",
            year: 2021,
            arxiv: "2108.12409",
            section: "3",
        },
        family: Family::Bias,
        idea: "Lower each attention score in proportion to the distance, with a fixed slope per \
               head.",
        formula: "slope[h] = 2^(-8h/H) for H heads, h = 1 … H, H a power of two",
        latex: r"\mathrm{slope}_{h} = 2^{-8h/H}",
        ..Card::BLANK
    };

    fn check(&self) -> Result<(), PlanError> {
        let holds = self.bias_max > 0.0 && self.bias_max.is_finite();
        check("bias_max", self.bias_max, "above 0 and finite", holds)
    }

    fn plan(&self, model: &Geometry, _context_len: Len) -> Result<Plan, PlanError> {
        self.check()?;
        let unit = match self.placement {
            Placement::AfterScale => 1.0,
            Placement::BeforeScale => 1.0 / (model.head_dim as f64).sqrt(),
        };
        let slopes = slopes(model.heads, self.bias_max)
            .into_iter()
            .map(|m| m * unit);
        Ok(Plan {
            score: raw() - param("slope") * distance(),
            params: vec![ParamSpec {
                name: "slope".into(),
                shape: vec![model.heads],
                init: Init::Values(slopes.collect()),
                learned: self.learned,
                per_layer: false,
                clamp: None,
            }],
            ..Plan::default()
        })
    }
}

/// One slope per head: s_k = 2^(−bias_max·k/P) for k = 1 … P with P the power of two not below `heads`; if that is not
/// `heads` itself, those of even k and then those of odd k, as many as there are heads.
pub fn slopes(heads: usize, bias_max: f64) -> Vec<f64> {
    let power = heads.next_power_of_two();
    let slope = |k: usize| (-bias_max * k as f64 / power as f64).exp2();
    if power == heads {
        return (1..=power).map(slope).collect();
    }
    let even = (2..=power).step_by(2);
    even.chain((1..=power).step_by(2))
        .take(heads)
        .map(slope)
        .collect()
}
