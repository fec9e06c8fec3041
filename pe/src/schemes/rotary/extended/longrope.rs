//! LongRoPE divides every pair's frequency by a factor of its own, found by search, and may leave the first tokens alone.
//!
//! θ′_p = θ_p / λ_p for positions from n̂ on, θ_p before;  A = √(1 + ln s / ln L)
//! λ: `long_factors` for more than L tokens, `short_factors` otherwise
//!
//! Paper: Ding et al. 2024, arXiv 2402.13753, section 3.
//!
//! Code: Hugging Face (`longrope`, the Phi-3 models) switches all positions to the long factors as soon as the text is
//! longer than L (exactly L is short), and gives the amplitude at any length. `dynamic` lets the long factors grow with
//! the length T, 1 + (λ − 1)·(T/L − 1)/(s − 1), as the authors' code does; there factors fall below 1 before L, which is
//! not followed. With `search`, Farspan finds the long factors (and n̂) itself, by the evolution of section 3.2 against the
//! perplexity of validation texts: see [`Search`]. Without factors and search, long ones are YaRN's, from which the authors' search starts. n̂ stands in the paper and
//! in the authors' "mixed" class; scores between the two parts are no longer functions of the distance.

use super::pi::{check_stretch, check_trained_length, dynamic_stretch};
use crate::angles::{inv_freq, pair_with_turns, rotary_settings, trained_length};
use crate::card::{Card, Family, Needs, Paper};
use crate::error::{PlanError, check, check_model};
use crate::recipe::Recipe;
use crate::scheme::{Len, Scheme};
use crate::search::{Evolution, Genes, Search, Space};
use farspan_attention::expr::{Expr, number, select_less};
use farspan_attention::plan::{Cache, Geometry, Plan, Positions};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// The paper's choices of n̂.
const FIRST_TOKENS: &[usize] = &[0, 1, 2, 4, 8, 12, 16, 20, 24, 28, 32, 64, 128, 256];

rotary_settings! {
    /// Settings of LongRoPE.
    LongRope {
        /// Stretch s; the amplitude depends on it.
        #[schemars(range(min = 1))]
        factor: f64 = 2.0,
        /// Divisors λ for texts longer than L, one per pair or one for all; none: those of YaRN.
        #[schemars(inner(range(min = 0)))]
        long_factors: Vec<f64> = Vec::new(),
        /// Divisors for texts of at most L tokens; none: 1.
        #[schemars(inner(range(min = 0)))]
        short_factors: Vec<f64> = Vec::new(),
        /// Let the long factors grow from 1 at L to their full size at s·L.
        dynamic: bool = false,
        /// Length L that the weights were trained with, if not the model's ("original_max_position_embeddings").
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schemars(range(min = 2))]
        trained_length: Option<usize> = None,
        /// Positions n̂ from the start that keep the original frequencies.
        first_tokens: usize = 0,
        /// Find the long factors by evolution on the base's weights: a table with any of length (of the validation
        /// windows; factor × L), windows (5), space ("paper" or "released"), population (64), parents (32), mutations
        /// (16), crossovers (16), iterations (40) and chance (0.3).
        #[serde(skip_serializing_if = "Option::is_none")]
        search: Option<Evolution> = None,
        /// Rule of the amplitude A.
        amplitude: Amplitude = Amplitude::Su,
        /// The amplitude A itself, instead of any rule.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schemars(extend("exclusiveMinimum" = 0))]
        attention_factor: Option<f64> = None,
    }
}

/// How much cos and sin are enlarged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Amplitude {
    /// √(1 + ln s / ln L): the paper and Hugging Face.
    Su,
    /// 0.1·ln s + 1: YaRN's.
    Yarn,
}

impl Scheme for LongRope {
    const ID: &'static str = "longrope";
    const CARD: Card = Card {
        title: "LongRoPE",
        paper: Paper {
            authors: "Ding et al.",
            year: 2024,
            arxiv: "2402.13753",
            section: "3",
        },
        family: Family::Rotary,
        idea: "Divide every pair's frequency by a factor of its own, found by search, for texts \
               longer than the trained length.",
        formula: "θ_p = b^(-2p/d)/λ_p, λ from the long list if n > L, else from the short one\n\
                  amplitude A = √(1 + ln s/ln L)",
        latex: concat!(
            r"\theta_p = b^{-2p/d} / \lambda_p,\quad \lambda = \lambda^{\mathrm{long}}\ (n > L),",
            r"\ \lambda^{\mathrm{short}}\ (n \le L),\quad A = \sqrt{1 + \ln s / \ln L}"
        ),
        needs: Needs::Base(Family::Rotary),
        ..Card::BLANK
    };

    fn check(&self) -> Result<(), PlanError> {
        self.rotary().check()?;
        check_stretch(self.factor, false, self.factor)?;
        check_factors("long_factors", &self.long_factors)?;
        check_factors("short_factors", &self.short_factors)?;
        let rule = "above 1 beside dynamic = true";
        check(
            "factor",
            self.factor,
            rule,
            !self.dynamic || self.factor > 1.0,
        )?;
        check_trained_length(self.trained_length)?;
        self.trained_length.map_or(Ok(()), |length| {
            check("trained_length", length, "at least 2", length >= 2)
        })?;
        if let Some(search) = &self.search {
            search.check("search")?;
            let rule = "left out beside search, which finds them";
            let given = format!("{} numbers", self.long_factors.len());
            check("long_factors", given, rule, self.long_factors.is_empty())?;
            let rule = "above 1 beside search";
            check("factor", self.factor, rule, self.factor > 1.0)?;
        }
        let positive = |x: f64| x > 0.0 && x.is_finite();
        self.attention_factor.map_or(Ok(()), |x| {
            check("attention_factor", x, "above 0 and finite", positive(x))
        })
    }

    fn plan(&self, model: &Geometry, context_len: Len) -> Result<Plan, PlanError> {
        self.check()?;
        let theta = inv_freq(self.base, self.rotary().dim(model, 2)?);
        let trained = trained_length(self.trained_length, model)?;
        check_model("trained_length", trained, "at least 2", trained >= 2)?;
        let divisors = self.divisors(theta.len(), trained, context_len)?;
        let scaled = theta.iter().zip(&divisors).map(|(theta, by)| theta / by);
        let mut plan = self
            .rotary()
            .plan(scaled.collect(), self.amplitude_at(trained));
        if self.first_tokens > 0 {
            let turn = &mut plan.rotations[0];
            turn.query.position = self.positions(Expr::Query, &divisors);
            turn.key.position = self.positions(Expr::Key, &divisors);
        }
        plan.cache = Cache::Unrotated;
        Ok(plan)
    }

    fn recipe(&self, model: &Geometry) -> Result<Recipe, PlanError> {
        self.check()?;
        let search = self
            .search
            .as_ref()
            .map(|evolution| self.search(evolution, model));
        Ok(Recipe {
            search: search.transpose()?,
            ..Recipe::default()
        })
    }
}

impl LongRope {
    /// λ of each pair.
    fn divisors(
        &self,
        pairs: usize,
        trained: usize,
        context_len: Len,
    ) -> Result<Vec<f64>, PlanError> {
        // Both, so that a list of a wrong length is refused at any length.
        let ones = || vec![1.0; pairs];
        let short = of_pairs("short_factors", &self.short_factors, pairs, ones)?;
        let yarn = || yarn_divisors(self.base, 2 * pairs, trained, self.factor, (32.0, 1.0));
        let long = of_pairs("long_factors", &self.long_factors, pairs, yarn)?;
        if context_len.0 <= trained {
            return Ok(short);
        }
        if !self.dynamic {
            return Ok(long);
        }
        let grown = (dynamic_stretch(context_len, trained) - 1.0) / (self.factor - 1.0);
        Ok(long.iter().map(|by| 1.0 + (by - 1.0) * grown).collect())
    }

    fn search(&self, evolution: &Evolution, model: &Geometry) -> Result<Search, PlanError> {
        let trained = trained_length(self.trained_length, model)?;
        let (s, dim) = (self.factor, self.rotary().dim(model, 2)?);
        let genes = |divisors: Vec<f64>| Genes {
            divisors,
            first_tokens: self.first_tokens,
        };
        let pairs = dim / 2;
        let yarn = genes(yarn_divisors(self.base, dim, trained, s, (32.0, 1.0)));
        let power = |p: usize| s.powf(p as f64 / (pairs.max(2) - 1) as f64);
        let (start, highest, first_tokens) = match evolution.space {
            Space::Paper => {
                let (pi, ntk) = (vec![s; pairs], (0..pairs).map(power).collect());
                (vec![genes(pi), genes(ntk), yarn], 1.25 * s, FIRST_TOKENS)
            }
            Space::Released => (vec![yarn], 1.0 + s, &[][..]),
        };
        let ntk = json!({
            "base": self.base, "pairing": self.pairing, "partial": self.partial, "factor": s,
        });
        let mut others = ntk.clone();
        others["trained_length"] = trained.into();
        Ok(Search {
            evolution: evolution.clone(),
            length: evolution
                .length
                .unwrap_or((s * trained as f64).round() as usize),
            start,
            highest,
            first_tokens,
            rivals: vec![("pi", others.clone()), ("ntk", ntk), ("yarn", others)],
            settled: Map::from_iter([("search".to_string(), Value::Null)]),
        })
    }

    /// Positions of each pair: the frequency is already divided, so the first tokens multiply.
    fn positions(&self, at: Expr, divisors: &[f64]) -> Positions {
        let first = number(self.first_tokens as f64);
        let of_pair =
            |by: &f64| select_less(at.clone(), first.clone(), at.clone() * *by, at.clone());
        Positions::PerPair(divisors.iter().map(of_pair).collect())
    }

    fn amplitude_at(&self, trained: usize) -> f64 {
        let stretch = self.factor.ln();
        self.attention_factor.unwrap_or(match self.amplitude {
            Amplitude::Su => (1.0 + stretch / (trained as f64).ln()).sqrt(),
            Amplitude::Yarn => 0.1 * stretch + 1.0,
        })
    }
}

pub(super) fn check_factors(key: &str, factors: &[f64]) -> Result<(), PlanError> {
    let wrong = factors.iter().position(|x| !(*x > 0.0 && x.is_finite()));
    wrong.map_or(Ok(()), |i| {
        check(
            &format!("{key}[{i}]"),
            factors[i],
            "above 0 and finite",
            false,
        )
    })
}

/// One factor per pair from a list of one for all, one per pair, or none.
pub(super) fn of_pairs(
    key: &str,
    factors: &[f64],
    pairs: usize,
    none: impl Fn() -> Vec<f64>,
) -> Result<Vec<f64>, PlanError> {
    match factors {
        [] => Ok(none()),
        [one] => Ok(vec![*one; pairs]),
        all => {
            let rule = format!("a list of 1 or, for these channels, {pairs} numbers");
            let found = format!("{} numbers", all.len());
            check(key, found, &rule, all.len() == pairs)?;
            Ok(all.to_vec())
        }
    }
}

/// The divisors that give YaRN's blend of wavelengths, from which the authors' search starts: u·s + (1 − u), where u goes
/// from 0 for pairs with `turns.0` turns within `trained` tokens to 1 for pairs with `turns.1`.
pub fn yarn_divisors(
    base: f64,
    dim: usize,
    trained: usize,
    stretch: f64,
    turns: (f64, f64),
) -> Vec<f64> {
    let pair = |turns| pair_with_turns(turns, base, dim, trained);
    let lo = pair(turns.0).floor().max(0.0);
    let hi = pair(turns.1).ceil().min(dim as f64 - 1.0);
    let width = if lo == hi { 0.001 } else { hi - lo };
    let share = |p: usize| ((p as f64 - lo) / width).clamp(0.0, 1.0);
    (0..dim / 2)
        .map(|p| stretch * share(p) + 1.0 - share(p))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schemes::rotary::extended::{ntk::Ntk, pi::Pi};
    use crate::schemes::rotary::rope::Rope;
    use farspan_attention::tables::Table;

    const MODEL: Geometry = Geometry {
        layers: 1,
        width: 16,
        heads: 1,
        kv_heads: 1,
        head_dim: 16,
        trained_length: 64,
    };

    fn scheme(long: &[f64]) -> LongRope {
        LongRope {
            factor: 4.0,
            long_factors: long.to_vec(),
            ..LongRope::default()
        }
    }

    fn frequencies(scheme: &impl Scheme, length: usize) -> Vec<f64> {
        let plan = Scheme::plan(scheme, &MODEL, Len(length)).unwrap();
        plan.rotations[0].query.inv_freq.clone()
    }

    fn same(a: &[f64], b: &[f64]) {
        assert!(
            a.iter().zip(b).all(|(a, b)| (a / b - 1.0).abs() < 1e-12),
            "{a:?} {b:?}"
        );
    }

    #[test]
    fn equal_divisors_are_position_interpolation_and_powers_are_ntk() {
        let pi = Pi {
            factor: 4.0,
            ..Pi::default()
        };
        same(&frequencies(&scheme(&[4.0]), 256), &frequencies(&pi, 256));
        let powers: Vec<f64> = (0..8)
            .map(|p| 4f64.powf(2.0 * f64::from(p) / 14.0))
            .collect();
        let ntk = Ntk {
            factor: 4.0,
            ..Ntk::default()
        };
        same(&frequencies(&scheme(&powers), 256), &frequencies(&ntk, 256));
        same(
            &frequencies(&scheme(&[4.0]), 64),
            &frequencies(&Rope::default(), 64),
        );
    }

    #[test]
    fn the_first_tokens_keep_their_angles() {
        let first = LongRope {
            first_tokens: 5,
            ..scheme(&[4.0])
        };
        let table = |scheme: &LongRope| {
            let plan = Scheme::plan(scheme, &MODEL, Len(256)).unwrap();
            Table::new(&plan.rotations[0].key, 0..9, 256).unwrap()
        };
        let (found, stretched) = (table(&first), table(&scheme(&[4.0])));
        let original = table(&LongRope {
            long_factors: vec![1.0],
            ..scheme(&[])
        });
        for row in 0..9 {
            let expected = if row < 5 { &original } else { &stretched };
            for (a, b) in found.row(0, row).1.iter().zip(expected.row(0, row).1) {
                assert!((a - b).abs() < 1e-12);
            }
        }
    }

    #[test]
    fn lists_of_a_wrong_length_are_named() {
        let error = Scheme::plan(&scheme(&[1.0, 2.0]), &MODEL, Len(256)).unwrap_err();
        let expected = "a list of 1 or, for these channels, 8 numbers";
        assert_eq!(
            error.to_string(),
            format!("setting `long_factors` = 2 numbers: must be {expected}")
        );
    }
}
