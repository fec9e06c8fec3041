//! Selective attention: a token may vote, through the first head, to hide earlier tokens from all later ones.
//!
//! R_tk = max(raw_tk of head 0, 0), 0 for k = t and for the first key; score_qk = raw_qk − Σ_{t < q} R_tk at all heads
//!
//! Paper: Leviathan et al. 2024, arXiv 2410.02703, section 3.
//!
//! Code: the authors released none; the formula is the paper's and agrees with an independent implementation. A vote of
//! token t counts from query t + 1 on. The auxiliary loss on memory and the eviction of hidden tokens are not positions.
//! `rope_base` puts it on top of RoPE.
//!
//! Memory: linear in the length on the CPU, elsewhere the scores of all queries at once. Queries must be all tokens of
//! the call: votes of earlier calls are not kept.

use crate::card::{Card, Family, Paper};
use crate::error::PlanError;
use crate::scheme::{Len, Scheme};
use crate::schemes::none::nope_or_rope;
use crate::tensor::rotation::whole_text;
use farspan_attention::form::{self, Form};
use farspan_attention::hook::{Hook, HookRef, Scope, Stage};
use farspan_attention::plan::{Geometry, Plan};
use farspan_attention::{Result, Tensor, ops};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Settings of selective attention.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Selective {
    /// Turn queries and keys by RoPE with this base. Left out: no rotation.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("exclusiveMinimum" = 1))]
    pub rope_base: Option<f64>,
}

impl Scheme for Selective {
    const ID: &'static str = "selective";
    const CARD: Card = Card {
        title: "Selective attention",
        paper: Paper {
            authors: "Leviathan et al.",
            year: 2024,
            arxiv: "2410.02703",
            section: "3",
        },
        family: Family::Content,
        idea: "Let tokens vote to hide earlier tokens from all later ones.",
        formula: "score_qk = raw_qk - sum of max(raw_tk of head 0, 0) for k < t < q, no votes against the first key",
        latex: r"s^h_{qk} = \langle q, k\rangle/\sqrt{d} - \sum_{k<t<q} \max(s^0_{tk}, 0)",
        ..Card::BLANK
    };

    fn check(&self) -> Result<(), PlanError> {
        nope_or_rope::check(self.rope_base)
    }

    fn plan(&self, model: &Geometry, _context_len: Len) -> Result<Plan, PlanError> {
        self.check()?;
        Ok(Plan {
            hooks: vec![HookRef::new(Votes)],
            ..nope_or_rope::plan(self.rope_base, model)?
        })
    }
}

/// Lowers scores by the votes so far.
#[derive(Debug)]
struct Votes;

impl Hook for Votes {
    fn stage(&self) -> Stage {
        Stage::Scores
    }

    fn describe(&self) -> String {
        "selective: minus the first head's votes so far".into()
    }

    fn needs_all_queries(&self) -> bool {
        true
    }

    fn has_form(&self) -> bool {
        true
    }

    fn form(&self, scope: &Scope<'_>) -> Result<Option<Form>> {
        whole_text(scope, "selective attention")?;
        Ok(scope.mask.causal.then_some(Form::Votes(form::Votes)))
    }

    fn scores(&self, scope: &Scope<'_>, scores: &Tensor) -> Result<Tensor> {
        whole_text(scope, "selective attention")?;
        let (queries, keys) = (scope.queries.clone(), scope.keys.clone());
        let first = scope.prepared.keys().start;
        let counts = |i: usize| {
            let counts = move |j: usize| f64::from(u8::from(j != i && j != first));
            keys.clone().map(counts)
        };
        let counts: Vec<f64> = queries.clone().flat_map(counts).collect();
        let counts = scope.constant(&counts, &[queries.len(), keys.len()])?;
        // Hidden pairs hold 0.
        let votes = scores.narrow(1, 0, 1)?.relu()?.broadcast_mul(&counts)?;
        // By key, one place later than they are cast: (batch, 1, keys, queries + 1).
        let votes = votes.transpose(2, 3)?.contiguous()?;
        let none = votes.narrow(3, 0, 1)?.zeros_like()?;
        let so_far = ops::running_sum(&Tensor::cat(&[&none, &votes], 3)?)?;
        let so_far = so_far.narrow(3, 0, queries.len())?.transpose(2, 3)?;
        scores.broadcast_sub(&so_far)
    }
}
