//! A bigger base ("adjusted base frequency"): all pairs but the fastest turn more slowly, the slower the more.
//!
//! θ′_p = b′^(−2p/d)
//!
//! Paper: Xiong et al. 2023, arXiv 2309.16039, section 2.
//!
//! Code: as the paper; the change is meant to come before further training at the new length. The base from which longer
//! texts cost nothing is that of the scaling laws of RoPE (`target_length`; Liu et al. 2023, arXiv 2310.05209):
//! b′ = b^(ln(T/2π) / ln(L/2π)), which LongRoPE2 calls NTK.

use crate::angles::{critical_base, inv_freq, rotary_settings, trained_length};
use crate::card::{Card, Family, Needs, Paper};
use crate::error::{PlanError, check, check_model};
use crate::scheme::{Len, Scheme};
use farspan_attention::plan::{Geometry, Plan};

rotary_settings! {
    /// Settings of the bigger base.
    Abf {
        /// Base b′ instead of b. Leave it out beside `target_length`.
        #[schemars(extend("exclusiveMinimum" = 1))]
        new_base: f64 = 500_000.0,
        /// Take the critical base for texts of this many tokens instead of `new_base`.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schemars(range(min = 7))]
        target_length: Option<usize> = None,
    }
}

impl Scheme for Abf {
    const ID: &'static str = "abf";
    const CARD: Card = Card {
        title: "ABF (adjusted base frequency)",
        paper: Paper {
            authors: "Xiong et al.",
            year: 2023,
            arxiv: "2309.16039",
            section: "2",
        },
        family: Family::Rotary,
        idea: "Raise the base before training goes on at the longer length, so that distant tokens \
               are turned less.",
        formula: "θ_p = b'^(-2p/d)",
        latex: r"\theta_p = b'^{-2p/d}",
        needs: Needs::Base(Family::Rotary),
        ..Card::BLANK
    };

    fn check(&self) -> Result<(), PlanError> {
        self.rotary().check()?;
        check_raised(self.new_base, self.target_length)
    }

    fn plan(&self, model: &Geometry, _context_len: Len) -> Result<Plan, PlanError> {
        self.check()?;
        let dim = self.rotary().dim(model, 2)?;
        let trained = trained_length(None, model)?;
        let base = raised(self.new_base, self.target_length, self.base, trained)?;
        Ok(self.rotary().plan(inv_freq(base, dim), 1.0))
    }
}

const WAVE: &str = "at least 7 tokens, for the shortest wavelength is 2π";

/// Whether a bigger base is one, and is named in one way only.
pub(super) fn check_raised(new_base: f64, target: Option<usize>) -> Result<(), PlanError> {
    let above = new_base > 1.0 && new_base.is_finite();
    check("new_base", new_base, "above 1 and finite", above)?;
    let Some(target) = target else {
        return Ok(());
    };
    check("target_length", target, WAVE, target >= 7)?;
    let alone = new_base == Abf::default().new_base;
    check("new_base", new_base, "left out beside target_length", alone)
}

/// The bigger base: as given, or the critical one for texts of `target` tokens.
pub(super) fn raised(
    new_base: f64,
    target: Option<usize>,
    base: f64,
    trained: usize,
) -> Result<f64, PlanError> {
    let Some(target) = target else {
        return Ok(new_base);
    };
    check_model("trained_length", trained, WAVE, trained >= 7)?;
    Ok(critical_base(base, trained, target))
}
