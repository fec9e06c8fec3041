//! Huang's first method multiplies each score by one learned number per distance.
//!
//! score = raw · w\[q − k\]
//!
//! Paper: Huang et al. 2020, arXiv 2009.13658, section 3 (methods 1 and 2).
//!
//! Code: none was released, and the formula could not be held against another source, hence experimental. Method 2 tells
//! the sign of the distance apart; a causal decoder sees one sign only, so that it is the same. The numbers start at 1,
//! as NoPE.

use crate::card::{Card, Family, Paper};
use crate::error::{PlanError, check, check_model};
use crate::scheme::{Len, Scheme};
use farspan_attention::expr::{distance, raw, shared_lookup};
use farspan_attention::plan::{Geometry, Init, ParamSpec, Plan};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Settings of Huang's method 1.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HuangM1 {
    /// Distances that have a number, from 0 on; the trained length unless set. Longer texts are refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub rows: Option<usize>,
}

impl Scheme for HuangM1 {
    const ID: &'static str = "huang-m1";
    const CARD: Card = Card {
        title: "Huang method 1 (and 2)",
        paper: Paper {
            authors: "Huang et al.",
            year: 2020,
            arxiv: "2009.13658",
            section: "3",
        },
        family: Family::Bias,
        idea: "Multiply each score by one learned number per distance.",
        experimental: true,
        ..Card::BLANK
    };

    fn check(&self) -> Result<(), PlanError> {
        self.rows
            .map_or(Ok(()), |rows| check("rows", rows, "at least 1", rows >= 1))
    }

    fn plan(&self, model: &Geometry, context_len: Len) -> Result<Plan, PlanError> {
        self.check()?;
        let rows = self.rows.unwrap_or(model.trained_length);
        let rule = "at least 1, for it gives the rows of the table";
        check_model("trained_length", rows, rule, rows >= 1)?;
        if context_len.0 > rows {
            return Err(PlanError::NotServed {
                asked: context_len.0,
                limit: rows,
                why: "the learned table has no more distances; train with a larger `rows`".into(),
            });
        }
        Ok(Plan {
            score: raw() * shared_lookup("w", distance()),
            params: vec![ParamSpec {
                name: "w".into(),
                shape: vec![rows],
                init: Init::Constant(1.0),
                learned: true,
                per_layer: true,
                clamp: None,
            }],
            ..Plan::default()
        })
    }
}
