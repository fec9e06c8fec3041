//! FoPE gives every pair a small Fourier series instead of a single frequency, and drops frequencies that make no full
//! turn within the trained length.
//!
//! f: the N frequencies θ_p ≥ 2π/L;  M = min(N, head_dim/4);  pair j < M: cos and sin are Σ_i C_ij·cos(n·f_i) and
//! Σ_i S_ij·sin(n·f_i), weights per head;  the other pairs: the constants 1 and `rest_sin`
//!
//! Paper: Hua et al. 2024, arXiv 2412.17739, section 4.
//!
//! Code: of the authors, on OLMo. Weights are Xavier-normal with a gain plus a "step identity" (1 at (j·⌈N/M⌉, j)), drawn
//! once and not trained. Both tables are padded with the constant 1, so that each of the remaining pairs is a turn by 45°
//! times √2 and counts twice (`rest_sin = 0` gives the plain product). Relativity does not hold exactly. The authors'
//! gains: 0.3 at 60M parameters, 0.4 at 180M, 0.6 at 1.2B.

use crate::angles::{Rotary, inv_freq, trained_length, turns};
use crate::card::{Card, Family, Paper};
use crate::error::{PlanError, check, check_model};
use crate::scheme::{Len, Scheme};
use farspan_attention::plan::{Geometry, Mix, Pairing, Plan, Waves};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::f64::consts::TAU;

/// Settings of FoPE.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Fope {
    /// Base b of the frequencies.
    #[schemars(extend("exclusiveMinimum" = 1))]
    pub base: f64,
    /// Length L, if not the trained length.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub trained_length: Option<usize>,
    /// Gain of the random weights.
    #[schemars(range(min = 0))]
    pub gain: f64,
    /// Seed of the random weights.
    pub seed: u32,
    /// What stands for the sine in pairs without a series; the released code has 1.
    pub rest_sin: f64,
}

impl Default for Fope {
    fn default() -> Fope {
        Fope {
            base: 10000.0,
            trained_length: None,
            gain: 0.3,
            seed: 0,
            rest_sin: 1.0,
        }
    }
}

impl Scheme for Fope {
    const ID: &'static str = "fope";
    const CARD: Card = Card {
        title: "FoPE (Fourier position embedding)",
        paper: Paper {
            authors: "Hua et al.",
            year: 2024,
            arxiv: "2412.17739",
            section: "4",
        },
        family: Family::Rotary,
        idea: "Give every pair a small Fourier series instead of a single frequency, and drop \
               frequencies that make no full turn within the trained length.",
        formula: "cos_j(n) = Σ_i C_ij·cos(n·f_i), sin_j(n) = Σ_i S_ij·sin(n·f_i), f_i ≥ 2π/L",
        latex: concat!(
            r"\widehat{\cos}_j(n) = \sum_i C_{ij} \cos(n f_i),\quad ",
            r"\widehat{\sin}_j(n) = \sum_i S_{ij} \sin(n f_i),\quad f_i \ge 2\pi/L"
        ),
        ..Card::BLANK
    };

    fn check(&self) -> Result<(), PlanError> {
        self.rotary().check()?;
        super::extended::pi::check_trained_length(self.trained_length)?;
        let holds = self.gain >= 0.0 && self.gain.is_finite();
        check("gain", self.gain, "at least 0 and finite", holds)?;
        check(
            "rest_sin",
            self.rest_sin,
            "finite",
            self.rest_sin.is_finite(),
        )
    }

    fn plan(&self, model: &Geometry, _context_len: Len) -> Result<Plan, PlanError> {
        self.check()?;
        let kept = self.kept(model)?;
        // Queries that read the same key turn as it does.
        let per_head = kept.len() * mixed(kept.len(), model.head_dim);
        let drawn = |of_sines: bool| {
            (0..model.kv_heads)
                .map(|head| self.weights(head, of_sines, &kept, model))
                .collect()
        };
        let (cos, sin): (Vec<Vec<f64>>, Vec<Vec<f64>>) = (drawn(false), drawn(true));
        debug_assert!(cos.iter().all(|of_head| of_head.len() == per_head));
        self.plan_with(model, &cos, &sin)
    }
}

impl Fope {
    fn rotary(&self) -> Rotary {
        Rotary {
            base: self.base,
            pairing: Pairing::HalfSplit,
            partial: 1.0,
        }
    }

    /// Frequencies that make at least one turn within L.
    fn kept(&self, model: &Geometry) -> Result<Vec<f64>, PlanError> {
        let dim = self.rotary().dim(model, 4)?;
        let trained = trained_length(self.trained_length, model)?;
        let mut kept = inv_freq(self.base, dim);
        kept.retain(|theta| turns(*theta, trained) >= 1.0);
        let rule = "at least 7 tokens, for the shortest wavelength is 2π";
        check_model("trained_length", trained, rule, !kept.is_empty())?;
        Ok(kept)
    }

    /// The plan for given weights of each key/value head, \[kept frequencies, mixed pairs\] row-major: what the released
    /// class makes of its two buffers.
    pub fn plan_with(
        &self,
        model: &Geometry,
        cos: &[Vec<f64>],
        sin: &[Vec<f64>],
    ) -> Result<Plan, PlanError> {
        let kept = self.kept(model)?;
        let mut plan = self.rotary().plan(kept.clone(), 1.0);
        let waves = |heads: usize| {
            let group = heads / model.kv_heads;
            let all = |of: &[Vec<f64>]| {
                (0..heads)
                    .flat_map(|head| of[head / group].clone())
                    .collect()
            };
            Waves::Mixed(Mix {
                cos: all(cos),
                sin: all(sin),
                heads,
                mixed: mixed(kept.len(), model.head_dim),
                pairs: model.head_dim / 2,
                rest: (1.0, self.rest_sin),
            })
        };
        let turn = &mut plan.rotations[0];
        turn.query.waves = waves(model.heads);
        turn.key.waves = waves(model.kv_heads);
        Ok(plan)
    }

    /// Xavier-normal numbers plus the step identity. torch takes N·M for the inputs and heads·M for the outputs of a
    /// matrix \[heads, N, M\].
    fn weights(&self, head: usize, of_sines: bool, kept: &[f64], model: &Geometry) -> Vec<f64> {
        let (n, m) = (kept.len(), mixed(kept.len(), model.head_dim));
        let std = self.gain * (2.0 / (m * (n + model.kv_heads)) as f64).sqrt();
        let stream = (u64::from(self.seed) << 32) ^ ((head as u64) << 1) ^ u64::from(of_sines);
        let step = n.div_ceil(m);
        let at = |i: usize, j: usize| {
            let identity = f64::from(u8::from(if n == m { i == j } else { i == j * step }));
            identity + std * normal(stream, (i * m + j) as u64)
        };
        (0..n * m).map(|x| at(x / m, x % m)).collect()
    }
}

/// M: pairs that have a series.
fn mixed(kept: usize, head_dim: usize) -> usize {
    kept.min(head_dim / 4)
}

/// Number `index` of a stream of standard normal numbers (SplitMix64 and the Box–Muller transform).
fn normal(stream: u64, index: u64) -> f64 {
    let uniform = |which: u64| {
        let mut x = stream
            .wrapping_mul(0xD1B5_4A32_D192_ED03)
            .wrapping_add((2 * index + which + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        // In (0, 1].
        (((x ^ (x >> 31)) >> 11) + 1) as f64 / (1u64 << 53) as f64
    };
    (-2.0 * uniform(0).ln()).sqrt() * (TAU * uniform(1)).cos()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schemes::rotary::rope::Rope;
    use farspan_attention::tables::Table;

    const MODEL: Geometry = Geometry {
        layers: 1,
        width: 64,
        heads: 2,
        kv_heads: 2,
        head_dim: 32,
        trained_length: 128,
    };

    #[test]
    fn draws_are_standard_normal() {
        let draws: Vec<f64> = (0..20_000).map(|i| normal(7, i)).collect();
        let mean = draws.iter().sum::<f64>() / 20_000.0;
        let variance = draws.iter().map(|x| x * x).sum::<f64>() / 20_000.0;
        assert!(
            mean.abs() < 0.03 && (variance - 1.0).abs() < 0.04,
            "{mean} {variance}"
        );
    }

    #[test]
    fn without_gain_the_mixed_pairs_are_rope() {
        let scheme = Fope {
            gain: 0.0,
            ..Fope::default()
        };
        let plan = Scheme::plan(&scheme, &MODEL, Len(128)).unwrap();
        let rope = Scheme::plan(&Rope::default(), &MODEL, Len(128)).unwrap();
        let table = |plan: &Plan| Table::new(&plan.rotations[0].query, 90..91, 128).unwrap();
        let (found, expected) = (table(&plan), table(&rope));
        assert_eq!(found.row(1, 0).0[..6], expected.row(0, 0).0[..6]);
        assert_eq!(found.row(1, 0).1[6..], [1.0; 10]);
    }
}
