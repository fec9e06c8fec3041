//! iRoPE (Llama 4): rotations within chunks of the text, and every n-th layer full, without positional encoding, with
//! queries scaled by their position.
//!
//! layer l (from 1): if l mod n = 0 NoPE, q times 1 + 0.1·ln(1 + ⌊(i+1)/floor⌋); else RoPE over keys of the same chunk,
//! ⌊i/C⌋ = ⌊j/C⌋
//!
//! Source: Meta 2025, Llama 4, its release and the model in Hugging Face; there is no paper.
//!
//! Code: interleaved pairs, n = 4, chunks and floor of 8192. Chunk and floor follow the trained length here unless set.
//! Some sizes normalise q and k of the rotated layers (no part of the encoding, not done here).

use crate::angles::{PairingSchema, trained_length};
use crate::card::{Card, Family, Paper};
use crate::error::{PlanError, check};
use crate::scheme::{Len, Scheme};
use crate::schemes::rotary::rope::Rope;
use farspan_attention::expr::{Expr, Unary, number, raw, select_less};
use farspan_attention::plan::{Geometry, Pairing, Plan};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Settings of iRoPE.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Irope {
    /// Base b of the frequencies.
    #[schemars(extend("exclusiveMinimum" = 1))]
    pub base: f64,
    /// Which two channels make a pair.
    #[schemars(with = "PairingSchema")]
    pub pairing: Pairing,
    /// Every how many layers one is full and without positional encoding.
    #[schemars(range(min = 1))]
    pub interval: usize,
    /// Tokens of a chunk; the trained length unless set.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub chunk: Option<usize>,
    /// Tokens after which queries of the full layers grow; the trained length unless set ("floor_scale").
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub floor: Option<usize>,
    /// How fast they grow ("attn_scale"); 0 leaves them alone.
    #[schemars(range(min = 0))]
    pub growth: f64,
}

impl Default for Irope {
    fn default() -> Irope {
        Irope {
            base: 10000.0,
            pairing: Pairing::Interleaved,
            interval: 4,
            chunk: None,
            floor: None,
            growth: 0.1,
        }
    }
}

impl Scheme for Irope {
    const ID: &'static str = "irope";
    const CARD: Card = Card {
        title: "iRoPE (Llama 4)",
        paper: Paper {
            authors: "Meta",
            year: 2025,
            arxiv: "",
            section: "Llama 4 release",
        },
        family: Family::Layerwise,
        idea: "Rotate within chunks of the text in most layers; in every n-th see all of it without \
               positions, sharpening late queries.",
        formula: "layers n, 2n, …: NoPE, q·(1 + 0.1·ln(1 + ⌊(i+1)/F⌋)); others: RoPE, ⌊i/C⌋ = ⌊j/C⌋",
        latex: r"q_i\,(1 + 0.1 \ln(1 + \lfloor (i+1)/F \rfloor))\ \text{if}\ l \bmod n = 0",
        ..Card::BLANK
    };

    fn check(&self) -> Result<(), PlanError> {
        self.rope().check()?;
        check("interval", self.interval, "at least 1", self.interval >= 1)?;
        for (key, size) in [("chunk", self.chunk), ("floor", self.floor)] {
            size.map_or(Ok(()), |size| check(key, size, "at least 1", size >= 1))?;
        }
        let holds = self.growth >= 0.0 && self.growth.is_finite();
        check("growth", self.growth, "at least 0 and finite", holds)
    }

    fn plan(&self, model: &Geometry, context_len: Len) -> Result<Plan, PlanError> {
        self.layer_plan(model, context_len, 0)
    }

    fn layer_plan(
        &self,
        model: &Geometry,
        context_len: Len,
        layer: usize,
    ) -> Result<Plan, PlanError> {
        self.check()?;
        let rotated = self.rope().plan(model, context_len)?;
        let trained = trained_length(None, model)?;
        if (layer + 1).is_multiple_of(self.interval) {
            let full =
                ((Expr::Query + 1.0) / self.floor.unwrap_or(trained) as f64).unary(Unary::Floor);
            let growth = number(1.0) + number(self.growth) * full.log1p();
            return Ok(Plan {
                query_scale: (self.growth != 0.0).then_some(growth),
                ..Plan::default()
            });
        }
        let chunk =
            |position: Expr| (position / self.chunk.unwrap_or(trained) as f64).unary(Unary::Floor);
        // A key comes before its query, so its chunk is the same or an earlier one.
        let same = chunk(Expr::Query) - chunk(Expr::Key);
        Ok(Plan {
            score: select_less(same, number(1.0), raw(), number(f64::NEG_INFINITY)),
            ..rotated
        })
    }
}

impl Irope {
    fn rope(&self) -> Rope {
        Rope {
            base: self.base,
            pairing: self.pairing,
            ..Rope::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use farspan_attention::expr::ParamValues;
    use farspan_attention::scalar;

    /// Hugging Face: scales are 1 before the floor, then 1 + 0.1·ln(1 + ⌊(i + 1)/8192⌋).
    #[test]
    fn chunks_do_not_mix_and_late_queries_grow() {
        let model = Geometry {
            layers: 4,
            width: 8,
            heads: 1,
            kv_heads: 1,
            head_dim: 8,
            trained_length: 8,
        };
        let plan = |layer| Irope::default().layer_plan(&model, Len(32), layer).unwrap();
        let seen = |i, j| {
            let score = scalar::bias(&plan(0), (0, 1), i, j, 32, &ParamValues::new());
            score.unwrap() == 0.0
        };
        assert!(seen(15, 8) && !seen(15, 7) && !seen(8, 7) && seen(7, 0));
        let growth = plan(3).query_scale.unwrap().to_string();
        assert_eq!(growth, "1 + 0.1 * log1p(floor((q + 1) / 8))");
        assert!(plan(3).rotations.is_empty() && plan(2).query_scale.is_none());
    }
}
