//! Scores of pairs whose raw scores are 0.

use super::Bias;
use crate::error::PlanError;
use crate::scheme::Len;
use farspan_attention::expr::{Expr, ParamValues};
use farspan_attention::plan::{Geometry, Init, ParamSpec, Plan};
use farspan_attention::scalar;

/// Values of a parameter before training, or the mean of the distribution that they are drawn from, within bounds.
pub fn typical(spec: &ParamSpec) -> Vec<f64> {
    let mean = match &spec.init {
        Init::Values(values) => return values.clone(),
        Init::Constant(x) => *x,
        Init::Uniform(low, high) => (low + high) / 2.0,
        Init::Normal(mean, _) => *mean,
    };
    let mean = spec.clamp.map_or(mean, |(low, high)| mean.clamp(low, high));
    vec![mean; spec.len()]
}

pub(super) fn bias(
    plan: &Plan,
    model: &Geometry,
    context_len: Len,
    queries: &[usize],
    keys: &[usize],
) -> Result<Option<Bias>, PlanError> {
    // What content decides has no value of its own.
    if !plan.score.token_names().is_empty() {
        return Ok(None);
    }
    if plan.score == Expr::Raw(0) || queries.is_empty() || keys.is_empty() {
        return Ok(None);
    }
    let named = plan.score.param_names();
    let specs: Vec<_> = plan
        .params
        .iter()
        .filter(|spec| named.contains(&spec.name))
        .collect();
    let params: ParamValues = specs
        .iter()
        .map(|spec| (spec.name.clone(), typical(spec)))
        .collect();
    let value = |head, i, j| -> Result<Option<f64>, PlanError> {
        if j > i {
            return Ok(None);
        }
        let value = scalar::bias(plan, (head, model.heads), i, j, context_len.0, &params)?;
        Ok(value.is_finite().then_some(value))
    };
    let row = |head, i| keys.iter().map(|&j| value(head, i, j)).collect();
    let matrix = |head| queries.iter().map(|&i| row(head, i)).collect();
    Ok(Some(Bias {
        queries: queries.to_vec(),
        keys: keys.to_vec(),
        values: (0..model.heads)
            .map(matrix)
            .collect::<Result<_, PlanError>>()?,
        note: note(&specs),
    }))
}

pub(super) fn note(specs: &[&ParamSpec]) -> String {
    let drawn = |spec: &&&ParamSpec| matches!(spec.init, Init::Uniform(..) | Init::Normal(..));
    let drawn: Vec<_> = specs
        .iter()
        .filter(drawn)
        .map(|spec| spec.name.as_str())
        .collect();
    if !drawn.is_empty() {
        return format!(
            "before training {} is drawn at random; the values are for the mean of the \
             distribution",
            drawn.join(", ")
        );
    }
    if specs.iter().any(|spec| spec.learned) {
        "before training".into()
    } else {
        "fixed".into()
    }
}
