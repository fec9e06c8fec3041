//! LaMPE keeps near distances, shifts those of the text's beginning, and lays everything between on a range of positions
//! whose size follows the text's length.
//!
//! T ≤ max(m, 2H): RoPE;  else, with g(x) = ⌊x·m/(T − 1)⌋ and R the last index of the group of index `tail`:
//! δ(i, j) = i − j if i − j ≤ H;  i − j − b₂ if i − j ≥ T − R;  else g(i) + b₁ − g(j)
//! b₁ = H − g(H) − 1,  b₂ = (T − 1 − R) − g(T − 1 − R) − b₁;  cos and sin times 0.1·ln 2 + 1
//! m = M, or M·σ(a·T + c) if `rate` a is set
//!
//! Paper: Zhang et al. 2025, arXiv 2508.02308, section 3.
//!
//! Code: as released (scar-on/LaMPE, `llama_cache1.py`), which sees the pairs at i − j = H and i − j = T − R twice, near
//! and mapped, mapped and shifted; here each pair counts once. a, c and M are fitted to each model by measuring: 1.05e-4,
//! −2.47 and 6204 for Llama 3 (L = 8192), 4.51e-5, −2.79 and 82359 for Llama 3.1. Left out, m is ¾·L whatever the length.

use super::frame::{at_least, at_most_half, floor, turn_at, whole};
use crate::angles::{inv_freq, rotary_settings, trained_length};
use crate::card::{Card, Family, Needs, Paper};
use crate::error::{PlanError, check};
use crate::scheme::{Len, Scheme};
use farspan_attention::expr::{Expr, distance, raw, select_less};
use farspan_attention::plan::{Cache, Geometry, Plan};

rotary_settings! {
    /// Settings of LaMPE.
    Lampe {
        /// Distances up to H are kept ("head"). Left out: an eighth of the trained length.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schemars(range(min = 1))]
        head: Option<usize> = None,
        /// Tokens at the text's beginning whose distances to the last ones are shifted only ("tail"). Left out: 200, or
        /// 1/32 of the trained length if that is less.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schemars(range(min = 1))]
        tail: Option<usize> = None,
        /// Positions M that the text is laid on ("use_length"). Left out: three quarters of the trained length.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schemars(range(min = 1))]
        mapped: Option<usize> = None,
        /// Rate a per token at which the positions in use grow with the text. Left out: all M are used.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schemars(range(min = 0), extend("examples" = [0.01, 0.02]))]
        rate: Option<f64> = None,
        /// Where that growth starts, c.
        offset: f64 = -2.5,
        /// Amplitude A of cos and sin.
        #[schemars(extend("exclusiveMinimum" = 0))]
        attention_factor: f64 = 1.069_314_718_055_994_6,
        /// Length L that the weights were trained with, if not the model's.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schemars(range(min = 1))]
        trained_length: Option<usize> = None,
    }
}

impl Scheme for Lampe {
    const ID: &'static str = "lampe";
    const CARD: Card = Card {
        title: "LaMPE",
        paper: Paper {
            authors: "Zhang et al.",
            year: 2025,
            arxiv: "2508.02308",
            section: "3",
        },
        family: Family::Remap,
        idea: "Keep near distances, shift those to the text's beginning, and lay the rest on a range of positions that \
               follows the text's length.",
        formula: "distance seen = q-k if q-k ≤ H, q-k-b2 if q-k ≥ T-R, else g(q)+b1-g(k) with g(x) = ⌊x·m/(T-1)⌋",
        latex: concat!(
            r"\delta_{ij} = i-j\ (i-j \le H),\quad i-j-b_2\ (i-j \ge T-R),\quad ",
            r"\left\lfloor\tfrac{i\,m}{T-1}\right\rfloor + b_1 - \left\lfloor\tfrac{j\,m}{T-1}\right\rfloor\ (\text{else})"
        ),
        needs: Needs::Base(Family::Rotary),
        ..Card::BLANK
    };

    fn check(&self) -> Result<(), PlanError> {
        self.rotary().check()?;
        for (key, value) in [
            ("head", self.head),
            ("tail", self.tail),
            ("mapped", self.mapped),
            ("trained_length", self.trained_length),
        ] {
            at_least(key, value, 1)?;
        }
        self.rate.map_or(Ok(()), |rate| {
            let fits = rate >= 0.0 && rate.is_finite();
            check("rate", rate, "at least 0 and finite", fits)
        })?;
        check("offset", self.offset, "finite", self.offset.is_finite())?;
        let a = self.attention_factor;
        let fits = a > 0.0 && a.is_finite();
        check("attention_factor", a, "above 0 and finite", fits)
    }

    fn plan(&self, model: &Geometry, context_len: Len) -> Result<Plan, PlanError> {
        self.check()?;
        let rotary = self.rotary();
        let inv_freq = inv_freq(self.base, rotary.dim(model, 2)?);
        let trained = trained_length(self.trained_length, model)?;
        let head = self.head.unwrap_or((trained / 8).max(1));
        let most = self.mapped.unwrap_or((trained * 3 / 4).max(1));
        let mapped = match self.rate {
            None => most,
            Some(rate) => {
                let grown =
                    most as f64 / (1.0 + (-(rate * context_len.0 as f64 + self.offset)).exp());
                (grown as usize).max(1)
            }
        };
        let amplitude = self.attention_factor;
        let mut plan = rotary.plan(inv_freq.clone(), amplitude);
        // Positions follow the length, so no turned key can be kept.
        plan.cache = Cache::Unrotated;
        let tail = at_most_half(self.tail, 200, trained / 16);
        // Whatever the length, what is kept and what is shifted only must not meet.
        let least = match self.rate {
            None => most.max(2 * head),
            Some(_) => 2 * head,
        };
        let rule = format!(
            "at most {}, for distances up to head = {head} are kept",
            least - head
        );
        check("tail", tail, &rule, tail + head <= least)?;
        if context_len.0 <= mapped.max(2 * head) {
            return Ok(plan);
        }
        let pace = mapped as f64 / (context_len.0 - 1) as f64;
        let group = |x: usize| (pace * x as f64).floor();
        let last = (tail..).take_while(|&x| group(x) == group(tail)).last();
        let tail = last.unwrap_or(tail).min(context_len.0 - 1 - head);
        let near_end = head as f64 - group(head) - 1.0;
        let first_far = context_len.0 - 1 - tail;
        let far_shift = first_far as f64 - group(first_far) - near_end;
        let laid = |x: Expr| floor(x * pace);
        let mut add = |query: Expr, key: Expr| {
            let mut turn = turn_at(&rotary, &inv_freq, query, key);
            turn.query.amplitude = amplitude;
            turn.key.amplitude = amplitude;
            plan.rotations.push(turn);
        };
        add(laid(Expr::Query) + near_end, laid(Expr::Key));
        add(Expr::Query - far_shift, Expr::Key);
        let far = select_less(
            distance(),
            whole(context_len.0 - tail),
            Expr::Raw(1),
            Expr::Raw(2),
        );
        plan.score = select_less(distance(), whole(head + 1), raw(), far);
        Ok(plan)
    }
}
