//! Stick-breaking attention: each key, from the nearest outwards, takes its share of what the nearer ones left.
//!
//! A_qk = β_qk · Π_{k < t < q} (1 − β_qt), β = σ(raw); output = Σ_k A_qk·v_k + (1 − Σ_k A_qk)·v_q
//!
//! Paper: Tan et al. 2024, arXiv 2410.17980, section 2.
//!
//! Code: as in the authors' reference: sums of logarithms, the query's own token left out unless `attend_current`, and
//! what is left of the stick goes to the query's own value unless `remainder = false`. There is no other encoding of
//! positions and no softmax.
//!
//! Memory: linear in the length on the CPU, elsewhere a few tensors of the size of the scores of all queries.

use crate::card::{Card, Family, Paper};
use crate::error::PlanError;
use crate::scheme::{Len, Scheme};
use crate::tensor::ops::sum_from;
use crate::tensor::rotation::softplus;
use farspan_attention::form::{Effect, Form, Gate, Scan, Share};
use farspan_attention::hook::{Hook, HookRef, Qkv, Scope, Stage};
use farspan_attention::plan::{Geometry, Plan};
use farspan_attention::{Error, Result, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Settings of stick-breaking attention.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct StickBreaking {
    /// Whether a query breaks off a piece for its own token first.
    pub attend_current: bool,
    /// Whether what is left goes to the query's own value.
    pub remainder: bool,
}

impl Default for StickBreaking {
    fn default() -> StickBreaking {
        StickBreaking {
            attend_current: false,
            remainder: true,
        }
    }
}

impl Scheme for StickBreaking {
    const ID: &'static str = "stick-breaking";
    const CARD: Card = Card {
        title: "Stick-breaking attention",
        paper: Paper {
            authors: "Tan et al.",
            year: 2024,
            arxiv: "2410.17980",
            section: "2",
        },
        family: Family::Content,
        idea: "Let each key, from the nearest outwards, take its share of what nearer keys left.",
        formula: "A_qk = sigmoid(raw_qk) * product of (1 - sigmoid(raw_qt)) for k < t < q; the rest goes to v_q",
        latex: r"A_{qk} = \sigma(s_{qk}) \prod_{k<t<q} (1 - \sigma(s_{qt}))",
        ..Card::BLANK
    };

    fn plan(&self, _model: &Geometry, _context_len: Len) -> Result<Plan, PlanError> {
        self.check()?;
        Ok(Plan {
            hooks: vec![HookRef::new(Stick(self.clone()))],
            ..Plan::default()
        })
    }
}

/// Attention without softmax.
#[derive(Debug)]
struct Stick(StickBreaking);

impl Hook for Stick {
    fn stage(&self) -> Stage {
        Stage::Attention
    }

    fn describe(&self) -> String {
        let StickBreaking {
            attend_current,
            remainder,
        } = self.0;
        format!("stick-breaking: own token {attend_current}, remainder {remainder}")
    }

    fn has_form(&self) -> bool {
        true
    }

    fn form(&self, scope: &Scope<'_>) -> Result<Option<Form>> {
        own_keys(scope)?;
        Ok(Some(Form::Scan(Scan {
            gate: Gate::Softplus,
            own: self.0.attend_current,
            effect: Effect::Subtract,
            share: Share::Sticks {
                rest: self.0.remainder,
            },
        })))
    }

    fn attention(&self, scope: &Scope<'_>, qkv: &Qkv) -> Result<Tensor> {
        own_keys(scope)?;
        let (queries, keys) = (scope.queries.clone(), scope.keys.clone());
        let taking = |i: usize| {
            let own = self.0.attend_current;
            let takes = move |j: usize| f64::from(u8::from(own || j != i));
            keys.clone().map(takes)
        };
        let taking: Vec<f64> = queries.clone().flat_map(taking).collect();
        let taking = scope.constant(&taking, &[queries.len(), keys.len()])?;
        let taking = taking.mul(&scope.visible()?)?;
        let scores = scope.scores(qkv)?;
        // −ln(1 − β), and from each key to the nearest: −ln of what is left once it has taken its piece.
        let taken = softplus(&scores)?.broadcast_mul(&taking)?;
        let taken = sum_from(&taken)?;
        let pieces = scores
            .sub(&taken)?
            .minimum(0.0)?
            .exp()?
            .broadcast_mul(&taking)?;
        let v = scope.repeated(&qkv.v)?;
        let output = pieces.matmul(&v)?;
        if !self.0.remainder {
            return Ok(output);
        }
        let left = taken.narrow(3, 0, 1)?.neg()?.exp()?;
        let own = v.narrow(2, queries.start - keys.start, queries.len())?;
        output.add(&own.broadcast_mul(&left)?)
    }
}

/// Fails unless the keys of the queries are among the keys.
fn own_keys(scope: &Scope<'_>) -> Result<()> {
    let (queries, keys) = (&scope.queries, &scope.keys);
    if queries.start >= keys.start && queries.end <= keys.end {
        return Ok(());
    }
    Err(Error::Argument {
        what: "stick-breaking attention, keys",
        expected: format!("those of the queries {queries:?} among them"),
        found: format!("{keys:?}"),
    })
}
