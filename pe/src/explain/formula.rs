//! The formula of a plan, line by line.

use super::Formula;
use crate::card::Card;
use farspan_attention::expr::Expr;
use farspan_attention::hook::Stage;
use farspan_attention::plan::{Plan, Positions, Rotation};

/// Queries and keys are Q and K with the position in brackets; θ are the inverse frequencies of the turn.
pub(super) fn formula(card: &Card, plan: &Plan) -> Formula {
    let (mut text, mut latex) = (Vec::new(), Vec::new());
    if !card.formula.is_empty() {
        text.push(card.formula.to_string());
        latex.push(card.latex.to_string());
    }
    let mut said = |words: String| {
        latex.push(format!(r"\text{{{}}}", words.replace('_', r"\_")));
        text.push(words);
    };
    for token in &plan.tokens {
        let sum = if token.cumulative {
            "sum so far of "
        } else {
            ""
        };
        let (name, value, weight) = (&token.name, &token.value, &token.weight);
        said(format!(
            "{name} = {sum}{value}, raw = ⟨{weight}[h], x[t]⟩, x the layer's input"
        ));
    }
    for hook in plan
        .hooks
        .iter()
        .filter(|hook| hook.stage() == Stage::Inputs)
    {
        said(format!("before: {}", hook.describe()));
    }
    for p in 0..plan.raw_scores() {
        let (q, k, q_latex, k_latex) = match plan.rotations.get(p) {
            Some(turn) => (
                turned("Q[q]", &turn.query),
                turned("K[k]", &turn.key),
                turned_latex("Q_i", &turn.query),
                turned_latex("K_j", &turn.key),
            ),
            None => ("Q[q]".into(), "K[k]".into(), "Q_i".into(), "K_j".into()),
        };
        let (scale, scale_latex) = scale(plan);
        text.push(format!("{} = {scale}⟨{q}, {k}⟩ / √head_dim", Expr::Raw(p)));
        latex.push(format!(
            r"{} = {scale_latex}\langle {q_latex}, {k_latex} \rangle / \sqrt{{d}}",
            Expr::Raw(p).latex()
        ));
    }
    text.push(format!("score = {}", plan.score));
    latex.push(format!(r"\mathrm{{score}}_{{ij}} = {}", plan.score.latex()));
    for hook in plan
        .hooks
        .iter()
        .filter(|hook| hook.stage() != Stage::Inputs)
    {
        let words = format!("{}: {}", hook.stage(), hook.describe());
        latex.push(format!(r"\text{{{}}}", words.replace('_', r"\_")));
        text.push(words);
    }
    Formula {
        score: plan.score.to_string(),
        text: text.join("\n"),
        latex: latex.join(" \\\\\n"),
    }
}

/// What multiplies every raw score, if anything does.
fn scale(plan: &Plan) -> (String, String) {
    let number = |one: &str| match plan.softmax_scale {
        1.0 => String::new(),
        scale => format!("{scale}{one}"),
    };
    let (mut text, mut latex) = (number(" · "), number(r" \cdot "));
    if let Some(scale) = &plan.query_scale {
        text.push_str(&format!("({scale}) · "));
        latex.push_str(&format!(r"({}) \cdot ", scale.latex()));
    }
    (text, latex)
}

/// `1.13863·Rot(Q[q], q·θ)`
fn turned(vector: &str, side: &Rotation) -> String {
    format!(
        "{}Rot({vector}, {}·θ)",
        amplitude(side, "·"),
        position(side, &Expr::to_string)
    )
}

fn turned_latex(vector: &str, side: &Rotation) -> String {
    let position = position(side, &Expr::latex);
    format!(
        r"{}\mathrm{{Rot}}({vector}, {position}\,\theta)",
        amplitude(side, r"\,")
    )
}

/// The amplitude to six digits, if there is one: formulas are for reading, the numbers stand beside them in full.
fn amplitude(side: &Rotation, times: &str) -> String {
    match side.amplitude {
        1.0 => String::new(),
        amplitude => format!("{}{times}", (amplitude * 1e5).round() / 1e5),
    }
}

fn position(side: &Rotation, print: &dyn Fn(&Expr) -> String) -> String {
    let position = match &side.position {
        Positions::All(position) => print(position),
        Positions::PerHead(_) => return "(position of the head)".into(),
        Positions::PerPair(_) => return "(position of the pair)".into(),
    };
    let simple = position.chars().all(char::is_alphanumeric);
    if simple {
        position
    } else {
        format!("({position})")
    }
}
