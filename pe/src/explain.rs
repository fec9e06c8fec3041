//! `explain`: everything that can be told about a scheme at given settings and sizes, without training anything.

mod bias;
mod cost;
mod formula;
mod picture;
mod rotation;
mod served;

pub use bias::typical;
pub use picture::{Scores, scores};
pub use rotation::RotationReach;
pub use served::Served;

use crate::angles;
use crate::card::{Family, Needs};
use crate::error::{PlanError, check_model};
use crate::scheme::{AnyScheme, Len};
use crate::settings::{self, Setting};
use farspan_attention::embed::sinusoid;
use farspan_attention::expr::Expr;
use farspan_attention::plan::{Embed, Geometry, Init, ParamSpec, Plan, Positions, QkRotation};
use serde::Serialize;
use serde_json::Value;

/// A scheme, explained. Numbers are f64; what JSON cannot hold (−∞) is null.
#[derive(Clone, Debug, Serialize)]
pub struct Explanation {
    /// Registry id.
    pub id: String,
    /// Full name.
    pub title: String,
    /// Where it was published.
    pub paper: String,
    /// What kind of scheme it is.
    pub family: Family,
    /// The idea in one sentence.
    pub idea: String,
    /// What must be there before it can be used.
    pub needs: Needs,
    /// Whether its formula could not be confirmed.
    pub experimental: bool,
    /// All settings in use.
    pub settings: Value,
    /// The settings with defaults, rules and descriptions.
    pub setting_docs: Vec<Setting>,
    /// The model that the numbers are for.
    pub model: Geometry,
    /// Positions in use.
    pub length: usize,
    /// The formula.
    pub formula: Formula,
    /// The plan as text.
    pub plan: String,
    /// blake3 of the plan.
    pub plan_hash: String,
    /// Inverse frequencies of the queries, one list per turn, in radians per token.
    pub inv_freq: Vec<Vec<f64>>,
    /// Those of the keys, where they differ from the queries'.
    pub key_inv_freq: Vec<Option<Vec<f64>>>,
    /// Tokens per full turn, by turn and pair.
    pub wavelengths: Vec<Vec<f64>>,
    /// Full turns within the trained length, by turn and pair.
    pub turns_in_trained_length: Vec<Vec<f64>>,
    /// Factor of cos and sin of the first turn (Hugging Face: "attention_scaling"); 1 without turns.
    pub attention_scale: f64,
    /// What that and the plan's softmax scale do to a score: the product of both sides' factors and the latter.
    pub score_scale: f64,
    /// The positions that the angles are made from, one entry per turn.
    pub positions: Vec<TurnPositions>,
    /// What is added to the token embeddings.
    pub embedding: Option<Embedding>,
    /// Parameters, learned and constant.
    pub params: Vec<Param>,
    /// What is added to each score; `None` if scores stay as they are or no indices were asked for.
    pub bias: Option<Bias>,
    /// What it costs.
    pub cost: Cost,
    /// How far its rotation carries, if it is a plain one.
    pub rotation: Option<RotationReach>,
    /// Which implementations of attention run it, and why the others do not.
    pub implementations: Vec<Served>,
    /// On which devices it runs in this build.
    pub devices: Vec<Served>,
}

/// A formula as text and as LaTeX (maths mode).
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Formula {
    /// The score, as [`Expr`] prints it.
    pub score: String,
    /// Line by line: what defines the frequencies or tables, the raw scores, the score.
    pub text: String,
    /// The same in LaTeX, lines separated by `\\`.
    pub latex: String,
}

/// Positions of one turn, as expressions over `q`, `k` and `n`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TurnPositions {
    /// What a list of several expressions runs over: `all`, `heads` or `pairs`.
    pub query_axis: &'static str,
    /// Of the queries.
    pub query: Vec<String>,
    /// As `query_axis`, for the keys.
    pub key_axis: &'static str,
    /// Of the keys.
    pub key: Vec<String>,
}

/// What is added to the token embeddings.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Embedding {
    /// In words.
    pub text: String,
    /// Frequencies of a sinusoid, in radians per token.
    pub inv_freq: Vec<f64>,
    /// The vectors at the requested query positions, if they are known before training: \[query\]\[channel\].
    pub rows: Option<Vec<Vec<f64>>>,
}

/// A parameter.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Param {
    /// Name in the formula.
    pub name: String,
    /// Shape.
    pub shape: Vec<usize>,
    /// Whether training changes it.
    pub learned: bool,
    /// Whether each layer has its own.
    pub per_layer: bool,
    /// How it starts, and the range that it is kept in.
    pub text: String,
    /// Values before training, row-major, unless they are drawn.
    pub values: Option<Vec<f64>>,
}

/// Biases: the scores of pairs whose raw scores are 0.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Bias {
    /// Query positions.
    pub queries: Vec<usize>,
    /// Key positions.
    pub keys: Vec<usize>,
    /// \[head\]\[query\]\[key\]; null where the causal mask or the scheme hides the key.
    pub values: Vec<Vec<Vec<Option<f64>>>>,
    /// Which parameter values they are for.
    pub note: String,
}

/// What a scheme costs beyond attention without positions.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Cost {
    /// Learned numbers, all layers together.
    pub learned_parameters: usize,
    /// Floating-point operations per token and layer: turning queries and keys.
    pub flops_per_token: usize,
    /// Further operations per (query, key) pair and head: more raw scores, and the score expression.
    pub flops_per_pair: usize,
    /// Operations per pair and head of attention itself: ⟨q, k⟩ and the weighted sum of values.
    pub attention_flops_per_pair: usize,
    /// In words.
    pub text: String,
}

/// Explains `scheme` for a decoder of these sizes with `context_len` positions in use; biases and embedding rows are given
/// for the positions asked for, all below `context_len`.
pub fn explain(
    scheme: &dyn AnyScheme,
    model: &Geometry,
    context_len: Len,
    queries: &[usize],
    keys: &[usize],
) -> Result<Explanation, PlanError> {
    let rule = format!("below the length, {}", context_len.0);
    for (what, positions) in [("query position", queries), ("key position", keys)] {
        positions
            .iter()
            .try_for_each(|&at| check_model(what, at, &rule, at < context_len.0))?;
    }
    let (card, plan) = (scheme.card(), scheme.plan(model, context_len)?);
    let per_turn = |f: &dyn Fn(f64) -> f64| -> Vec<Vec<f64>> {
        let values =
            |turn: &QkRotation| turn.query.inv_freq.iter().map(|&theta| f(theta)).collect();
        plan.rotations.iter().map(values).collect()
    };
    let own_keys = |turn: &QkRotation| {
        (turn.key.inv_freq != turn.query.inv_freq).then(|| turn.key.inv_freq.clone())
    };
    let amplitudes = plan
        .rotations
        .first()
        .map(|turn| (turn.query.amplitude, turn.key.amplitude));
    let (query_scale, key_scale) = amplitudes.unwrap_or((1.0, 1.0));
    Ok(Explanation {
        id: scheme.id().into(),
        title: card.title.into(),
        paper: card.paper.to_string(),
        family: card.family,
        idea: card.idea.into(),
        needs: card.needs,
        experimental: card.experimental,
        settings: scheme.settings(),
        setting_docs: settings::settings(scheme),
        model: *model,
        length: context_len.0,
        formula: formula::formula(scheme.card(), &plan),
        plan: plan.to_string(),
        plan_hash: plan.hash(),
        inv_freq: per_turn(&|theta| theta),
        key_inv_freq: plan.rotations.iter().map(own_keys).collect(),
        wavelengths: per_turn(&angles::wavelength),
        turns_in_trained_length: per_turn(&|theta| angles::turns(theta, model.trained_length)),
        attention_scale: query_scale,
        score_scale: query_scale * key_scale * plan.softmax_scale,
        positions: plan.rotations.iter().map(turn_positions).collect(),
        embedding: embedding(&plan, queries),
        params: plan.params.iter().map(param).collect(),
        bias: bias::bias(&plan, model, context_len, queries, keys)?,
        cost: cost::cost(&plan, model),
        rotation: rotation::carries(&plan, model, context_len),
        implementations: served::implementations(&plan),
        devices: served::devices(),
    })
}

fn turn_positions(turn: &QkRotation) -> TurnPositions {
    let of = |positions: &Positions| match positions {
        Positions::All(one) => ("all", vec![one.to_string()]),
        Positions::PerHead(list) => ("heads", list.iter().map(Expr::to_string).collect()),
        Positions::PerPair(list) => ("pairs", list.iter().map(Expr::to_string).collect()),
    };
    let (query_axis, query) = of(&turn.query.position);
    let (key_axis, key) = of(&turn.key.position);
    TurnPositions {
        query_axis,
        query,
        key_axis,
        key,
    }
}

fn embedding(plan: &Plan, positions: &[usize]) -> Option<Embedding> {
    let into = if plan.infused {
        ", into the queries and keys of every layer"
    } else {
        ""
    };
    match &plan.embed {
        Embed::Nothing => None,
        Embed::Sinusoid {
            layout,
            inv_freq,
            scale,
        } => {
            let row = |&at: &usize| sinusoid(*layout, inv_freq, *scale, &[at as f64]);
            Some(Embedding {
                text: format!(
                    "sines and cosines of {} frequencies, times {scale}{into}",
                    inv_freq.len()
                ),
                inv_freq: inv_freq.clone(),
                rows: Some(positions.iter().map(row).collect()),
            })
        }
        Embed::Table {
            table,
            rows,
            resize,
        } => {
            let to = resize.map_or(String::new(), |to| {
                format!(", resized linearly to {} rows", to.rows)
            });
            let text = format!("row of the learned table {table} of {rows} rows{to}{into}");
            Some(Embedding {
                text,
                inv_freq: Vec::new(),
                rows: None,
            })
        }
    }
}

fn param(spec: &ParamSpec) -> Param {
    let values = match &spec.init {
        Init::Constant(x) => Some(vec![*x; spec.len()]),
        Init::Values(values) => Some(values.clone()),
        Init::Uniform(..) | Init::Normal(..) => None,
    };
    Param {
        name: spec.name.clone(),
        shape: spec.shape.clone(),
        learned: spec.learned,
        per_layer: spec.per_layer,
        text: spec.to_string(),
        values,
    }
}

#[cfg(test)]
mod tests;
