//! NTK-ALiBi stretches the head that sees farthest fully and the one that sees nearest not at all, as NTK-aware scaling
//! does with slow and fast pairs.
//!
//! score = raw + bias_h((i − j)/s_h), for ALiBi raw − (m_h/s_h)·(i − j);  s_h = s^((h − 1)/(H − 1)),
//! h = 1 … H by how fast the bias falls, the steepest first
//!
//! Source: the repository keezen/ntk_alibi, 2023; named beside interpolation in Al-Khateeb et al. 2023, arXiv 2310.13017.
//!
//! Code: ranks are those of the heads' indices, which is the same order where ALiBi's slopes fall with the index, that is,
//! for powers of two. Over other biases it is defined where training starts from a ladder of reaches (ALiBi, BAM); a
//! bias whose heads all start alike or by chance has no order of heads and is refused.

use super::{additive, stretched};
use crate::card::{Card, Family, Needs, Paper};
use crate::error::PlanError;
use crate::over::Over;
use crate::scheme::{Len, Scheme};
use crate::schemes::rotary::extended::pi::check_stretch;
use farspan_attention::expr::{Expr, ParamValues, param, raw};
use farspan_attention::plan::{Geometry, Init, ParamSpec, Plan};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Settings of NTK-ALiBi.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct NtkBias {
    /// The bias that is stretched, with its settings; the base's unless set.
    #[schemars(extend("examples" = [{ "bam": {} }]))]
    pub over: Over,
    /// Stretch s of the head that sees farthest.
    #[schemars(range(min = 1))]
    pub factor: f64,
}

impl Default for NtkBias {
    fn default() -> NtkBias {
        NtkBias {
            over: Over::new("alibi"),
            factor: 2.0,
        }
    }
}

const STRETCH: &str = "stretch";

impl Scheme for NtkBias {
    const ID: &'static str = "ntk-bias";
    const CARD: Card = Card {
        title: "NTK-ALiBi",
        paper: Paper {
            authors: "keezen; Al-Khateeb et al.",
            year: 2023,
            arxiv: "2310.13017",
            section: "3",
        },
        family: Family::Bias,
        idea: "Divide the distances that a head's bias sees by a share of the stretch that grows from nothing for the \
               steepest head to all of it for the flattest.",
        formula: "bias'[h](r) = bias[h](r/s^((h-1)/(H-1)))",
        latex: r"b'_h(r) = b_h\left(r\,s^{-(h-1)/(H-1)}\right)",
        needs: Needs::Base(Family::Bias),
        ..Card::BLANK
    };

    fn check(&self) -> Result<(), PlanError> {
        self.over.scheme(Family::Bias)?;
        check_stretch(self.factor, false, self.factor)
    }

    fn plan(&self, model: &Geometry, context_len: Len) -> Result<Plan, PlanError> {
        Scheme::check(self)?;
        let (mut plan, bias) = additive(&self.over, model, context_len)?;
        let Some(ranks) = ranks(&bias, &plan, model)? else {
            let rule = "a bias whose heads start from a ladder of reaches, such as alibi: heads that start alike, or by \
                        chance, have no order";
            return Err(self.over.wrong(rule, String::new()));
        };
        let last = (model.heads.max(2) - 1) as f64;
        let stretches = ranks
            .iter()
            .map(|rank| self.factor.powf(*rank as f64 / last));
        plan.params.push(ParamSpec {
            name: STRETCH.into(),
            shape: vec![model.heads],
            init: Init::Values(stretches.collect()),
            learned: false,
            per_layer: false,
            clamp: None,
        });
        plan.score = raw() + stretched(&bias, &param(STRETCH));
        Ok(plan)
    }
}

/// The rank of each head by how far its bias has fallen at distance 1 when training starts, 0 for the farthest; `None`
/// where that does not tell all heads apart.
fn ranks(bias: &Expr, plan: &Plan, model: &Geometry) -> Result<Option<Vec<usize>>, PlanError> {
    let mut params = ParamValues::new();
    for spec in &plan.params {
        let values = match &spec.init {
            Init::Constant(x) => vec![*x; spec.len()],
            Init::Values(values) => values.clone(),
            Init::Uniform(..) | Init::Normal(..) => return Ok(None),
        };
        params.insert(spec.name.clone(), values);
    }
    if !bias.is_shift_invariant() {
        return Ok(None);
    }
    let mut falls = Vec::new();
    for head in 0..model.heads {
        falls.extend(bias.toeplitz(1..2, 2.0, (head, model.heads), &params)?);
    }
    let below = |x: f64| falls.iter().filter(|y| **y < x).count();
    let ranks: Vec<usize> = falls.iter().map(|fall| below(*fall)).collect();
    let mut distinct = ranks.clone();
    distinct.sort_unstable();
    Ok(distinct.iter().copied().eq(0..model.heads).then_some(ranks))
}
