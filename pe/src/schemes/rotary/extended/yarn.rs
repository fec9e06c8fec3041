//! YaRN interpolates slow pairs, keeps fast ones, blends between, and sharpens the softmax by enlarging q and k.
//!
//! θ′_p = (1 − κ_p)·θ_p/s + κ_p·θ_p;  κ_p = 1 − clip((p − lo)/(hi − lo), 0, 1);  lo = ⌊c(β_fast)⌋, hi = ⌈c(β_slow)⌉;
//! c(t) = d·ln(L/2πt) / (2 ln b) is the pair that makes t turns in L;  cos and sin times A = 0.1·ln s + 1.
//!
//! Paper: Peng et al. 2023, arXiv 2309.00071, sections 3.2 and 3.4.
//!
//! Code: the paper's κ is linear in the *turns* of a pair (`ramp = "paper"`), the released code's, under which every
//! checkpoint was trained, in its *index* (`ramp = "code"`). Hugging Face adds `truncate`, `attention_factor`,
//! `mscale`, `mscale_all_dim` (a lone `mscale` is ignored there, and so here). DeepSeek-V3 leaves the tables alone and
//! scales the softmax (`scale_softmax`). PoSE's code blends wavelengths (`blend = "wavelengths"`). A also acts on short
//! texts, at any length.

use super::pi::{check_stretch, check_trained_length, dynamic_stretch};
use crate::angles::{inv_freq, pair_with_turns, rotary_settings, trained_length, turns};
use crate::card::{Card, Family, Needs, Paper};
use crate::error::{PlanError, check};
use crate::scheme::{Len, Scheme};
use farspan_attention::plan::{Cache, Geometry, Plan};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

rotary_settings! {
    /// Settings of YaRN.
    Yarn {
        /// Stretch s. Leave it out if `dynamic`.
        #[schemars(range(min = 1))]
        factor: f64 = 2.0,
        /// Let the stretch follow the length in use, s = max(1, T / L), instead of `factor`.
        dynamic: bool = false,
        /// Length L that the weights were trained with, if not the model's ("original_max_position_embeddings").
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schemars(range(min = 1))]
        trained_length: Option<usize> = None,
        /// Pairs that make at least so many turns in L are kept.
        #[schemars(extend("exclusiveMinimum" = 0))]
        beta_fast: f64 = 32.0,
        /// Pairs that make at most so many turns in L are interpolated fully; below `beta_fast`.
        #[schemars(extend("exclusiveMinimum" = 0))]
        beta_slow: f64 = 1.0,
        /// Round the ends of the ramp outwards to whole pairs (`ramp = "code"` only).
        truncate: bool = true,
        /// In what the blend is linear.
        ramp: Ramp = Ramp::Code,
        /// What is blended.
        blend: Blend = Blend::Frequencies,
        /// Multiplies the share of the kept frequency.
        #[schemars(range(min = 0, max = 1))]
        extrapolation_factor: f64 = 1.0,
        /// Multiplies the amplitude A, whichever rule gives it.
        #[schemars(extend("exclusiveMinimum" = 0))]
        attn_factor: f64 = 1.0,
        /// The amplitude A itself, instead of any rule.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schemars(extend("exclusiveMinimum" = 0))]
        attention_factor: Option<f64> = None,
        /// With `mscale_all_dim`: A = g(s, mscale) / g(s, mscale_all_dim), where g(s, w) = 0.1·w·ln s + 1.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schemars(range(min = 0))]
        mscale: Option<f64> = None,
        /// See `mscale` and `scale_softmax`.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schemars(range(min = 0))]
        mscale_all_dim: Option<f64> = None,
        /// Multiply the softmax scale by g(s, mscale_all_dim)², as DeepSeek-V3 does; needs `mscale_all_dim`.
        scale_softmax: bool = false,
    }
}

/// In what YaRN's blend is linear.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Ramp {
    /// In the index of the pair: the released code and every checkpoint.
    Code,
    /// In the number of turns within the trained length: the paper.
    Paper,
}

/// What YaRN's blend mixes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Blend {
    /// Frequencies: the paper and the released code.
    Frequencies,
    /// Wavelengths: "revised YaRN" (PoSE's code).
    Wavelengths,
}

impl Scheme for Yarn {
    const ID: &'static str = "yarn";
    const CARD: Card = Card {
        title: "YaRN",
        paper: Paper {
            authors: "Peng et al.",
            year: 2023,
            arxiv: "2309.00071",
            section: "3.4",
        },
        family: Family::Rotary,
        idea: "Interpolate only the pairs that turn slowly within the trained length, and \
               sharpen attention as the stretch grows.",
        formula: "θ_p = ((1-κ_p)/s + κ_p)·b^(-2p/d)\n\
                  κ_p = 1 - clip((p-lo)/(hi-lo), 0, 1)\n\
                  lo = ⌊c(β_fast)⌋, hi = ⌈c(β_slow)⌉ (ramp = \"code\")\n\
                  c(t) = d·ln(L/(2πt))/(2 ln b)\n\
                  amplitude A = 0.1·ln s + 1",
        latex: concat!(
            r"\theta_p = \left(\frac{1-\kappa_p}{s} + \kappa_p\right) b^{-2p/d},\quad ",
            r"\kappa_p = 1 - \mathrm{clip}\!\left(\frac{p-l}{u-l},0,1\right),\quad ",
            r"l = \lfloor c(\beta_f) \rfloor,\ u = \lceil c(\beta_s) \rceil,\quad ",
            r"c(t) = \frac{d\,\ln(L/2\pi t)}{2\ln b},\quad A = 0.1\ln s + 1"
        ),
        needs: Needs::Base(Family::Rotary),
        ..Card::BLANK
    };

    fn check(&self) -> Result<(), PlanError> {
        self.rotary().check()?;
        check_stretch(self.factor, self.dynamic, Yarn::default().factor)?;
        check_trained_length(self.trained_length)?;
        let positive = |key, x: f64| check(key, x, "above 0 and finite", x > 0.0 && x.is_finite());
        positive("beta_fast", self.beta_fast)?;
        positive("beta_slow", self.beta_slow)?;
        let rule = format!("below beta_fast = {}", self.beta_fast);
        check(
            "beta_slow",
            self.beta_slow,
            &rule,
            self.beta_slow < self.beta_fast,
        )?;
        let share = (0.0..=1.0).contains(&self.extrapolation_factor);
        check(
            "extrapolation_factor",
            self.extrapolation_factor,
            "from 0 to 1",
            share,
        )?;
        positive("attn_factor", self.attn_factor)?;
        self.attention_factor
            .map_or(Ok(()), |x| positive("attention_factor", x))?;
        for (key, scale) in [
            ("mscale", self.mscale),
            ("mscale_all_dim", self.mscale_all_dim),
        ] {
            let holds = |x: f64| x >= 0.0 && x.is_finite();
            scale.map_or(Ok(()), |x| check(key, x, "at least 0 and finite", holds(x)))?;
        }
        let rule = "false unless mscale_all_dim is set";
        check(
            "scale_softmax",
            self.scale_softmax,
            rule,
            !self.scale_softmax || self.mscale_all_dim.is_some(),
        )
    }

    fn plan(&self, model: &Geometry, context_len: Len) -> Result<Plan, PlanError> {
        self.check()?;
        let dim = self.rotary().dim(model, 2)?;
        let trained = trained_length(self.trained_length, model)?;
        let stretch = if self.dynamic {
            dynamic_stretch(context_len, trained)
        } else {
            self.factor
        };
        let theta = inv_freq(self.base, dim);
        let blended =
            self.kept(&theta, dim, trained)
                .into_iter()
                .zip(&theta)
                .map(|(kept, theta)| match self.blend {
                    Blend::Frequencies => theta / stretch * (1.0 - kept) + theta * kept,
                    Blend::Wavelengths => theta / (stretch * (1.0 - kept) + kept),
                });
        let plan = self
            .rotary()
            .plan(blended.collect(), self.amplitude(stretch));
        let all_dim = self.mscale_all_dim.filter(|_| self.scale_softmax);
        Ok(Plan {
            softmax_scale: all_dim.map_or(1.0, |w| gain(stretch, w).powi(2)),
            cache: if self.dynamic {
                Cache::Unrotated
            } else {
                Cache::Rotated
            },
            ..plan
        })
    }
}

impl Yarn {
    /// The share κ of the original frequency that each pair keeps.
    fn kept(&self, theta: &[f64], dim: usize, trained: usize) -> Vec<f64> {
        let share = |kept: f64| kept.clamp(0.0, 1.0) * self.extrapolation_factor;
        match self.ramp {
            Ramp::Code => {
                let (lo, hi) = self.ramp_ends(dim, trained);
                (0..theta.len())
                    .map(|p| share(1.0 - (p as f64 - lo) / (hi - lo)))
                    .collect()
            }
            Ramp::Paper => {
                let width = self.beta_fast - self.beta_slow;
                theta
                    .iter()
                    .map(|&t| share((turns(t, trained) - self.beta_slow) / width))
                    .collect()
            }
        }
    }

    /// First and last pair of the ramp over indices.
    fn ramp_ends(&self, dim: usize, trained: usize) -> (f64, f64) {
        let betas = (self.beta_fast, self.beta_slow);
        let (lo, mut hi) = match self.truncate {
            true => ramp_ends(self.base, betas, dim, trained),
            false => clipped(untruncated(self.base, betas, dim, trained), dim),
        };
        if lo == hi {
            hi += 0.001;
        }
        (lo, hi)
    }

    /// Factor of cos and sin.
    fn amplitude(&self, stretch: f64) -> f64 {
        let set = |scale: Option<f64>| scale.filter(|&w| w != 0.0);
        let rule = match (
            self.attention_factor,
            set(self.mscale),
            set(self.mscale_all_dim),
        ) {
            (Some(amplitude), _, _) => amplitude,
            (None, Some(over), Some(under)) => gain(stretch, over) / gain(stretch, under),
            _ => gain(stretch, 1.0),
        };
        rule * self.attn_factor
    }
}

/// The pairs that make so many turns within the trained length, fast and slow.
fn untruncated(base: f64, (fast, slow): (f64, f64), dim: usize, trained: usize) -> (f64, f64) {
    let pair = |turns| pair_with_turns(turns, base, dim, trained);
    (pair(fast), pair(slow))
}

/// To at most d − 1, not d/2 − 1: as released.
fn clipped((lo, hi): (f64, f64), dim: usize) -> (f64, f64) {
    (lo.max(0.0), hi.min(dim as f64 - 1.0))
}

/// The same, rounded outwards to whole pairs.
pub(super) fn ramp_ends(base: f64, betas: (f64, f64), dim: usize, trained: usize) -> (f64, f64) {
    let (lo, hi) = untruncated(base, betas, dim, trained);
    clipped((lo.floor(), hi.ceil()), dim)
}

/// g(s, w) = 0.1·w·ln s + 1; 1 for s ≤ 1
pub(super) fn gain(stretch: f64, weight: f64) -> f64 {
    if stretch <= 1.0 {
        1.0
    } else {
        0.1 * weight * stretch.ln() + 1.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schemes::rotary::extended::{ntk::Ntk, pi::Pi};
    use crate::schemes::rotary::rope::Rope;

    const MODEL: Geometry = Geometry {
        layers: 1,
        width: 64,
        heads: 1,
        kv_heads: 1,
        head_dim: 64,
        trained_length: 512,
    };

    fn inv_freq(scheme: &impl Scheme) -> Vec<f64> {
        let plan = Scheme::plan(scheme, &MODEL, Len(2048)).unwrap();
        plan.rotations[0].query.inv_freq.clone()
    }

    fn yarn(edit: impl Fn(&mut Yarn)) -> Yarn {
        let mut yarn = Yarn::default();
        edit(&mut yarn);
        yarn
    }

    #[test]
    fn without_stretch_every_extension_is_rope() {
        let rope = inv_freq(&Rope::default());
        assert_eq!(
            inv_freq(&Pi {
                factor: 1.0,
                ..Pi::default()
            }),
            rope
        );
        assert_eq!(
            inv_freq(&Ntk {
                factor: 1.0,
                ..Ntk::default()
            }),
            rope
        );
        for ramp in [Ramp::Code, Ramp::Paper] {
            for blend in [Blend::Frequencies, Blend::Wavelengths] {
                let plain = yarn(|y| (y.factor, y.ramp, y.blend) = (1.0, ramp, blend));
                let found = inv_freq(&plain);
                assert!(
                    found
                        .iter()
                        .zip(&rope)
                        .all(|(a, b)| (a / b - 1.0).abs() < 1e-15)
                );
                assert_eq!(plain.amplitude(1.0), 1.0);
            }
        }
    }

    #[test]
    fn with_nothing_kept_it_is_position_interpolation() {
        let pi = inv_freq(&Pi {
            factor: 4.0,
            ..Pi::default()
        });
        for ramp in [Ramp::Code, Ramp::Paper] {
            let kept = |share| {
                inv_freq(&yarn(|y| {
                    (y.factor, y.ramp, y.extrapolation_factor) = (4.0, ramp, share)
                }))
            };
            assert_eq!(kept(0.0), pi);
            // Half of what is kept at most: the fastest pair is blended half and half.
            assert_eq!(kept(0.5)[0], 0.5 + 0.5 / 4.0);
            assert_eq!(kept(1.0)[0], 1.0);
        }
    }

    #[test]
    fn ntk_moves_the_slowest_pair_fully_and_the_fastest_not_at_all() {
        let (ntk, rope) = (
            inv_freq(&Ntk {
                factor: 4.0,
                ..Ntk::default()
            }),
            inv_freq(&Rope::default()),
        );
        assert_eq!(ntk[0], 1.0);
        assert!((rope[31] / ntk[31] - 4.0).abs() < 1e-12);
    }

    #[test]
    fn the_dynamic_stretch_is_the_fixed_one_at_that_length() {
        let dynamic = Scheme::plan(&yarn(|y| y.dynamic = true), &MODEL, Len(2048)).unwrap();
        let fixed = Scheme::plan(&yarn(|y| y.factor = 4.0), &MODEL, Len(2048)).unwrap();
        assert_eq!(
            dynamic,
            Plan {
                cache: Cache::Unrotated,
                ..fixed
            }
        );
        let refused = Scheme::check(&yarn(|y| (y.dynamic, y.factor) = (true, 4.0))).unwrap_err();
        let rule = "left out beside dynamic = true, where the stretch follows the length";
        assert_eq!(
            refused.to_string(),
            format!("setting `factor` = 4: must be {rule}")
        );
    }
}
