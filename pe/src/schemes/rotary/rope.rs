//! RoPE turns each pair of channels of q and k by an angle proportional to the position, so that a score sees only
//! the distance.
//!
//! θ_p = b^(−2p/d);  q′ = Rot(q, i·θ), k′ = Rot(k, j·θ);  score = ⟨q′, k′⟩ / √head_dim
//!
//! Paper: Su et al. 2021, arXiv 2104.09864, section 3.2.2.
//!
//! Code: pairs are neighbours (2p, 2p + 1) in the paper, GPT-J and Meta's Llama, halves (p, p + d/2) in GPT-NeoX and
//! Hugging Face; the same map for permuted weights. With `partial` below 1 the exponent's denominator is the number
//! of *rotated* channels (GPT-NeoX).

use crate::angles::{inv_freq, rotary_settings};
use crate::card::{Card, Family, Paper};
use crate::error::PlanError;
use crate::scheme::{Len, Scheme};
use farspan_attention::plan::{Geometry, Plan};

rotary_settings! {
    /// Settings of RoPE.
    Rope {
    }
}

impl Scheme for Rope {
    const ID: &'static str = "rope";
    const CARD: Card = Card {
        title: "RoPE",
        paper: Paper {
            authors: "Su et al.",
            year: 2021,
            arxiv: "2104.09864",
            section: "3.2.2",
        },
        family: Family::Rotary,
        idea: "Turn each pair of query and key channels by an angle proportional to the \
               position, so that a score depends on the distance alone.",
        formula: "θ_p = b^(-2p/d)",
        latex: r"\theta_p = b^{-2p/d}",
        ..Card::BLANK
    };

    fn check(&self) -> Result<(), PlanError> {
        self.rotary().check()
    }

    fn plan(&self, model: &Geometry, _context_len: Len) -> Result<Plan, PlanError> {
        self.check()?;
        let dim = self.rotary().dim(model, 2)?;
        Ok(self.rotary().plan(inv_freq(self.base, dim), 1.0))
    }
}
