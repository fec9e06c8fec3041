//! What a family's scores have beside the scheme: scales, caps, and the rounding of Falcon's ALiBi.

use super::weights::scheme_specs;
use super::{Decoder, QueryKeyNorm, sinks};
use crate::scheme::{Positional, layer_plans};
use crate::{Error, Result};
use farspan_attention::expr::{Expr, Unary, distance, lookup, number, param, raw, select_less};
use farspan_attention::plan::{Init, ParamSpec, Plan, PositionIds, Rotation, Waves};
use farspan_pe::{AnyScheme, Len};

impl Decoder {
    /// The plans of all layers when `context_len` positions are in use: the scheme's, with the scale, the cap and the rounding
    /// of this architecture's scores. Fails if the scheme does not serve this reach, or these weights cannot be read with
    /// it.
    pub fn plans(&self, context_len: Len) -> Result<Vec<Plan>> {
        self.plans_under(self.scheme.as_ref(), context_len)
    }

    /// As [`plans`](Decoder::plans), under another scheme.
    pub(super) fn plans_under(
        &self,
        scheme: &dyn AnyScheme,
        context_len: Len,
    ) -> Result<Vec<Plan>> {
        self.adapted(
            scheme,
            self.planned_under(scheme, context_len)?,
            context_len,
        )
    }

    /// What the schemes alone plan for all layers.
    pub fn planned(&self, context_len: Len) -> Result<Vec<Plan>> {
        self.planned_under(self.scheme.as_ref(), context_len)
    }

    fn planned_under(&self, scheme: &dyn AnyScheme, context_len: Len) -> Result<Vec<Plan>> {
        let geometry = &self.architecture.geometry;
        if self.apart.len() != self.architecture.apart.len() {
            let text = "layers that keep a scheme of their own were not given it";
            return Err(Error::Bug(text.into()));
        }
        Ok(layer_plans(scheme, &self.apart, geometry, context_len)?)
    }

    /// `plans` with what these scores have beside the scheme.
    pub(super) fn adapted(
        &self,
        scheme: &dyn AnyScheme,
        mut plans: Vec<Plan>,
        context_len: Len,
    ) -> Result<Vec<Plan>> {
        let geometry = &self.architecture.geometry;
        let own = Positional::of(scheme);
        let rounded = self.architecture.rounded_bias && self.architecture.trained_under(&own);
        for (layer, plan) in plans.iter_mut().enumerate() {
            plan.softmax_scale *= self.architecture.score_scale;
            if self.architecture.score_by_layer {
                plan.softmax_scale /= (layer + 1) as f64;
            }
            if rounded {
                rounded_bias(plan, geometry.head_dim, context_len.0);
            }
            if let Some(cap) = self.architecture.score_cap {
                let score = plan.score.clone() * number(1.0 / cap);
                plan.score = score.unary(Unary::Tanh) * number(cap);
            }
        }
        if plans
            .iter()
            .any(|plan| plan.position_ids != PositionIds::Index)
            && self.texts.is_empty()
        {
            let id = scheme.id();
            return Err(Error::Data(format!(
                "scheme {id} cannot read these weights: its places follow the text, and the texts of its tokens are not \
                 known here"
            )));
        }
        has_parameters(scheme.id(), &plans, |name| {
            self.frozen.contains_key(name) || self.learned.contains_key(name)
        })?;
        if let Some(why) = self.unfit(&plans) {
            let id = scheme.id();
            let text = format!("scheme {id} cannot read these weights: {why}");
            return Err(Error::Data(text));
        }
        if self.architecture.sinks {
            for plan in &mut plans {
                sinks::add(plan, geometry.heads);
            }
        }
        Ok(plans)
    }

    /// Why attention of this architecture cannot follow `plans`, if it cannot.
    fn unfit(&self, plans: &[Plan]) -> Option<&'static str> {
        let a = &self.architecture;
        let head_dim = a.geometry.head_dim;
        let turned = a.query_key_norm == QueryKeyNorm::Turned;
        if turned && !plans.iter().all(|plan| keeps_lengths(plan, head_dim)) {
            return Some("it does more than turn what is normalised behind the turn");
        }
        if a.latent.is_some() && plans.iter().any(|plan| plan.infused) {
            return Some("queries, keys and values of latent attention come from the same numbers");
        }
        let tensors = |plan: &Plan| !plan.hooks.is_empty() || !plan.tokens.is_empty();
        let tensors = a.sinks && plans.iter().any(tensors);
        tensors.then_some("what it computes from whole tensors has no place for learned sinks")
    }
}

/// Fails in words if the scheme `id`, whose layers follow `plans`, learns parameters that are not there.
pub(crate) fn has_parameters(id: &str, plans: &[Plan], there: impl Fn(&str) -> bool) -> Result<()> {
    match scheme_specs(plans).iter().find(|(name, _)| !there(name)) {
        None => Ok(()),
        Some((_, spec)) => Err(Error::Data(format!(
            "scheme {id} cannot read these weights: its learned parameter {} is not among the weights; fine-tuning would \
             learn it",
            spec.name
        ))),
    }
}

/// Whether a plan leaves each head of queries and keys as long as it is, but for one amplitude of whole heads, so that a
/// norm may come before the turn as well as behind it.
fn keeps_lengths(plan: &Plan, head_dim: usize) -> bool {
    let amplitude = plan
        .rotations
        .first()
        .map_or(1.0, |turn| turn.query.amplitude);
    let whole = |side: &Rotation| amplitude == 1.0 || 2 * side.pairs() == head_dim;
    let plain =
        |side: &Rotation| side.waves == Waves::Plain && side.amplitude == amplitude && whole(side);
    let turns = plan.rotations.iter();
    turns.flat_map(|t| [&t.query, &t.key]).all(plain) && plan.hooks.is_empty()
}

/// ALiBi as Falcon has it: slope · position of the key, with all three in bfloat16. Far tokens so get the bias of a step
/// function, which the weights have seen. Keys behind `context_len` get the exact product. A plan that is no ALiBi with fixed
/// slopes stays as it is.
fn rounded_bias(plan: &mut Plan, head_dim: usize, context_len: usize) {
    const TABLE: &str = "rounded";
    let [spec] = plan.params.as_slice() else {
        return;
    };
    let Init::Values(slopes) = &spec.init else {
        return;
    };
    if spec.learned || plan.score != raw() - param(&spec.name) * distance() {
        return;
    }
    let unit = (head_dim as f64).sqrt();
    let bias = |slope: f64| {
        let slope = bfloat16(slope * unit);
        (0..context_len).map(move |key| bfloat16(slope * bfloat16(key as f64)) / unit)
    };
    let table = slopes.iter().flat_map(|&slope| bias(slope)).collect();
    plan.score = raw()
        + select_less(
            Expr::Key,
            number(context_len as f64),
            lookup(TABLE, Expr::Key),
            param(&spec.name) * Expr::Key,
        );
    plan.params.push(ParamSpec {
        name: TABLE.into(),
        shape: vec![slopes.len(), context_len],
        init: Init::Values(table),
        learned: false,
        per_layer: false,
        clamp: None,
    });
}

/// The nearest number of 8 significant bits; ties go to the even one.
fn bfloat16(x: f64) -> f64 {
    let bits = (x as f32).to_bits();
    let round = 0x7fff + (bits >> 16 & 1);
    f64::from(f32::from_bits((bits + round) & 0xffff_0000))
}
