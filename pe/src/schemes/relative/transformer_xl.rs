//! Transformer-XL splits the score into what a key says, what its distance says, and how much either matters anyway.
//!
//! score = (⟨q + u_h, k⟩ + ⟨q + v_h, W_h·R_r⟩)/√d, R_r = sines, then cosines of r·10000^(−2m/width), r = q − k
//!
//! Paper: Dai et al. 2019, arXiv 1901.02860, section 3.3.
//!
//! Code: as in the authors' code: u and v are shared by all layers, W is each layer's own and has no bias, all start as
//! N(0, 0.02²); `clamp` is its `clamp_len`, which counts longer distances as that one and was used in evaluation. The
//! memory of earlier segments belongs to the decoder, not to the encoding: a text here is one segment.
//!
//! Memory: queries · distances beside one block of scores.

use crate::card::{Card, Family, Paper};
use crate::error::{PlanError, check, check_model};
use crate::scheme::{Len, Scheme};
use crate::tensor::ops::{Distances, learned, with_vectors};
use farspan_attention::hook::{Hook, HookRef, Scope, Stage};
use farspan_attention::plan::{Geometry, Init, ParamSpec, Plan};
use farspan_attention::{Result, Tensor, ops};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Settings of Transformer-XL's encoding.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TransformerXl {
    /// Longer distances count as this one. Left out: none does.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub clamp: Option<usize>,
}

impl Scheme for TransformerXl {
    const ID: &'static str = "transformer-xl";
    const CARD: Card = Card {
        title: "Transformer-XL",
        paper: Paper {
            authors: "Dai et al.",
            year: 2019,
            arxiv: "1901.02860",
            section: "3.3",
        },
        family: Family::Relative,
        idea: "Let queries meet a projected sinusoid of the distance, beside content, and both on their own.",
        formula: "score = (<q + u, k> + <q + v, W R_r>)/sqrt(d), R_r = sines and cosines of r = q - k",
        latex: r"s_{qk} = (\langle q + u, k\rangle + \langle q + v, W R_{q-k}\rangle)/\sqrt{d}",
        ..Card::BLANK
    };

    fn check(&self) -> Result<(), PlanError> {
        self.clamp.map_or(Ok(()), |clamp| {
            check("clamp", clamp, "at least 1", clamp >= 1)
        })
    }

    fn plan(&self, model: &Geometry, _context_len: Len) -> Result<Plan, PlanError> {
        self.check()?;
        let even = model.width >= 2 && model.width.is_multiple_of(2);
        let rule = "even and at least 2, for a sine and a cosine each";
        check_model("width", model.width, rule, even)?;
        let Geometry {
            heads,
            head_dim,
            width,
            ..
        } = *model;
        let init = Init::Normal(0.0, 0.02);
        let shared = |name| ParamSpec {
            per_layer: false,
            ..learned(name, &[heads, head_dim], init.clone())
        };
        Ok(Plan {
            hooks: vec![HookRef::new(Relative { clamp: self.clamp })],
            params: vec![
                shared("to_content"),
                shared("to_position"),
                learned("w", &[heads * head_dim, width], init.clone()),
            ],
            ..Plan::default()
        })
    }
}

/// All terms but ⟨q, k⟩.
#[derive(Debug)]
struct Relative {
    clamp: Option<usize>,
}

impl Hook for Relative {
    fn stage(&self) -> Stage {
        Stage::Scores
    }

    fn describe(&self) -> String {
        format!("Transformer-XL: clamp {:?}", self.clamp)
    }

    fn params(&self) -> Vec<String> {
        ["to_content", "to_position", "w"].map(String::from).into()
    }

    fn scores(&self, scope: &Scope<'_>, scores: &Tensor) -> Result<Tensor> {
        let Geometry {
            heads,
            head_dim,
            width,
            ..
        } = *scope.geometry();
        let of_heads = |name| scope.param(name)?.reshape((1, heads, 1, head_dim));
        let keys = scope.of_keys(&scope.repeated(&scope.qkv.k)?)?;
        let content = keys.broadcast_mul(&of_heads("to_content")?)?;
        let content = content.sum_keepdim(3)?.transpose(2, 3)?;

        let distances = Distances::new(scope, |r| r.min(self.clamp.unwrap_or(usize::MAX)))?;
        let rows = distances.needed();
        let waves = scope.constant(&sinusoids(rows, width), &[rows, width])?;
        let vectors = ops::linear(&waves, &scope.param("w")?)?;
        let q = scope.of_queries(&scope.qkv.q)?;
        let q = q.broadcast_add(&of_heads("to_position")?)?;
        let position = distances.of_queries(&with_vectors(&q, &vectors)?)?;

        let terms = position.broadcast_add(&content)?;
        scores.add(&terms.affine(scope.prepared.scale(), 0.0)?)
    }
}

/// R_r for r below `rows`, row-major.
fn sinusoids(rows: usize, width: usize) -> Vec<f64> {
    let inv_freq = |m: usize| 10000f64.powf(-((2 * m) as f64) / width as f64);
    let half = width / 2;
    let value = |at: usize| {
        let (r, c) = ((at / width) as f64, at % width);
        if c < half {
            (r * inv_freq(c)).sin()
        } else {
            (r * inv_freq(c - half)).cos()
        }
    };
    (0..rows * width).map(value).collect()
}
