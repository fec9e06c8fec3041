//! Hyperbolic HoPE turns pairs of channels by a boost in the place of a rotation and damps the score, so that it falls with
//! the distance and never oscillates.
//!
//! score = e^(−Δ·θ′)·Σ_p [(q₁k₁ + q₂k₂)·cosh(Δθ_p) + (q₁k₂ + q₂k₁)·sinh(Δθ_p)]/√d,  Δ = i − j, θ_p = b^(−2p/d),
//! θ′ = damping·max θ
//!
//! Paper: Dai et al. 2025, arXiv 2509.05218, sections 3.1 and 3.2.
//!
//! The formula, and that θ′ must lie above max θ = 1, are known from two independent transcriptions of the paper's equations
//! (5 to 12); which θ′ the paper takes is not, hence `experimental` and the setting. The default 1.1 is that of the
//! transcription that checks the paper's claims by numbers; the other one learns θ′ from 2.7 on. Scores hang on it: pair p
//! falls by θ′ − θ_p each token, so that slow pairs fade within a few tokens whatever it is.
//!
//! With u = (q₁ + q₂)/√2 and v = (q₁ − q₂)/√2 the score is Σ u·u′·e^(−Δ(θ′ − θ)) + v·v′·e^(−Δ(θ′ + θ)): decays that are never
//! formed as e^(−iθ′)·e^(jθ′), which overflows, but from the first query of a few on.

use crate::angles::{PairingSchema, Rotary, inv_freq};
use crate::card::{Card, Family, Paper};
use crate::error::{PlanError, check};
use crate::scheme::{Len, Scheme};
use farspan_attention::hook::{Hook, HookRef, Scope, Stage};
use farspan_attention::plan::{Geometry, Pairing, Plan};
use farspan_attention::{Result, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::f64::consts::FRAC_1_SQRT_2;

/// Settings of hyperbolic HoPE.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Hyperbolic {
    /// Base b of the frequencies.
    #[schemars(extend("exclusiveMinimum" = 1))]
    pub base: f64,
    /// Which two channels make a pair.
    #[schemars(with = "PairingSchema")]
    pub pairing: Pairing,
    /// θ′ over the largest frequency. The paper asks for more than 1 and its value is not known; 1.1 is that of a
    /// transcription that checks the paper's claims by numbers.
    #[schemars(extend("exclusiveMinimum" = 1))]
    pub damping: f64,
}

impl Default for Hyperbolic {
    fn default() -> Hyperbolic {
        Hyperbolic {
            base: Rotary::DEFAULT.base,
            pairing: Pairing::Interleaved,
            damping: 1.1,
        }
    }
}

impl Scheme for Hyperbolic {
    const ID: &'static str = "hyperbolic-hope";
    const CARD: Card = Card {
        title: "HoPE (hyperbolic)",
        paper: Paper {
            authors: "Dai et al.",
            year: 2025,
            arxiv: "2509.05218",
            section: "3",
        },
        family: Family::Rotary,
        idea: "Boost pairs of channels by hyperbolic functions of the distance and damp the score, so that it falls \
               without oscillating.",
        formula: "Σ_p e^(-Δθ')·[(q₁k₁+q₂k₂)·cosh Δθ_p + (q₁k₂+q₂k₁)·sinh Δθ_p]/√d, θ' = c·max θ, c > 1",
        latex: r"e^{-\Delta\theta'} q_p^\top \begin{pmatrix}\cosh\Delta\theta_p & \sinh\Delta\theta_p\\ \sinh\Delta\theta_p & \cosh\Delta\theta_p\end{pmatrix} k_p",
        experimental: true,
        ..Card::BLANK
    };

    fn check(&self) -> Result<(), PlanError> {
        self.rotary().check()?;
        let holds = self.damping > 1.0 && self.damping.is_finite();
        check("damping", self.damping, "above 1 and finite", holds)
    }

    fn plan(&self, model: &Geometry, _context_len: Len) -> Result<Plan, PlanError> {
        self.check()?;
        let dim = self.rotary().dim(model, 2)?;
        let inv_freq = inv_freq(self.base, dim);
        // θ of the first pair is the largest.
        let damping = self.damping * inv_freq[0];
        Ok(Plan {
            hooks: vec![HookRef::new(Boost {
                pairing: self.pairing,
                inv_freq,
                damping,
            })],
            ..Plan::default()
        })
    }
}

impl Hyperbolic {
    fn rotary(&self) -> Rotary {
        Rotary {
            base: self.base,
            pairing: self.pairing,
            partial: 1.0,
        }
    }
}

/// Decays as large as e to this are formed: their products with what is as small keep single precision.
const STEEPEST: f64 = 40.0;

#[derive(Debug)]
struct Boost {
    pairing: Pairing,
    inv_freq: Vec<f64>,
    damping: f64,
}

impl Boost {
    /// Takes pairs of channels to u and v: \[2·pairs, 2·pairs\], row-major; column p is u of pair p, then come all v.
    fn basis(&self) -> Vec<f64> {
        let pairs = self.inv_freq.len();
        let mut basis = vec![0.0; 4 * pairs * pairs];
        for p in 0..pairs {
            let (first, second) = match self.pairing {
                Pairing::HalfSplit => (p, p + pairs),
                Pairing::Interleaved => (2 * p, 2 * p + 1),
            };
            basis[first * 2 * pairs + p] = FRAC_1_SQRT_2;
            basis[second * 2 * pairs + p] = FRAC_1_SQRT_2;
            basis[first * 2 * pairs + pairs + p] = FRAC_1_SQRT_2;
            basis[second * 2 * pairs + pairs + p] = -FRAC_1_SQRT_2;
        }
        basis
    }

    /// How fast each u and v falls, per token.
    fn rates(&self) -> Vec<f64> {
        let slow = self.inv_freq.iter().map(|theta| self.damping - theta);
        let fast = self.inv_freq.iter().map(|theta| self.damping + theta);
        slow.chain(fast).collect()
    }
}

impl Hook for Boost {
    fn stage(&self) -> Stage {
        Stage::Scores
    }

    fn describe(&self) -> String {
        let (pairing, damping) = (self.pairing, self.damping);
        format!(
            "boosts of {pairing:?} pairs by {:?} per token, damped by {damping}",
            self.inv_freq
        )
    }

    fn scores(&self, scope: &Scope<'_>, _scores: &Tensor) -> Result<Tensor> {
        let rates = self.rates();
        let (channels, steepest) = (rates.len(), rates.iter().copied().fold(0.0, f64::max));
        let basis = scope.constant(&self.basis(), &[channels, channels])?;
        let of = |x: &Tensor| -> Result<Tensor> {
            let (batch, heads, rows, _) = x.dims4()?;
            let flat = x.contiguous()?.reshape((batch * heads * rows, channels))?;
            flat.matmul(&basis)?.reshape((batch, heads, rows, channels))
        };
        let qkv = scope.qkv;
        let q = of(&scope
            .of_queries(&qkv.q)?
            .affine(scope.prepared.scale(), 0.0)?)?;
        let k = of(&scope.repeated(&scope.of_keys(&qkv.k)?)?)?;
        let (queries, keys) = (scope.query_positions(), scope.key_positions());
        // Factors e^(−rate·(x − from)), one for each of the positions x and each channel.
        let decays = |positions: &mut dyn Iterator<Item = f64>, from: f64| -> Result<Tensor> {
            let exponents: Vec<f64> = positions
                .flat_map(|x| rates.iter().map(move |rate| (-rate * (x - from)).exp()))
                .collect();
            let rows = exponents.len() / channels.max(1);
            scope.constant(&exponents, &[1, 1, rows, channels])
        };
        let mut blocks = Vec::new();
        let mut start = 0;
        while start < queries.len() {
            let from = queries[start];
            let near = |x: &&f64| ((**x - from) * steepest).abs() <= STEEPEST;
            let rows = queries[start..].iter().take_while(near).count().max(1);
            let here = &queries[start..start + rows];
            let last = here.iter().copied().fold(from, f64::max);
            let own = q.narrow(2, start, rows)?;
            let own = own.broadcast_mul(&decays(&mut here.iter().copied(), from)?)?;
            // What stands behind the last of these queries is hidden; it must not overflow.
            let mut before = keys.iter().map(|x| 2.0 * from - x.min(last));
            let seen = k.broadcast_mul(&decays(&mut before, from)?)?;
            blocks.push(own.matmul(&seen.transpose(2, 3)?.contiguous()?)?);
            start += rows;
        }
        Tensor::cat(&blocks.iter().collect::<Vec<_>>(), 2)
    }
}
