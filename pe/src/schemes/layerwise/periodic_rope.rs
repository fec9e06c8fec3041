//! Periodic RoPE (MiniWin): layers that see a window turn by positions that start again with every window's length, so that
//! no angle is new however long the text is; every fourth layer sees everything and has no positions.
//!
//! layer S: q and k at positions i mod W and j mod W, over the last W keys;  layer L: all keys, NoPE, scores times
//! ln(a + n)/ln(a + 1) if a is set, for n positions in use
//!
//! Paper: Huo 2026, arXiv 2605.27980.
//!
//! Code: Cominder/miniwin, model/model_miniwin.py: W = 64, layers S S S L, the last one always L, base 10⁶; a is off
//! (`nope_logit_log_base`), and n counts tokens: all keys of the call, for all of its queries. Turns of a query and a key
//! on two sides of a multiple of W are W tokens too far back, as they are there. Their choice of ALiBi in the windows is
//! not offered; with a share of the channels their two channels of a pair turn by cosines of two frequencies, which is taken
//! for a slip: here a pair turns by one.

use super::windowed;
use crate::angles::PairingSchema;
use crate::card::{Card, Family, Paper};
use crate::error::{PlanError, check};
use crate::scheme::{Len, Scheme};
use crate::schemes::rotary::rope::Rope;
use farspan_attention::expr::{Expr, Unary};
use farspan_attention::plan::{Cache, Geometry, Pairing, Plan, Positions};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Settings of periodic RoPE.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PeriodicRope {
    /// Base b of the frequencies.
    #[schemars(extend("exclusiveMinimum" = 1))]
    pub base: f64,
    /// Which two channels make a pair.
    #[schemars(with = "PairingSchema")]
    pub pairing: Pairing,
    /// Share of each head's channels that turn, from the first.
    #[schemars(extend("exclusiveMinimum" = 0), range(max = 1))]
    pub partial: f64,
    /// Keys W that a layer S sees, the query's own included, and the period of its positions.
    #[schemars(range(min = 1))]
    pub window: usize,
    /// Kinds of layers, repeated: S sees a window, L everything.
    #[schemars(example = &"SSL")]
    pub pattern: String,
    /// Whether the last layer is L whatever the pattern says.
    pub last_full: bool,
    /// Offset a of the logarithms that sharpen the layers L, where n counts the tokens in use; left out: they are not
    /// sharpened, as in the authors' code.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub log_offset: Option<f64>,
}

impl Default for PeriodicRope {
    fn default() -> PeriodicRope {
        PeriodicRope {
            base: 1e6,
            pairing: Pairing::HalfSplit,
            partial: 1.0,
            window: 64,
            pattern: "SSSL".into(),
            last_full: true,
            log_offset: None,
        }
    }
}

impl Scheme for PeriodicRope {
    const ID: &'static str = "periodic-rope";
    const CARD: Card = Card {
        title: "Periodic RoPE",
        paper: Paper {
            authors: "Huo",
            year: 2026,
            arxiv: "2605.27980",
            section: "code",
        },
        family: Family::Layerwise,
        idea: "Turn by positions that start again with every window where attention is local, and leave positions \
               out where it is full.",
        formula: "S: θ_p = b^(-2p/d) at q mod W, k mod W, q - k < W; L: NoPE, times ln(a + n)/ln(a + 1)",
        latex: r"\theta_p = b^{-2p/d}\ \text{at}\ i \bmod W,\ i - j < W\ \text{or NoPE}",
        ..Card::BLANK
    };

    fn check(&self) -> Result<(), PlanError> {
        self.rope().check()?;
        check("window", self.window, "at least 1", self.window >= 1)?;
        let letters = self.pattern.chars().all(|c| c == 'S' || c == 'L');
        let rule = "letters S and L, at least one";
        let holds = letters && !self.pattern.is_empty();
        check("pattern", format!("{:?}", self.pattern), rule, holds)?;
        self.log_offset.map_or(Ok(()), |a| {
            let holds = a > 0.0 && a.is_finite();
            check("log_offset", a, "above 0 and finite", holds)
        })
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
        let mut rotated = self.rope().plan(model, context_len)?;
        if self.is_full(layer, model.layers) {
            let Some(a) = self.log_offset else {
                return Ok(Plan::default());
            };
            let n = context_len.0.max(1) as f64;
            return Ok(Plan {
                softmax_scale: (a + n).ln() / (a + 1.0).ln(),
                cache: Cache::Unrotated,
                ..Plan::default()
            });
        }
        let period = self.window as f64;
        let within = |x: Expr| x.clone() - (x / period).unary(Unary::Floor) * period;
        for turn in &mut rotated.rotations {
            turn.query.position = Positions::All(within(Expr::Query));
            turn.key.position = Positions::All(within(Expr::Key));
        }
        Ok(Plan {
            score: windowed(self.window),
            ..rotated
        })
    }
}

impl PeriodicRope {
    fn rope(&self) -> Rope {
        Rope {
            base: self.base,
            pairing: self.pairing,
            partial: self.partial,
        }
    }

    fn is_full(&self, layer: usize, layers: usize) -> bool {
        // Not empty: checked.
        let kind = self.pattern.as_bytes()[layer % self.pattern.len()];
        kind == b'L' || self.last_full && layer + 1 == layers
    }
}
