//! Huang's third method weighs every channel of the dot product by a learned number per distance.
//!
//! score = Σ_c q_c·k_c·a_{r,c} / √d, r = q − k
//!
//! Paper: Huang et al. 2020, arXiv 2009.13658, section 3 (method 3).
//!
//! Code: none was released, and the formula could not be held against another source, hence experimental. The paper's
//! table has a row for each distance of either sign; a causal decoder sees one sign. One table per layer, shared by its
//! heads, as in method 4; the numbers start at 1, as NoPE.
//!
//! Memory: a tensor of the size of one block of scores times the channels of a head.

use crate::card::{Card, Family, Paper};
use crate::error::{PlanError, check, check_model};
use crate::scheme::{Len, Scheme};
use crate::tensor::ops::{Distances, learned};
use farspan_attention::hook::{Hook, HookRef, Scope, Stage};
use farspan_attention::plan::{Geometry, Init, Plan};
use farspan_attention::{Result, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Settings of Huang's method 3.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HuangM3 {
    /// Distances that have weights, from 0 on; the trained length unless set. Longer texts are refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub rows: Option<usize>,
}

impl Scheme for HuangM3 {
    const ID: &'static str = "huang-m3";
    const CARD: Card = Card {
        title: "Huang method 3",
        paper: Paper {
            authors: "Huang et al.",
            year: 2020,
            arxiv: "2009.13658",
            section: "3",
        },
        family: Family::Relative,
        idea: "Weigh every channel of the dot product by a learned number per distance.",
        formula: "score = sum over c of q_c k_c a_{r,c} / sqrt(d), r = q - k",
        latex: r"s_{qk} = \sum_c q_c\, k_c\, a_{r,c} / \sqrt{d},\quad r = q-k",
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
        let table = learned("table", &[rows, model.head_dim], Init::Constant(1.0));
        Ok(Plan {
            hooks: vec![HookRef::new(Channels { rows })],
            params: vec![table],
            ..Plan::default()
        })
    }
}

/// Σ_c q_c·k_c·a_{r,c}
#[derive(Debug)]
struct Channels {
    rows: usize,
}

impl Hook for Channels {
    fn stage(&self) -> Stage {
        Stage::Scores
    }

    fn describe(&self) -> String {
        format!("Huang's method 3: {} distances", self.rows)
    }

    fn params(&self) -> Vec<String> {
        vec!["table".into()]
    }

    fn scores(&self, scope: &Scope<'_>, _scores: &Tensor) -> Result<Tensor> {
        let distances = Distances::new(scope, |r| r.min(self.rows - 1))?;
        let weights = distances.vectors(&scope.param("table")?)?;
        let q = scope.of_queries(&scope.qkv.q)?;
        let k = scope.repeated(&scope.of_keys(&scope.qkv.k)?)?;
        let weighted = q.unsqueeze(3)?.broadcast_mul(&weights)?;
        let products = weighted.broadcast_mul(&k.unsqueeze(2)?)?;
        let scores = products.sum_keepdim(4)?.squeeze(4)?;
        scores.affine(scope.prepared.scale(), 0.0)
    }
}
