//! CoPE counts only the keys that a gate lets through, so that a head can count words or sentences.
//!
//! g_kt = σ(⟨q, k_t⟩/√d), p = min(Σ_{k ≤ t ≤ q} g_t, N − 1), score = raw + ⟨q, E\[p\]⟩/√d, E read between its rows
//!
//! Paper: Golovneva et al. 2024, arXiv 2405.18719, section 4.
//!
//! Code: as in the authors' code. E starts at 0, is the same for all heads and by default one per layer; it has one row
//! more than the trained length, so that no count is cut off in training (the paper's language models use 64 rows).
//! The gate may look at the values or at keys of its own instead of the keys. `divided = false` is the code's variant
//! that adds ⟨q, E\[p\]⟩ undivided. While E is 0 no gradient reaches the gates.
//!
//! Memory: linear in the length on the CPU if the gate looks at the keys; else a few tensors of the size of the scores
//! at a time, all of them in training.

use crate::card::{Card, Family, Paper};
use crate::error::{PlanError, check, check_model};
use crate::scheme::{Len, Scheme};
use crate::tensor::ops::{input, learned, sum_from};
use crate::tensor::rotation::{sigmoid, split};
use farspan_attention::form::{self, Effect, Form, Scan, Share};
use farspan_attention::hook::{Hook, HookRef, Scope, Stage};
use farspan_attention::plan::{Geometry, Init, ParamSpec, Plan};
use farspan_attention::{DType, Result, Tensor, ops};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Settings of CoPE.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Cope {
    /// Rows N of the table: counts from 0 to N − 1 are told apart; one more than the trained length unless set.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub rows: Option<usize>,
    /// What the gate compares the query with.
    pub gate: Gate,
    /// Whether the term of the position is divided by √head_dim as raw scores are.
    pub divided: bool,
    /// Whether each layer has its own table.
    pub per_layer: bool,
}

/// What CoPE's gate looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Gate {
    /// The keys: the gate is σ of the raw score.
    Keys,
    /// The values.
    Values,
    /// Keys of its own, projected from the layer's input.
    Own,
}

impl Default for Cope {
    fn default() -> Cope {
        Cope {
            rows: None,
            gate: Gate::Keys,
            divided: true,
            per_layer: true,
        }
    }
}

impl Scheme for Cope {
    const ID: &'static str = "cope";
    const CARD: Card = Card {
        title: "CoPE",
        paper: Paper {
            authors: "Golovneva et al.",
            year: 2024,
            arxiv: "2405.18719",
            section: "4",
        },
        family: Family::Content,
        idea: "Count only the keys that a gate lets through, and embed that count.",
        formula: "p = min(sum of sigmoid(raw_t) for k <= t <= q, N - 1), score = raw + <q, E[p]>/sqrt(d)",
        latex: r"p_{qk} = \min\Big(\sum_{t=k}^{q} \sigma(s_{qt}),\, N-1\Big),\quad s_{qk} + \langle q, E[p_{qk}]\rangle/\sqrt{d}",
        ..Card::BLANK
    };

    fn check(&self) -> Result<(), PlanError> {
        self.rows
            .map_or(Ok(()), |rows| check("rows", rows, "at least 1", rows >= 1))
    }

    fn plan(&self, model: &Geometry, _context_len: Len) -> Result<Plan, PlanError> {
        self.check()?;
        let rows = self.rows.unwrap_or(model.trained_length + 1);
        let mut params = vec![ParamSpec {
            per_layer: self.per_layer,
            ..learned("table", &[model.head_dim, rows], Init::Constant(0.0))
        }];
        if self.gate == Gate::Own {
            check_model("width", model.width, "at least 1", model.width >= 1)?;
            let shape = [model.kv_heads * model.head_dim, model.width];
            params.push(learned("gate", &shape, Init::Normal(0.0, 0.02)));
        }
        Ok(Plan {
            hooks: vec![HookRef::new(Counted {
                rows,
                gate: self.gate,
                divided: self.divided,
            })],
            params,
            ..Plan::default()
        })
    }
}

/// The term of the counted position.
#[derive(Debug)]
struct Counted {
    rows: usize,
    gate: Gate,
    divided: bool,
}

impl Hook for Counted {
    fn stage(&self) -> Stage {
        Stage::Scores
    }

    fn describe(&self) -> String {
        let Counted {
            rows,
            gate,
            divided,
        } = self;
        format!("CoPE: {rows} counts, gate {gate:?}, divided {divided}")
    }

    fn params(&self) -> Vec<String> {
        let names = ["table", "gate"].into_iter();
        let count = if self.gate == Gate::Own { 2 } else { 1 };
        names.take(count).map(String::from).collect()
    }

    fn reads_input(&self) -> bool {
        self.gate == Gate::Own
    }

    fn has_form(&self) -> bool {
        self.gate == Gate::Keys
    }

    fn form(&self, scope: &Scope<'_>) -> Result<Option<Form>> {
        if !self.has_form() {
            return Ok(None);
        }
        Ok(Some(Form::Scan(Scan {
            gate: form::Gate::Sigmoid,
            own: true,
            effect: Effect::Read {
                table: scope.param("table")?,
                scale: self.scale(scope),
            },
            share: Share::Softmax,
        })))
    }

    fn scores(&self, scope: &Scope<'_>, scores: &Tensor) -> Result<Tensor> {
        let logits = self.gate_logits(scope, scores)?;
        let gates = sigmoid(&logits)?.broadcast_mul(&scope.visible()?)?;
        let counts = sum_from(&gates)?.minimum((self.rows - 1) as f64)?;
        let q = scope.of_queries(&scope.qkv.q)?.contiguous()?;
        let terms = ops::linear(&q, &scope.param("table")?.t()?.contiguous()?)?;
        scores.add(
            &self
                .between_rows(&terms, &counts)?
                .affine(self.scale(scope), 0.0)?,
        )
    }
}

impl Counted {
    /// Factor of the position's term.
    fn scale(&self, scope: &Scope<'_>) -> f64 {
        if self.divided {
            scope.prepared.scale()
        } else {
            1.0
        }
    }

    /// (batch, heads, queries, keys) before the sigmoid.
    fn gate_logits(&self, scope: &Scope<'_>, scores: &Tensor) -> Result<Tensor> {
        let keys = match self.gate {
            Gate::Keys => return Ok(scores.clone()),
            Gate::Values => scope.qkv.v.clone(),
            Gate::Own => {
                let input = input(scope, &scope.prepared.keys())?;
                let keys = ops::linear(input, &scope.param("gate")?)?;
                split(&keys, scope.geometry().kv_heads)?
            }
        };
        let keys = scope.of_keys(&scope.repeated(&keys)?)?.contiguous()?;
        let q = scope.of_queries(&scope.qkv.q)?.contiguous()?;
        q.matmul(&keys.t()?)?.affine(scope.prepared.scale(), 0.0)
    }

    /// `terms` (batch, heads, queries, rows) read at real-valued rows (batch, heads, queries, keys).
    fn between_rows(&self, terms: &Tensor, at: &Tensor) -> Result<Tensor> {
        let below = at.detach().floor()?;
        let above = below.affine(1.0, 1.0)?.minimum((self.rows - 1) as f64)?;
        let share = at.sub(&below)?;
        let read = |row: &Tensor| terms.gather(&row.to_dtype(DType::U32)?.contiguous()?, 3);
        let (below, above) = (read(&below)?, read(&above)?);
        below.add(&above.sub(&below)?.mul(&share)?)
    }
}
