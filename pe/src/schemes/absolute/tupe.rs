//! TUPE unties positions from content: a score is the sum of what the contents and what the positions say, each with
//! query and key maps of its own.
//!
//! score = (⟨q, k⟩ + ⟨U_q·LN(p_i) + b_q, U_k·LN(p_j) + b_k⟩)/√(2d);  `relative`: + bias[h, bucket(i − j)] as in T5
//!
//! Paper: Ke et al. 2020, arXiv 2006.15595, section 3.1 (TUPE-A; TUPE-R with `relative`).
//!
//! Code: one table p and one pair of maps, with biases and a layer norm, serve all layers; everything starts as BERT does.
//! The paper resets what concerns the CLS token, which a decoder has not.

use super::learned::past_the_table;
use crate::card::{Card, Family, Paper};
use crate::error::{PlanError, check, check_model};
use crate::scheme::{Len, Scheme};
use crate::schemes::bias::t5::T5;
use crate::tensor::rotation::split;
use farspan_attention::expr::raw;
use farspan_attention::hook::{Hook, HookRef, Scope, Stage};
use farspan_attention::plan::{Geometry, Init, ParamSpec, Plan};
use farspan_attention::{Error, Result, Tensor, ops};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Settings of TUPE.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Tupe {
    /// Rows of the table of positions, which is the longest text that can be read. Left out: the trained length.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub rows: Option<usize>,
    /// Whether T5's bias by distance is added, with its default buckets (TUPE-R).
    pub relative: bool,
}

const TABLE: &str = "tupe.table";
const NORM: &str = "tupe.norm";
const NORM_BIAS: &str = "tupe.norm_bias";

fn map(side: &str) -> [String; 2] {
    [format!("tupe.{side}"), format!("tupe.{side}_bias")]
}

impl Scheme for Tupe {
    const ID: &'static str = "tupe";
    const CARD: Card = Card {
        title: "TUPE",
        paper: Paper {
            authors: "Ke et al.",
            year: 2020,
            arxiv: "2006.15595",
            section: "3.1",
        },
        family: Family::Absolute,
        idea: "Add to the product of contents that of position vectors, with query and key maps of their own.",
        formula: "score = (⟨q, k⟩ + ⟨U_q LN(p_i) + b_q, U_k LN(p_j) + b_k⟩)/√(2d)",
        latex: r"s_{ij} = \tfrac{1}{\sqrt{2d}}\left(\langle q_i, k_j\rangle + \langle U_q\bar p_i, U_k\bar p_j\rangle\right)",
        ..Card::BLANK
    };

    fn check(&self) -> Result<(), PlanError> {
        self.rows
            .map_or(Ok(()), |rows| check("rows", rows, "at least 1", rows >= 1))
    }

    fn plan(&self, model: &Geometry, context_len: Len) -> Result<Plan, PlanError> {
        Scheme::check(self)?;
        let rows = self.rows.unwrap_or(model.trained_length);
        let rule = "at least 1, for it gives the rows of the table";
        check_model("trained_length", rows, rule, rows >= 1)?;
        check_model("width", model.width, "at least 1", model.width >= 1)?;
        if context_len.0 > rows {
            return Err(past_the_table(
                context_len,
                rows,
                "train with a larger `rows`",
            ));
        }
        let shared = |name: &str, shape: &[usize], init| ParamSpec {
            name: name.into(),
            shape: shape.to_vec(),
            init,
            learned: true,
            per_layer: false,
            clamp: None,
        };
        let drawn = Init::Normal(0.0, 0.02);
        let mut params = vec![
            shared(TABLE, &[rows, model.width], drawn.clone()),
            shared(NORM, &[model.width], Init::Constant(1.0)),
            shared(NORM_BIAS, &[model.width], Init::Constant(0.0)),
        ];
        let outer = model.heads * model.head_dim;
        for side in ["query", "key"] {
            let [weight, bias] = map(side);
            params.push(shared(&weight, &[outer, model.width], drawn.clone()));
            params.push(shared(&bias, &[outer], Init::Constant(0.0)));
        }
        let mut score = raw();
        if self.relative {
            let t5 = T5::default().plan(model, context_len)?;
            // The raw score with the bias.
            score = t5.score;
            params.extend(t5.params);
        }
        Ok(Plan {
            softmax_scale: 0.5f64.sqrt(),
            score,
            hooks: vec![HookRef::new(Untied)],
            params,
            ..Plan::default()
        })
    }
}

/// ε of the layer norm.
const EPS: f64 = 1e-5;

/// The product of positions.
#[derive(Debug)]
struct Untied;

impl Untied {
    /// Vectors of the tokens at `positions` under the map of one side: (1, heads, tokens, head_dim).
    fn vectors(scope: &Scope<'_>, positions: &[f64], side: &str) -> Result<Tensor> {
        let table = scope.param(TABLE)?;
        let rows = table.dim(0)?;
        let row = |&x: &f64| {
            let known = x >= 0.0 && x.fract() == 0.0 && x < rows as f64;
            known.then_some(x as u32).ok_or_else(|| Error::Argument {
                what: "positions under a table",
                expected: format!("whole numbers below {rows}"),
                found: x.to_string(),
            })
        };
        let at: Vec<u32> = positions.iter().map(row).collect::<Result<_>>()?;
        let at = Tensor::from_vec(at, positions.len(), &table.device())?;
        let x = table.index_select(&at, 0)?;
        let x = ops::layer_norm(&x, &scope.param(NORM)?, &scope.param(NORM_BIAS)?, EPS)?;
        let [weight, bias] = map(side);
        let x = ops::linear(&x, &scope.param(&weight)?)?.broadcast_add(&scope.param(&bias)?)?;
        let x = x.reshape((1, positions.len(), x.dim(1)?))?;
        split(&x, scope.geometry().heads)
    }
}

impl Hook for Untied {
    fn stage(&self) -> Stage {
        Stage::Scores
    }

    fn describe(&self) -> String {
        "TUPE: product of positions".into()
    }

    fn params(&self) -> Vec<String> {
        let own = ["query", "key"].into_iter().flat_map(map);
        [TABLE, NORM, NORM_BIAS]
            .map(String::from)
            .into_iter()
            .chain(own)
            .collect()
    }

    fn scores(&self, scope: &Scope<'_>, scores: &Tensor) -> Result<Tensor> {
        let queries = Untied::vectors(scope, &scope.query_positions(), "query")?;
        let keys = Untied::vectors(scope, &scope.key_positions(), "key")?;
        let product = queries.matmul(&keys.transpose(2, 3)?.contiguous()?)?;
        scores.broadcast_add(&product.affine(scope.prepared.scale(), 0.0)?)
    }
}
