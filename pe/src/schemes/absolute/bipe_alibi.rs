//! BiPE-ALiBi adds a learned vector for the place of a token in its sentence, and lowers scores by the number of
//! sentences between query and key.
//!
//! x_t + E\[u_t\];  score = raw − 96·m_h·(g_i − g_j);  g: separators before the token, u: tokens since then
//!
//! Paper: He et al. 2024, arXiv 2401.16421, section 3.
//!
//! Code: ALiBi's slopes times 96, the assumed length of a sentence. Separators as in BiPE-RoPE.

use super::bipe::{Levels, default_separators};
use crate::card::{Card, Family, Paper};
use crate::error::{PlanError, check};
use crate::scheme::{Len, Scheme};
use crate::schemes::bias::alibi::slopes;
use farspan_attention::expr::{distance, param, raw};
use farspan_attention::plan::{Geometry, Init, ParamSpec, Plan};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Settings of BiPE-ALiBi.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BipeAlibi {
    /// Texts of the tokens that close a segment.
    pub separators: Vec<String>,
    /// Rows of the table of places; the trained length unless set ("train_scale").
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub places: Option<usize>,
    /// Standard deviation of the initial table.
    #[schemars(range(min = 0))]
    pub init_std: f64,
    /// Multiplies ALiBi's slopes: the length of a usual segment.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub scale: f64,
}

impl Default for BipeAlibi {
    fn default() -> BipeAlibi {
        BipeAlibi {
            separators: default_separators(),
            places: None,
            init_std: 0.02,
            scale: 96.0,
        }
    }
}

impl Scheme for BipeAlibi {
    const ID: &'static str = "bipe-alibi";
    const CARD: Card = Card {
        title: "BiPE-ALiBi",
        paper: Paper {
            authors: "He et al.",
            year: 2024,
            arxiv: "2401.16421",
            section: "3",
        },
        family: Family::Absolute,
        idea: "Tell places within a sentence by a learned embedding and sentences apart by a linear bias, \
               for sentences are few where tokens are many.",
        formula: "x_t + E[u_t]; slope[h] = 96·2^(-8h/H)",
        latex: r"x_t + E_{u_t};\quad s_{ij} - 96\, m_h (g_i - g_j)",
        ..Card::BLANK
    };

    fn check(&self) -> Result<(), PlanError> {
        self.levels().check()?;
        let holds = self.scale > 0.0 && self.scale.is_finite();
        check("scale", self.scale, "above 0 and finite", holds)
    }

    fn plan(&self, model: &Geometry, _context_len: Len) -> Result<Plan, PlanError> {
        self.check()?;
        let slopes = slopes(model.heads, 8.0).into_iter().map(|m| m * self.scale);
        let plan = Plan {
            score: raw() - param("slope") * distance(),
            params: vec![ParamSpec {
                name: "slope".into(),
                shape: vec![model.heads],
                init: Init::Values(slopes.collect()),
                learned: false,
                per_layer: false,
                clamp: None,
            }],
            ..Plan::default()
        };
        self.levels().over(plan, model)
    }
}

impl BipeAlibi {
    fn levels(&self) -> Levels<'_> {
        let (separators, places, init_std) = (&self.separators, self.places, self.init_std);
        Levels {
            separators,
            places,
            init_std,
        }
    }
}
