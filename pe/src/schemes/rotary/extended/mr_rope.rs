//! MrRoPE reads frequencies as digits of a number with mixed radices and spreads the stretch over the digits between
//! those that turn fast, which stay, and those that turn slowly, which are interpolated fully.
//!
//! θ′_p = θ_p·s^(−e_p);  e_p = u/w (`form = "uni"`) or u·(u + 1)/(w·(w + 1)) (`form = "pro"`), u = clip(p − lo, 0, w),
//! w = hi − lo;  lo = ⌊c(β_fast)⌋, hi = ⌈c(β_slow)⌉ as in YaRN;  cos and sin times 0.1·ln s + 1
//!
//! Paper: Tian et al. 2026, arXiv 2601.22181, section 3.
//!
//! Code: the authors' class has both forms ("radix", "radix3"); the second is the one that it uses. It divides by zero
//! where lo = hi; here the ramp is then one pair wide, as where YaRN's ends meet.

use super::pi::{check_stretch, check_trained_length};
use super::yarn::{gain, ramp_ends};
use crate::angles::{inv_freq, rotary_settings, trained_length};
use crate::card::{Card, Family, Needs, Paper};
use crate::error::{PlanError, check};
use crate::scheme::{Len, Scheme};
use farspan_attention::plan::{Geometry, Plan};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

rotary_settings! {
    /// Settings of MrRoPE.
    MrRope {
        /// Stretch s.
        #[schemars(range(min = 1))]
        factor: f64 = 2.0,
        /// How the stretch is spread over the pairs between the two ends.
        form: Form = Form::Pro,
        /// Length L that the weights were trained with, if not the model's.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schemars(range(min = 1))]
        trained_length: Option<usize> = None,
        /// Pairs that make at least so many turns in L are kept.
        #[schemars(extend("exclusiveMinimum" = 0))]
        beta_fast: f64 = 32.0,
        /// Pairs that make at most so many turns in L are interpolated fully; below `beta_fast`.
        #[schemars(extend("exclusiveMinimum" = 0))]
        beta_slow: f64 = 1.0,
    }
}

/// How MrRoPE spreads the stretch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Form {
    /// Every digit's radix grows alike: the exponent is linear in the index of the pair.
    Uni,
    /// Radices grow from digit to digit: the exponent is quadratic.
    Pro,
}

impl Scheme for MrRope {
    const ID: &'static str = "mr-rope";
    const CARD: Card = Card {
        title: "MrRoPE",
        paper: Paper {
            authors: "Tian et al.",
            year: 2026,
            arxiv: "2601.22181",
            section: "3",
        },
        family: Family::Rotary,
        idea: "Spread the stretch over the pairs between fast and slow ones as growing radices of a number system, so \
               that it adds up digit by digit.",
        formula: "θ_p = b^(-2p/d)·s^(-e_p)\n\
                  e_p = u·(u+1)/(w·(w+1)) (form = \"pro\"), u/w (form = \"uni\")\n\
                  u = clip(p-lo, 0, w), w = hi - lo, lo = ⌊c(β_fast)⌋, hi = ⌈c(β_slow)⌉\n\
                  c(t) = d·ln(L/(2πt))/(2 ln b)\n\
                  amplitude A = 0.1·ln s + 1",
        latex: concat!(
            r"\theta_p = b^{-2p/d}\,s^{-e_p},\quad e_p = \frac{u(u+1)}{w(w+1)},\quad ",
            r"u = \mathrm{clip}(p-l, 0, w),\ w = h-l,\quad A = 0.1\ln s + 1"
        ),
        needs: Needs::Base(Family::Rotary),
        ..Card::BLANK
    };

    fn check(&self) -> Result<(), PlanError> {
        self.rotary().check()?;
        check_stretch(self.factor, false, MrRope::default().factor)?;
        check_trained_length(self.trained_length)?;
        let positive = |key, x: f64| check(key, x, "above 0 and finite", x > 0.0 && x.is_finite());
        positive("beta_fast", self.beta_fast)?;
        positive("beta_slow", self.beta_slow)?;
        let rule = format!("below beta_fast = {}", self.beta_fast);
        let below = self.beta_slow < self.beta_fast;
        check("beta_slow", self.beta_slow, &rule, below)
    }

    fn plan(&self, model: &Geometry, _context_len: Len) -> Result<Plan, PlanError> {
        self.check()?;
        let dim = self.rotary().dim(model, 2)?;
        let trained = trained_length(self.trained_length, model)?;
        let betas = (self.beta_fast, self.beta_slow);
        let (lo, hi) = ramp_ends(self.base, betas, dim, trained);
        let width = (hi - lo).max(1.0);
        let exponent = |pair: usize| {
            let within = (pair as f64 - lo).clamp(0.0, width);
            match self.form {
                Form::Uni => within / width,
                Form::Pro => within * (within + 1.0) / (width * (width + 1.0)),
            }
        };
        let theta = inv_freq(self.base, dim).into_iter().enumerate();
        let scaled = theta.map(|(pair, theta)| theta * self.factor.powf(-exponent(pair)));
        Ok(self.rotary().plan(scaled.collect(), gain(self.factor, 1.0)))
    }
}
