//! GALI squeezes the excess tokens into fractional positions at the front, and interpolates scores between whole ones.
//!
//! T positions in use, trained length L, local window l: g = ⌈(T − l)/(L − l)⌉;  p_i = i/g for i < H, else i − H + m,
//! with m = ⌈(T − L)/(g − 1)⌉ and H = T − L + m;  ρ = ⌈p_j⌉ − p_j;
//! score = (1 − ρ)·⟨q at ⌈p_i⌉, k at ⌈p_j⌉⟩ + ρ·⟨q at ⌈p_i⌉, k at ⌊p_j⌋⟩
//!
//! Paper: Li et al. 2025, arXiv 2502.02659, section 3.
//!
//! Code: positions are made by the released loop's rule (here in closed form), as for a text that starts at 0. The
//! optional Gaussian noise on interpolated scores is random and off by default there; it is not here.

use super::frame::{at_least, floor, turn_at, whole};
use crate::angles::{inv_freq, rotary_settings, trained_length};
use crate::card::{Card, Family, Needs, Paper};
use crate::error::{PlanError, check_model};
use crate::scheme::{Len, Scheme};
use farspan_attention::expr::{Expr, number, raw, select_less};
use farspan_attention::plan::{Cache, Geometry, Plan};

rotary_settings! {
    /// Settings of GALI.
    Gali {
        /// Tokens l at the end that keep whole positions; below L. Left out: 128, or half of L if that is less.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schemars(range(min = 0))]
        local_window: Option<usize> = None,
        /// Length L that the weights were trained with, if not the model's.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schemars(range(min = 1))]
        trained_length: Option<usize> = None,
    }
}

impl Scheme for Gali {
    const ID: &'static str = "gali";
    const CARD: Card = Card {
        title: "GALI (greedy attention logit interpolation)",
        paper: Paper {
            authors: "Li et al.",
            year: 2025,
            arxiv: "2502.02659",
            section: "3",
        },
        family: Family::Remap,
        idea: "Squeeze the excess tokens into fractional positions at the front and interpolate \
               scores between whole positions instead of turning by fractions.",
        formula: "p = i/g for i < H, else i - H + m; g = ⌈(T-l)/(L-l)⌉, m = ⌈(T-L)/(g-1)⌉, \
                  H = T-L+m\n\
                  score = (1-ρ)·raw(⌈p_q⌉, ⌈p_k⌉) + ρ·raw(⌈p_q⌉, ⌊p_k⌋), ρ = ⌈p_k⌉ - p_k",
        latex: concat!(
            r"p_i = i/g\ (i < H),\quad i - H + m\ (\text{else}),\quad ",
            r"s_{ij} = (1-\rho_j)\,r(\lceil p_i \rceil, \lceil p_j \rceil) ",
            r"+ \rho_j\,r(\lceil p_i \rceil, \lfloor p_j \rfloor)"
        ),
        needs: Needs::Base(Family::Rotary),
        ..Card::BLANK
    };

    fn check(&self) -> Result<(), PlanError> {
        self.rotary().check()?;
        at_least("trained_length", self.trained_length, 1)
    }

    fn plan(&self, model: &Geometry, context_len: Len) -> Result<Plan, PlanError> {
        self.check()?;
        let rotary = self.rotary();
        let inv_freq = inv_freq(self.base, rotary.dim(model, 2)?);
        let trained = trained_length(self.trained_length, model)?;
        let local = self.local_window.unwrap_or((trained / 2).min(128));
        let rule = format!("below the trained length {trained}");
        check_model("local_window", local, &rule, local < trained)?;
        // Positions of all tokens move when another one comes.
        let cache = Cache::Unrotated;
        let Some(dense) = Dense::of(context_len.0, trained, local) else {
            return Ok(Plan {
                cache,
                ..rotary.plan(inv_freq, 1.0)
            });
        };
        let query = || dense.position(Expr::Query, ceil);
        let turn = |key| turn_at(&rotary, &inv_freq, query(), key);
        // From whole numbers, so that f32 is exact where it can be: (g·⌈k/g⌉ − k)/g.
        let (k, g) = (Expr::Key, dense.group as f64);
        let share = (ceil(k.clone() / g) * g - k.clone()) / g;
        let share = select_less(k, whole(dense.head), share, number(0.0));
        Ok(Plan {
            rotations: vec![
                turn(dense.position(Expr::Key, ceil)),
                turn(dense.position(Expr::Key, floor)),
            ],
            score: raw() + share * (Expr::Raw(1) - raw()),
            cache,
            ..Plan::default()
        })
    }
}

/// The front of the text, whose tokens stand at fractions.
#[derive(Clone, Copy, Debug)]
struct Dense {
    /// Tokens to a whole position, g.
    group: usize,
    /// Tokens in the front, H.
    head: usize,
    /// Position of the first token after it, m.
    next: usize,
}

impl Dense {
    /// `None` if all tokens fit into the trained length.
    fn of(context_len: usize, trained: usize, local: usize) -> Option<Dense> {
        let excess = context_len
            .checked_sub(trained)
            .filter(|excess| *excess > 0)?;
        // At least 2, for reach is above trained.
        let group = (context_len - local).div_ceil(trained - local);
        let next = excess.div_ceil(group - 1);
        Some(Dense {
            group,
            head: excess + next,
            next,
        })
    }

    /// Position of the token at `index`, rounded where it is a fraction.
    fn position(&self, index: Expr, round: fn(Expr) -> Expr) -> Expr {
        let dense = round(index.clone() / self.group as f64);
        let whole_ones = index.clone() - (self.head - self.next) as f64;
        select_less(index, whole(self.head), dense, whole_ones)
    }
}

/// ⌈x⌉
fn ceil(x: Expr) -> Expr {
    -floor(-x)
}
