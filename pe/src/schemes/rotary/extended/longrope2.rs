//! LongRoPE2 holds that the slow pairs were trained less than theory says: from an earlier critical pair on they get
//! divisors of at least s, and the faster ones a base that meets the first of them.
//!
//! p ≥ p_c: θ′_p = θ_p / λ_p, λ_p ≥ s;  p < p_c: θ′_p = b′^(−2p/d) with b′^(2p_c/d) = λ_{p_c} · b^(2p_c/d)
//! texts of at most L tokens: RoPE
//!
//! Paper: Shang et al. 2025, arXiv 2502.20082, sections 3.1 and 3.2.
//!
//! The paper searches p_c (from a pair with ten turns in L to the theoretical one, with one turn) and the divisors by an
//! evolution whose objective is the perplexity of answers to a needle; here they are settings, by default the
//! theoretical pair and s. Phi-3-mini: pair 31 in theory, 25 found; Llama-3-8B: 35 and 30.

use super::longrope::{check_factors, of_pairs};
use super::pi::check_stretch;
use crate::angles::{critical_pair, inv_freq, rotary_settings};
use crate::card::{Card, Family, Needs, Paper};
use crate::error::{PlanError, check, check_model};
use crate::scheme::{Len, Scheme};
use farspan_attention::plan::{Cache, Geometry, Plan};

rotary_settings! {
    /// Settings of LongRoPE2.
    LongRope2 {
        /// Stretch s.
        #[schemars(range(min = 1))]
        factor: f64 = 2.0,
        /// First pair p_c whose divisor is free. Left out: the first that makes less than one turn in the trained length.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schemars(range(min = 1))]
        critical_pair: Option<usize> = None,
        /// Divisors λ of the pairs from p_c on, one per pair or one for all; none: s.
        #[schemars(inner(range(min = 0)))]
        divisors: Vec<f64> = Vec::new(),
        /// Amplitude A of cos and sin past the trained length.
        #[schemars(extend("exclusiveMinimum" = 0))]
        attention_factor: f64 = 1.0,
    }
}

impl Scheme for LongRope2 {
    const ID: &'static str = "longrope2";
    const CARD: Card = Card {
        title: "LongRoPE2",
        paper: Paper {
            authors: "Shang et al.",
            year: 2025,
            arxiv: "2502.20082",
            section: "3",
        },
        family: Family::Rotary,
        idea: "Interpolate from an earlier pair on than theory says, for slow pairs were trained \
               less; change nothing within the trained length.",
        formula: "n > L: θ_p = b^(-2p/d)/λ_p for p ≥ p_c, else b'^(-2p/d), \
                  b' = b·λ_c^(d/2p_c)\nn ≤ L: θ_p = b^(-2p/d)",
        latex: concat!(
            r"\theta_p = b^{-2p/d}/\lambda_p\ (p \ge p_c),\quad b'^{-2p/d}\ (p < p_c),\quad ",
            r"b' = b\,\lambda_{p_c}^{d/2p_c}"
        ),
        needs: Needs::Base(Family::Rotary),
        ..Card::BLANK
    };

    fn check(&self) -> Result<(), PlanError> {
        self.rotary().check()?;
        check_stretch(self.factor, false, self.factor)?;
        check_factors("divisors", &self.divisors)?;
        self.critical_pair
            .map_or(Ok(()), |p| check("critical_pair", p, "at least 1", p >= 1))?;
        let a = self.attention_factor;
        check(
            "attention_factor",
            a,
            "above 0 and finite",
            a > 0.0 && a.is_finite(),
        )
    }

    fn plan(&self, model: &Geometry, context_len: Len) -> Result<Plan, PlanError> {
        self.check()?;
        let dim = self.rotary().dim(model, 4)?;
        let trained = model.trained_length;
        let (mut inv_freq, mut amplitude) = (inv_freq(self.base, dim), 1.0);
        let pairs = inv_freq.len();
        let critical = match self.critical_pair {
            Some(pair) => pair,
            None => critical_pair(self.base, dim, trained).clamp(1, pairs - 1),
        };
        let rule = format!("below the number of channel pairs, {pairs}");
        check_model("critical_pair", critical, &rule, critical < pairs)?;
        let free = pairs - critical;
        let divisors = of_pairs("divisors", &self.divisors, free, || vec![self.factor; free])?;
        if context_len.0 > trained {
            amplitude = self.attention_factor;
            let (fast, slow) = inv_freq.split_at_mut(critical);
            for (p, theta) in fast.iter_mut().enumerate() {
                *theta *= divisors[0].powf(-(p as f64) / critical as f64);
            }
            slow.iter_mut()
                .zip(&divisors)
                .for_each(|(theta, by)| *theta /= by);
        }
        let mut plan = self.rotary().plan(inv_freq, amplitude);
        plan.cache = Cache::Unrotated;
        Ok(plan)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_two_parts_meet_and_short_texts_are_left_alone() {
        let model = Geometry {
            layers: 1,
            width: 64,
            heads: 1,
            kv_heads: 1,
            head_dim: 64,
            trained_length: 512,
        };
        let scheme = LongRope2 {
            factor: 8.0,
            critical_pair: Some(12),
            ..LongRope2::default()
        };
        let at = |length| {
            let plan = Scheme::plan(&scheme, &model, Len(length)).unwrap();
            plan.rotations[0].query.inv_freq.clone()
        };
        let (short, long) = (at(512), at(513));
        assert_eq!(short, inv_freq(10000.0, 64));
        let stretch: Vec<f64> = short.iter().zip(&long).map(|(a, b)| a / b).collect();
        assert_eq!(stretch[0], 1.0);
        assert!(stretch.is_sorted());
        assert!(stretch[12..].iter().all(|s| (s - 8.0).abs() < 1e-12));
        // The base of the fast pairs would give the critical one its divisor as well.
        assert!((stretch[6] - 8f64.sqrt()).abs() < 1e-12);
    }
}
