//! SeqPE writes a position as a row of digits and lets a small transformer read it.
//!
//! a_p = encoder(digits of p, \[CLS\]);  score = (⟨q, k⟩ + η·⟨W_q·a_i, W_k·a_j⟩) / √d
//!
//! Paper: Li et al. 2025, arXiv 2506.13277, sections 3.1 and 3.2.
//!
//! Code: decimal digits, padded with zeros on the left to as many as the largest position has; digit and place
//! embeddings are added, a learned vector without place closes the row and its output is read. Two blocks of the
//! GPT-2 kind (layer norm with ε 1e-5 in front, tanh-GELU, four times the width), heads and width as the model's,
//! padding is not masked. Encoder and map are shared by all layers (`maps = "multi"`: one map per layer); the first
//! layer encodes for all. This is the code's main mode, `attn_scalar`; others (added to the input, multiplied, as a
//! rotation) are not offered. Positions at or past 10^digits cannot be written. The authors add two losses (`contrastive`
//! and `transfer`, both 0.1 in their runs, off here unless set), one that sorts positions by distance and one that carries
//! distances over to positions not trained on: `tensor/digit_losses.rs`. Their random shift of whole batches is absent.
//! Scores need a second product of width head_dim; memory is quadratic in the length.

use crate::card::{Card, Family, Paper};
use crate::error::{PlanError, check, check_model};
use crate::recipe::{AddedRef, Recipe};
use crate::scheme::{Len, Scheme};
use crate::tensor::digit_losses::DigitLosses;
use crate::tensor::encoder;
use crate::tensor::rotation::split;
use farspan_attention::hook::{Hook, HookRef, Scope, Stage};
use farspan_attention::plan::{Geometry, Init, ParamSpec, Plan};
use farspan_attention::{Result, Tensor, ops};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Settings of SeqPE.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Seqpe {
    /// Decimal digits of a position.
    #[schemars(range(min = 1, max = 9))]
    pub digits: usize,
    /// Blocks of the encoder.
    #[schemars(range(min = 1, max = 12))]
    pub blocks: usize,
    /// Weight η of the product of the encodings.
    pub eta: f64,
    /// Whether layers share the map from encodings to queries and keys.
    pub maps: Maps,
    /// Weight of the loss that sorts positions by distance; the authors take 0.1.
    #[serde(skip_serializing_if = "is_zero")]
    #[schemars(range(min = 0))]
    pub contrastive: f64,
    /// Weight of the loss that carries products over from trained positions to others; the authors take 0.1.
    #[serde(skip_serializing_if = "is_zero")]
    #[schemars(range(min = 0))]
    pub transfer: f64,
    /// Positions from 0 to this, exclusive, that the two losses are taken over. Default: 20000, the authors', or 10^digits if
    /// that is less.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 64))]
    pub positions: Option<usize>,
}

/// Left out of what is written, so that runs from before the setting keep their identity.
#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands out references"
)]
fn is_zero(x: &f64) -> bool {
    *x == 0.0
}

/// Sharing of the map behind the encoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Maps {
    /// One for all layers.
    Single,
    /// One per layer.
    Multi,
}

impl Default for Seqpe {
    fn default() -> Seqpe {
        Seqpe {
            digits: 5,
            blocks: 2,
            eta: 1.0,
            maps: Maps::Single,
            contrastive: 0.0,
            transfer: 0.0,
            positions: None,
        }
    }
}

/// Positions of the losses in the authors' runs.
const POSITIONS: usize = 20_000;

impl Seqpe {
    /// Positions that can be written.
    fn limit(&self) -> usize {
        10usize.pow(self.digits as u32)
    }

    /// Positions that the losses are taken over.
    fn far(&self) -> usize {
        self.positions.unwrap_or(POSITIONS.min(self.limit()))
    }
}

const MAP: &str = "seqpe.map";

impl Scheme for Seqpe {
    const ID: &'static str = "seqpe";
    const CARD: Card = Card {
        title: "SeqPE",
        paper: Paper {
            authors: "Li et al.",
            year: 2025,
            arxiv: "2506.13277",
            section: "3",
        },
        family: Family::Absolute,
        idea: "Write a position as a row of digits, read it with a small transformer and add the \
               product of two such readings to the score.",
        formula: "score = (q·k + η (W_q a_i)·(W_k a_j)) / √d, a = encoder(digits)",
        latex: r"s_{ij} = \tfrac{1}{\sqrt d}\big(q_i^\top k_j + \eta\,(W_q a_i)^\top (W_k a_j)\big)",
        ..Card::BLANK
    };

    fn check(&self) -> Result<(), PlanError> {
        let written = (1..=9).contains(&self.digits);
        check("digits", self.digits, "from 1 to 9", written)?;
        let few = (1..=12).contains(&self.blocks);
        check("blocks", self.blocks, "from 1 to 12", few)?;
        check("eta", self.eta, "finite", self.eta.is_finite())?;
        for (key, weight) in [
            ("contrastive", self.contrastive),
            ("transfer", self.transfer),
        ] {
            let fine = weight >= 0.0 && weight.is_finite();
            check(key, weight, "a finite weight, 0 or more", fine)?;
        }
        let (far, limit) = (self.far(), self.limit());
        let rule = format!("from 64 to {limit}, which {} digits write", self.digits);
        check(
            "positions",
            far,
            &rule,
            self.positions.is_none() || (64..=limit).contains(&far),
        )
    }

    fn recipe(&self, model: &Geometry) -> Result<Recipe, PlanError> {
        let (far, trained) = (self.far(), model.trained_length);
        if self.contrastive == 0.0 && self.transfer == 0.0 {
            return Ok(Recipe::default());
        }
        let rule = format!(
            "at least 64, and above {} at {trained} trained tokens",
            trained + trained / 4
        );
        check(
            "positions",
            far,
            &rule,
            far >= 64 && far > trained + trained / 4,
        )?;
        Ok(Recipe {
            added: Some(AddedRef::new(DigitLosses {
                digits: self.digits,
                blocks: self.blocks,
                contrastive: self.contrastive,
                transfer: self.transfer,
                positions: far,
                trained,
            })),
            ..Recipe::default()
        })
    }

    fn plan(&self, model: &Geometry, context_len: Len) -> Result<Plan, PlanError> {
        self.check()?;
        let limit = self.limit();
        if context_len.0 > limit {
            return Err(PlanError::NotServed {
                asked: context_len.0,
                limit,
                why: format!(
                    "positions are written with {} digits (`digits`)",
                    self.digits
                ),
            });
        }
        let rule = format!("a multiple of {} heads, the encoder's", model.heads);
        let divides = model.width.is_multiple_of(model.heads);
        check_model("width", model.width, &rule, divides)?;
        let mut params = encoder::specs(self.digits, self.blocks, model.width);
        params.push(ParamSpec {
            name: MAP.into(),
            shape: vec![2 * model.heads * model.head_dim, model.width],
            init: Init::Normal(0.0, 0.02),
            learned: true,
            per_layer: self.maps == Maps::Multi,
            clamp: None,
        });
        let hook = Digits {
            digits: self.digits,
            blocks: self.blocks,
            eta: self.eta,
            names: params.iter().map(|spec| spec.name.clone()).collect(),
        };
        Ok(Plan {
            hooks: vec![HookRef::new(hook)],
            params,
            ..Plan::default()
        })
    }
}

#[derive(Debug)]
struct Digits {
    digits: usize,
    blocks: usize,
    eta: f64,
    names: Vec<String>,
}

const ENCODED: [&str; 2] = ["seqpe.queries", "seqpe.keys"];

impl Digits {
    /// Encodings of the positions of the queries and of the keys, each (1, tokens, width).
    fn encodings(&self, scope: &Scope<'_>) -> Result<[Tensor; 2]> {
        if let [Some(queries), Some(keys)] = ENCODED.map(|name| scope.carried(name)) {
            return Ok([queries.clone(), keys.clone()]);
        }
        let (queries, keys) = (scope.query_positions(), scope.key_positions());
        let encode = |at: &[f64]| encoder::encode(scope, at, self.digits, self.blocks);
        let of_queries = encode(&queries)?;
        let of_keys = if keys == queries {
            of_queries.clone()
        } else {
            encode(&keys)?
        };
        Ok([of_queries, of_keys])
    }
}

impl Hook for Digits {
    fn stage(&self) -> Stage {
        Stage::Scores
    }

    fn describe(&self) -> String {
        format!(
            "seqpe: {} digits, {} blocks, eta {}",
            self.digits, self.blocks, self.eta
        )
    }

    fn params(&self) -> Vec<String> {
        self.names.clone()
    }

    fn needs_all_queries(&self) -> bool {
        true
    }

    fn scores(&self, scope: &Scope<'_>, scores: &Tensor) -> Result<Tensor> {
        let encoded = self.encodings(scope)?;
        for (name, encodings) in ENCODED.iter().zip(&encoded) {
            scope.carry(name, encodings.clone());
        }
        let heads = scope.geometry().heads;
        let map = scope.param(MAP)?;
        let rows = map.dim(0)? / 2;
        let side = |x: &Tensor, first: usize| -> Result<Tensor> {
            let map = map.narrow(0, first, rows)?.contiguous()?;
            split(&ops::linear(x, &map)?, heads)
        };
        let [queries, keys] = &encoded;
        let (q, k) = (side(queries, 0)?, side(keys, rows)?);
        let product = q.matmul(&k.transpose(2, 3)?.contiguous()?)?;
        let weight = self.eta * scope.prepared.scale();
        scores.broadcast_add(&product.affine(weight, 0.0)?)
    }
}
