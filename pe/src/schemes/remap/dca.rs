//! Dual Chunk Attention cuts the text into chunks: keys stand at their place in the chunk, queries where the key's chunk
//! asks for.
//!
//! c = C − w, key position j mod c;  query position i mod c for the same chunk, min(i mod c + c, C) for the one before,
//! min(2c − 1, C) for all older ones
//!
//! Paper: An et al. 2024, arXiv 2402.17463, section 3.
//!
//! Code: C = ¾·L and w = L/8 in the released files. Past L they rebuild the tables with amplitude 0.05·ln(T/L) + 1, which
//! the paper's numbers are without (`amplitude`). `factor` divides all positions, for weights trained under Position
//! Interpolation ("scaling_factor").

use super::frame::{at_least, floor, modulo, turn_at, whole};
use crate::angles::{inv_freq, rotary_settings, trained_length};
use crate::card::{Card, Family, Needs, Paper};
use crate::error::{PlanError, check, check_model};
use crate::scheme::{Len, Scheme};
use farspan_attention::expr::{Expr, number, raw, select_less};
use farspan_attention::plan::{Cache, Geometry, Plan, QkRotation};

rotary_settings! {
    /// Settings of Dual Chunk Attention.
    Dca {
        /// Largest distance seen, C; chunks have C − w tokens. Left out: three quarters of the trained length.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schemars(range(min = 1))]
        chunk_size: Option<usize> = None,
        /// Distances up to w are exact across chunks too, w; below C. Left out: a sixth of C.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schemars(range(min = 0))]
        local_window: Option<usize> = None,
        /// Multiply cos and sin by 0.05·ln(T/L) + 1 for T > L positions in use, as the released code does.
        amplitude: bool = true,
        /// Divide all positions by this, for weights trained under Position Interpolation.
        #[schemars(range(min = 1))]
        factor: f64 = 1.0,
        /// Length L that the weights were trained with, if not the model's.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schemars(range(min = 1))]
        trained_length: Option<usize> = None,
    }
}

impl Scheme for Dca {
    const ID: &'static str = "dca";
    const CARD: Card = Card {
        title: "Dual Chunk Attention (ChunkLlama)",
        paper: Paper {
            authors: "An et al.",
            year: 2024,
            arxiv: "2402.17463",
            section: "3",
        },
        family: Family::Remap,
        idea: "Number keys inside chunks and let the query choose one of three positions by how \
               far away the key's chunk is.",
        formula: "c = C - w, key at k mod c\n\
                  query at q mod c (same chunk), min(q mod c + c, C) (the one before), \
                  min(2c-1, C) (older)\n\
                  amplitude A = 0.05·ln(T/L) + 1 if T > L",
        latex: concat!(
            r"c = C - w,\ P_k = j \bmod c,\quad P_q = i \bmod c,\ ",
            r"\min(i \bmod c + c,\ C),\ \min(2c-1,\ C),\quad A = 0.05 \ln(T/L) + 1"
        ),
        needs: Needs::Base(Family::Rotary),
        ..Card::BLANK
    };

    fn check(&self) -> Result<(), PlanError> {
        self.rotary().check()?;
        at_least("chunk_size", self.chunk_size, 1)?;
        if let (Some(window), Some(chunk)) = (self.local_window, self.chunk_size) {
            let rule = format!("below chunk_size = {chunk}");
            check("local_window", window, &rule, window < chunk)?;
        }
        let holds = self.factor >= 1.0 && self.factor.is_finite();
        check("factor", self.factor, "at least 1 and finite", holds)?;
        at_least("trained_length", self.trained_length, 1)
    }

    fn plan(&self, model: &Geometry, context_len: Len) -> Result<Plan, PlanError> {
        self.check()?;
        let rotary = self.rotary();
        let dim = rotary.dim(model, 2)?;
        let trained = trained_length(self.trained_length, model)?;
        let size = self.chunk_size.unwrap_or((trained * 3 / 4).max(1));
        let window = self.local_window.unwrap_or(size / 6);
        let rule = format!("below chunk_size = {size}, a share of the trained length unless set");
        check_model("local_window", window, &rule, window < size)?;
        let chunk = size - window;

        let inv_freq: Vec<f64> = inv_freq(self.base, dim)
            .into_iter()
            .map(|theta| theta / self.factor)
            .collect();
        let own = || modulo(Expr::Query, chunk);
        let turn = |query| turn_at(&rotary, &inv_freq, query, modulo(Expr::Key, chunk));
        let turns = vec![
            turn(own()),
            turn((own() + chunk as f64).min(whole(size))),
            turn(whole((2 * chunk - 1).min(size))),
        ];
        let index = |position: Expr| floor(position / chunk as f64);
        let apart = || index(Expr::Query) - index(Expr::Key);
        let older = select_less(apart(), number(2.0), Expr::Raw(1), Expr::Raw(2));
        let amplitude = self.amplitude_at(context_len, trained);
        Ok(Plan {
            rotations: turns
                .into_iter()
                .map(|turn| enlarged(turn, amplitude))
                .collect(),
            score: select_less(apart(), number(1.0), raw(), older),
            cache: if self.amplitude {
                Cache::Unrotated
            } else {
                Cache::Rotated
            },
            ..Plan::default()
        })
    }
}

impl Dca {
    fn amplitude_at(&self, context_len: Len, trained: usize) -> f64 {
        if self.amplitude && context_len.0 > trained {
            0.05 * (context_len.0 as f64 / trained as f64).ln() + 1.0
        } else {
            1.0
        }
    }
}

/// The turn with this factor on the cos and sin of both sides.
pub(super) fn enlarged(mut turn: QkRotation, amplitude: f64) -> QkRotation {
    turn.query.amplitude = amplitude;
    turn.key.amplitude = amplitude;
    turn
}
