//! NTK-by-parts decides for each pair by its turns within the trained length: many turns, leave it alone; less than
//! one, interpolate fully; in between, blend.
//!
//! `form = "turns"`:  θ′_p = (1 − γ_p)·θ_p/s + γ_p·θ_p;  γ_p = clip((L·θ_p/2π − α)/(β − α), 0, 1)
//! `form = "code"`:  first from θ_p/s to the NTK-aware frequency between 0.75 and 1.25 turns, then from there to θ_p
//! between 2 and 16 turns; both blends are linear in the index of the pair.
//!
//! Paper: bloc97 2023, described in Peng et al. 2023, arXiv 2309.00071, section 3.2 (`turns`).
//!
//! Code: the default is the class that was released first, with two ramps. Llama 3's scaling is `turns` with α = 1,
//! β = 4; YaRN's code has one ramp, linear in the index.

use super::pi::{check_stretch, check_trained_length, dynamic_stretch};
use crate::angles::{inv_freq, ntk_base, pair_with_turns, rotary_settings, trained_length, turns};
use crate::card::{Card, Family, Needs, Paper};
use crate::error::{PlanError, check};
use crate::scheme::{Len, Scheme};
use farspan_attention::plan::{Cache, Geometry, Plan};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

rotary_settings! {
    /// Settings of NTK-by-parts.
    NtkByParts {
        /// Stretch s. Leave it out if `dynamic`.
        #[schemars(range(min = 1))]
        factor: f64 = 2.0,
        /// Let the stretch follow the length in use, s = max(1, T / L), instead of `factor`.
        dynamic: bool = false,
        /// Length L that the weights were trained with, if not the model's.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schemars(range(min = 1))]
        trained_length: Option<usize> = None,
        /// How pairs are blended.
        form: Form = Form::Code,
        /// Pairs with at most so many turns in L are interpolated fully (`form = "turns"`); below `beta`.
        #[schemars(range(min = 0))]
        alpha: f64 = 1.0,
        /// Pairs with at least so many turns in L are kept (`form = "turns"`).
        #[schemars(extend("exclusiveMinimum" = 0))]
        beta: f64 = 32.0,
        /// Multiplies the share of the NTK-aware frequency (`form = "code"`).
        #[schemars(range(min = 0, max = 1))]
        ntk_factor: f64 = 1.0,
        /// Multiplies the share of the kept frequency (`form = "code"`).
        #[schemars(range(min = 0, max = 1))]
        extrapolation_factor: f64 = 1.0,
    }
}

/// How NTK-by-parts blends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Form {
    /// Two ramps over the index of the pair: the class that was released first.
    Code,
    /// One ramp over the turns within the trained length: the paper.
    Turns,
}

/// Turns at both ends of the released ramps.
const INTERPOLATED: (f64, f64) = (1.25, 0.75);
const EXTRAPOLATED: (f64, f64) = (16.0, 2.0);

impl Scheme for NtkByParts {
    const ID: &'static str = "ntk-by-parts";
    const CARD: Card = Card {
        title: "NTK-by-parts",
        paper: Paper {
            authors: "bloc97, described by Peng et al.",
            year: 2023,
            arxiv: "2309.00071",
            section: "3.2",
        },
        family: Family::Rotary,
        idea: "Interpolate the pairs that turn slowly within the trained length, keep those that \
               turn fast, and blend between.",
        formula: "form = \"turns\": θ_p = ((1-γ_p)/s + γ_p)·b^(-2p/d)\n\
                  γ_p = clip((L·b^(-2p/d)/2π - α)/(β - α), 0, 1)\n\
                  form = \"code\": two ramps over p, from PI to NTK at 0.75 to 1.25 turns, \
                  then to RoPE at 2 to 16 turns",
        latex: concat!(
            r"\theta_p = \left(\frac{1-\gamma_p}{s} + \gamma_p\right) b^{-2p/d},\quad ",
            r"\gamma_p = \mathrm{clip}\!\left(\frac{L\,b^{-2p/d}/2\pi - \alpha}{\beta-\alpha},0,1\right)"
        ),
        needs: Needs::Base(Family::Rotary),
        ..Card::BLANK
    };

    fn check(&self) -> Result<(), PlanError> {
        self.rotary().check()?;
        check_stretch(self.factor, self.dynamic, NtkByParts::default().factor)?;
        check_trained_length(self.trained_length)?;
        let positive = self.beta > 0.0 && self.beta.is_finite();
        check("beta", self.beta, "above 0 and finite", positive)?;
        let rule = format!("at least 0 and below beta = {}", self.beta);
        let below = self.alpha >= 0.0 && self.alpha < self.beta;
        check("alpha", self.alpha, &rule, below)?;
        for (key, share) in [
            ("ntk_factor", self.ntk_factor),
            ("extrapolation_factor", self.extrapolation_factor),
        ] {
            check(key, share, "from 0 to 1", (0.0..=1.0).contains(&share))?;
        }
        Ok(())
    }

    fn plan(&self, model: &Geometry, context_len: Len) -> Result<Plan, PlanError> {
        self.check()?;
        let dim = self.rotary().dim(model, 4)?;
        let trained = trained_length(self.trained_length, model)?;
        let theta = inv_freq(self.base, dim);
        let stretch = if self.dynamic {
            dynamic_stretch(context_len, trained)
        } else {
            self.factor
        };
        let scaled = match self.form {
            Form::Turns => by_turns(&theta, stretch, (self.alpha, self.beta), trained),
            Form::Code => {
                let ntk = inv_freq(ntk_base(self.base, stretch, dim), dim);
                let share = |pair, ends| share(pair, self.ramp(ends, dim, trained));
                let blended = theta.iter().zip(&ntk).enumerate().map(|(p, (theta, ntk))| {
                    let of_ntk = self.ntk_factor * share(p, INTERPOLATED);
                    let slow = blend(theta / stretch, *ntk, of_ntk);
                    let kept = self.extrapolation_factor * share(p, EXTRAPOLATED);
                    blend(slow, *theta, kept)
                });
                blended.collect()
            }
        };
        let cache = if self.dynamic {
            Cache::Unrotated
        } else {
            Cache::Rotated
        };
        Ok(Plan {
            cache,
            ..self.rotary().plan(scaled, 1.0)
        })
    }
}

impl NtkByParts {
    /// First and last pair of a ramp that starts at so many turns and ends at so many.
    fn ramp(&self, (fast, slow): (f64, f64), dim: usize, trained: usize) -> (f64, f64) {
        let pair = |turns| pair_with_turns(turns, self.base, dim, trained);
        let (lo, hi) = (pair(fast).floor(), pair(slow).ceil());
        let (lo, hi) = (lo.max(0.0), hi.min(dim as f64 - 1.0));
        (lo, if lo == hi { hi + 0.001 } else { hi })
    }
}

/// 1 up to the first pair of the ramp, 0 from the last on.
fn share(pair: usize, (lo, hi): (f64, f64)) -> f64 {
    1.0 - ((pair as f64 - lo) / (hi - lo)).clamp(0.0, 1.0)
}

fn blend(without: f64, with: f64, share: f64) -> f64 {
    without * (1.0 - share) + with * share
}

/// The paper's blend: θ/s for pairs with at most α turns within `trained` tokens, θ for those with at least β.
pub(super) fn by_turns(theta: &[f64], stretch: f64, ends: (f64, f64), trained: usize) -> Vec<f64> {
    let (alpha, beta) = ends;
    let scaled = |theta: &f64| {
        let kept = (turns(*theta, trained) - alpha) / (beta - alpha);
        blend(theta / stretch, *theta, kept.clamp(0.0, 1.0))
    };
    theta.iter().map(scaled).collect()
}
