//! What a plan costs, counted from the plan.

use super::Cost;
use farspan_attention::expr::Expr;
use farspan_attention::plan::{Geometry, ParamSpec, Plan, QkRotation, Rotation};

pub(super) fn cost(plan: &Plan, model: &Geometry) -> Cost {
    let copies = |spec: &ParamSpec| if spec.per_layer { model.layers } else { 1 };
    let learned = plan.params.iter().filter(|spec| spec.learned);
    let learned_parameters = learned.map(|spec| spec.len() * copies(spec)).sum();
    // Four products and two sums per pair.
    let pairs = |side: &Rotation, heads| 6 * side.pairs() * heads;
    let turned =
        |turn: &QkRotation| pairs(&turn.query, model.heads) + pairs(&turn.key, model.kv_heads);
    let flops_per_token = plan.rotations.iter().map(turned).sum();
    let dot = 2 * model.head_dim;
    let flops_per_pair = (plan.raw_scores() - 1) * dot + operations(&plan.score, plan);
    let mut text = format!(
        "{flops_per_pair} operations per pair and head beside {} of attention itself, \
         {flops_per_token} per token and layer, {learned_parameters} learned numbers",
        2 * dot
    );
    if plan
        .score
        .additive_bias()
        .is_some_and(|bias| bias.has_position() && bias.is_shift_invariant())
    {
        text.push_str(
            "; the bias depends on q − k alone: one value per distance and head serves all pairs",
        );
    }
    Cost {
        learned_parameters,
        flops_per_token,
        flops_per_pair,
        attention_flops_per_pair: 2 * dot,
        text,
    }
}

/// Arithmetic operations and look-ups of an expression.
fn operations(expr: &Expr, plan: &Plan) -> usize {
    let own = match expr {
        Expr::Unary(..) | Expr::Binary(..) | Expr::Lookup { .. } | Expr::Select { .. } => 1,
        // Two products and two sums per hidden unit, and its rectifier.
        Expr::Net { name, .. } => 5 * plan.param(&format!("{name}.w1")).map_or(0, ParamSpec::len),
        _ => 0,
    };
    own + expr
        .children()
        .into_iter()
        .map(|child| operations(child, plan))
        .sum::<usize>()
}
