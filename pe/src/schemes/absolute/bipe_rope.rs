//! BiPE-RoPE adds a learned vector for the place of a token in its sentence, and rotates by the number of the sentence.
//!
//! x_t + E\[u_t\];  q′ = Rot(q, g_i·θ), k′ = Rot(k, g_j·θ);  g: separators before the token, u: tokens since then
//!
//! Paper: He et al. 2024, arXiv 2401.16421, section 3.
//!
//! Code: a separator belongs to the segment that it closes; places past the table count as its last. The authors close
//! segments at token ids 869 and 13 of Llama's tokenizer, a full stop that stands alone and a newline (a full stop at
//! the end of a word is another token and closes nothing). Their option of scaling q by the logarithm of the token's
//! index is not offered: expressions see the segment.

use super::bipe::{Levels, default_separators};
use crate::card::{Card, Family, Paper};
use crate::error::PlanError;
use crate::scheme::{Len, Scheme};
use crate::schemes::rotary::rope::Rope;
use farspan_attention::plan::{Geometry, Plan};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Settings of BiPE-RoPE.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BipeRope {
    /// Texts of the tokens that close a segment.
    pub separators: Vec<String>,
    /// Rows of the table of places; the trained length unless set ("train_scale").
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub places: Option<usize>,
    /// Standard deviation of the initial table.
    #[schemars(range(min = 0))]
    pub init_std: f64,
    /// Base b of the frequencies.
    #[schemars(extend("exclusiveMinimum" = 1))]
    pub base: f64,
}

impl Default for BipeRope {
    fn default() -> BipeRope {
        BipeRope {
            separators: default_separators(),
            places: None,
            init_std: 0.02,
            base: 10000.0,
        }
    }
}

impl Scheme for BipeRope {
    const ID: &'static str = "bipe-rope";
    const CARD: Card = Card {
        title: "BiPE-RoPE",
        paper: Paper {
            authors: "He et al.",
            year: 2024,
            arxiv: "2401.16421",
            section: "3",
        },
        family: Family::Absolute,
        idea: "Tell places within a sentence by a learned embedding and sentences apart by rotations, \
               for sentences are few where tokens are many.",
        formula: "x_t + E[u_t]; θ_p = b^(-2p/d) at positions g_t",
        latex: r"x_t + E_{u_t};\quad \theta_p = b^{-2p/d}\ \text{at}\ g_t",
        ..Card::BLANK
    };

    fn check(&self) -> Result<(), PlanError> {
        self.levels().check()?;
        self.rope().check()
    }

    fn plan(&self, model: &Geometry, context_len: Len) -> Result<Plan, PlanError> {
        self.check()?;
        self.levels()
            .over(self.rope().plan(model, context_len)?, model)
    }
}

impl BipeRope {
    fn levels(&self) -> Levels<'_> {
        let (separators, places, init_std) = (&self.separators, self.places, self.init_std);
        Levels {
            separators,
            places,
            init_std,
        }
    }

    fn rope(&self) -> Rope {
        Rope {
            base: self.base,
            ..Rope::default()
        }
    }
}
