//! Huang's fourth method: a learned vector per distance meets the query and the key.
//!
//! score = raw + (⟨q, a_r⟩ + ⟨k, a_r⟩)/√d, r = q − k
//!
//! Paper: Huang et al. 2020, arXiv 2009.13658, section 3 (method 4).
//!
//! Code: as in Hugging Face BERT, `relative_key_query`: a table per layer, shared by its heads, N(0, 0.02²). It has a
//! row for each distance of either sign; a causal decoder sees one sign, and only these rows are kept here, in order of
//! distance. Methods 1 and 2 are `huang-m1`, method 3 is `huang-m3`.
//!
//! Memory: a few tensors of the size of one block of scores.

use crate::card::{Card, Family, Paper};
use crate::error::{PlanError, check, check_model};
use crate::scheme::{Len, Scheme};
use crate::tensor::ops::{Distances, learned};
use farspan_attention::hook::{Hook, HookRef, Scope, Stage};
use farspan_attention::plan::{Geometry, Init, Plan};
use farspan_attention::{Result, Tensor, ops};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Settings of Huang's method 4.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HuangM4 {
    /// Distances that have a vector, from 0 on; the trained length unless set. Longer texts are refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub rows: Option<usize>,
}

impl Scheme for HuangM4 {
    const ID: &'static str = "huang-m4";
    const CARD: Card = Card {
        title: "Huang method 4",
        paper: Paper {
            authors: "Huang et al.",
            year: 2020,
            arxiv: "2009.13658",
            section: "3",
        },
        family: Family::Relative,
        idea: "Let a learned vector per distance meet both the query and the key.",
        formula: "score = raw + (<q, a_r> + <k, a_r>)/sqrt(d), r = q - k",
        latex: r"s_{qk} = (\langle q, k\rangle + \langle q, a_r\rangle + \langle k, a_r\rangle)/\sqrt{d},\quad r = q-k",
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
        let init = Init::Normal(0.0, 0.02);
        Ok(Plan {
            hooks: vec![HookRef::new(BothSides { rows })],
            params: vec![learned("table", &[rows, model.head_dim], init)],
            ..Plan::default()
        })
    }
}

/// ⟨q, a_r⟩ + ⟨k, a_r⟩
#[derive(Debug)]
struct BothSides {
    rows: usize,
}

impl Hook for BothSides {
    fn stage(&self) -> Stage {
        Stage::Scores
    }

    fn describe(&self) -> String {
        format!("Huang's method 4: {} distances", self.rows)
    }

    fn params(&self) -> Vec<String> {
        vec!["table".into()]
    }

    fn scores(&self, scope: &Scope<'_>, scores: &Tensor) -> Result<Tensor> {
        let distances = Distances::new(scope, |r| r.min(self.rows - 1))?;
        let table = scope.param("table")?;
        let q = scope.of_queries(&scope.qkv.q)?.contiguous()?;
        let k = scope.of_keys(&scope.qkv.k)?.contiguous()?;
        let at_query = distances.of_queries(&ops::linear(&q, &table)?)?;
        let at_key = distances.of_keys(&scope.repeated(&ops::linear(&k, &table)?)?)?;
        scores.add(&at_query.add(&at_key)?.affine(scope.prepared.scale(), 0.0)?)
    }
}
