//! TAPA lets content set the phase: part of the channels gives the strength of a score, the rest how fast it oscillates
//! with the distance.
//!
//! score = ⟨q_A, k_A⟩/√(ρ·d) · cos(2π·(i − j)^α·⟨q_P, k_P⟩/√((1 − ρ)·d)),  A the first ρ·d channels, P the others
//!
//! Paper: Wang et al. 2025, arXiv 2509.12635, section 4.
//!
//! The formula is known from transcriptions of the paper; that the first channels are those of the strength is ours, and
//! without effect on what can be learned. Two turns with frequency 0 hide one part of the key each, so that their raw
//! scores are the two products.

use crate::card::{Card, Family, Paper};
use crate::error::{PlanError, check, check_model};
use crate::scheme::{Len, Scheme};
use farspan_attention::expr::Expr;
use farspan_attention::expr::{Unary, distance, number, raw};
use farspan_attention::plan::{
    Geometry, Mix, Pairing, Plan, Positions, QkRotation, Rotation, Waves,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::f64::consts::TAU;

/// Settings of TAPA.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Tapa {
    /// Share ρ of the channels that give the strength.
    #[schemars(extend("exclusiveMinimum" = 0, "exclusiveMaximum" = 1))]
    pub strength: f64,
    /// Power α of the distance.
    #[schemars(extend("exclusiveMinimum" = 0), range(max = 1))]
    pub power: f64,
}

impl Default for Tapa {
    fn default() -> Tapa {
        Tapa {
            strength: 0.5,
            power: 0.1,
        }
    }
}

impl Scheme for Tapa {
    const ID: &'static str = "tapa";
    const CARD: Card = Card {
        title: "TAPA",
        paper: Paper {
            authors: "Wang et al.",
            year: 2025,
            arxiv: "2509.12635",
            section: "4",
        },
        family: Family::Content,
        idea: "Multiply the product of one part of the channels by a wave over the distance whose frequency is the \
               product of the other part.",
        formula: "raw = ⟨q_A, k_A⟩/√d, raw1 = ⟨q_P, k_P⟩/√d, A the first ρ·d channels, P the others",
        latex: r"\mathrm{raw} = \langle q_A, k_A\rangle/\sqrt d,\quad \mathrm{raw1} = \langle q_P, k_P\rangle/\sqrt d",
        experimental: true,
        ..Card::BLANK
    };

    fn check(&self) -> Result<(), PlanError> {
        let share = self.strength > 0.0 && self.strength < 1.0;
        check("strength", self.strength, "above 0 and below 1", share)?;
        let within = self.power > 0.0 && self.power <= 1.0;
        check("power", self.power, "above 0 and at most 1", within)
    }

    fn plan(&self, model: &Geometry, _context_len: Len) -> Result<Plan, PlanError> {
        self.check()?;
        let pairs = model.head_dim / 2;
        let strong = (pairs as f64 * self.strength).round() as usize;
        let rule = "even, with at least one pair of channels on either side of the cut";
        let fits = model.head_dim.is_multiple_of(2) && (1..pairs).contains(&strong);
        check_model("head_dim", model.head_dim, rule, fits)?;
        // Channels of the part in use over all channels: the factor 1/√d of raw scores is that of all.
        let (a, p) = (
            strong as f64 / pairs as f64,
            (pairs - strong) as f64 / pairs as f64,
        );
        let phase = distance().pow(number(self.power)) * (Expr::Raw(1) * (TAU / p.sqrt()));
        Ok(Plan {
            rotations: vec![
                part(model, strong, (1.0, 0.0)),
                part(model, strong, (0.0, 1.0)),
            ],
            score: raw() * a.sqrt().recip() * phase.unary(Unary::Cos),
            ..Plan::default()
        })
    }
}

/// A turn by no angle whose keys keep `first` of the first `strong` pairs of channels and `rest` of the others.
fn part(model: &Geometry, strong: usize, (first, rest): (f64, f64)) -> QkRotation {
    let side = |position, heads: usize, first: f64, rest: f64| Rotation {
        position: Positions::All(position),
        inv_freq: vec![0.0],
        amplitude: 1.0,
        waves: Waves::Mixed(Mix {
            cos: vec![first; heads * strong],
            sin: vec![0.0; heads * strong],
            heads,
            mixed: strong,
            pairs: model.head_dim / 2,
            rest: (rest, 0.0),
        }),
    };
    QkRotation {
        // Neighbours pair up, so that the first pairs are the first channels.
        pairing: Pairing::Interleaved,
        query: side(Expr::Query, model.heads, 1.0, 1.0),
        key: side(Expr::Key, model.kv_heads, first, rest),
    }
}
