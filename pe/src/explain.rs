//! `explain`: everything that can be told about a scheme at given settings and sizes, without training anything.

use crate::angles;
use crate::card::{Family, Needs};
use crate::error::{PlanError, check_model};
use crate::scheme::{AnyScheme, Len};
use crate::settings::{self, Setting};
use farspan_attention::embed::sinusoid;
use farspan_attention::expr::{Expr, ParamValues};
use farspan_attention::plan::{Embed, Geometry, Init, ParamSpec, Plan, Positions, Rotation, Turn};
use farspan_attention::scalar;
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

/// Explains `scheme` for a decoder of these sizes with `reach` positions in use; biases and embedding rows are given
/// for the positions asked for, all below `reach`.
pub fn explain(
    scheme: &dyn AnyScheme,
    model: &Geometry,
    reach: Len,
    queries: &[usize],
    keys: &[usize],
) -> Result<Explanation, PlanError> {
    let rule = format!("below the length, {}", reach.0);
    for (what, positions) in [("query position", queries), ("key position", keys)] {
        positions
            .iter()
            .try_for_each(|&at| check_model(what, at, &rule, at < reach.0))?;
    }
    let (card, plan) = (scheme.card(), scheme.plan(model, reach)?);
    let per_turn = |f: &dyn Fn(f64) -> f64| -> Vec<Vec<f64>> {
        let values = |turn: &Turn| turn.query.inv_freq.iter().map(|&theta| f(theta)).collect();
        plan.turns.iter().map(values).collect()
    };
    let own_keys =
        |turn: &Turn| (turn.key.inv_freq != turn.query.inv_freq).then(|| turn.key.inv_freq.clone());
    let amplitudes = plan
        .turns
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
        length: reach.0,
        formula: formula(scheme, &plan),
        plan: plan.to_string(),
        plan_hash: plan.hash(),
        inv_freq: per_turn(&|theta| theta),
        key_inv_freq: plan.turns.iter().map(own_keys).collect(),
        wavelengths: per_turn(&angles::wavelength),
        turns_in_trained_length: per_turn(&|theta| angles::turns(theta, model.trained_length)),
        attention_scale: query_scale,
        score_scale: query_scale * key_scale * plan.softmax_scale,
        positions: plan.turns.iter().map(turn_positions).collect(),
        embedding: embedding(&plan.embed, queries),
        params: plan.params.iter().map(param).collect(),
        bias: bias(&plan, model, reach, queries, keys)?,
        cost: cost(&plan, model),
    })
}

fn formula(scheme: &dyn AnyScheme, plan: &Plan) -> Formula {
    let card = scheme.card();
    let (mut text, mut latex) = (Vec::new(), Vec::new());
    if !card.formula.is_empty() {
        text.push(card.formula.to_string());
        latex.push(card.latex.to_string());
    }
    for (p, turn) in plan.turns.iter().enumerate() {
        let (query, key) = (
            at(&turn.query, "θ", &Expr::to_string),
            at(&turn.key, "θ", &Expr::to_string),
        );
        text.push(format!(
            "{} = ⟨Rot(q, {query}), Rot(k, {key})⟩ / √head_dim",
            Expr::Raw(p)
        ));
        let (query, key) = (
            at(&turn.query, r"\theta", &Expr::latex),
            at(&turn.key, r"\theta", &Expr::latex),
        );
        let score = Expr::Raw(p).latex();
        latex.push(format!(
            r"{score} = \langle \mathrm{{Rot}}(q_i, {query}), \mathrm{{Rot}}(k_j, {key}) \rangle / \sqrt{{d}}"
        ));
    }
    text.push(format!("score = {}", plan.score));
    latex.push(format!(r"\mathrm{{score}}_{{ij}} = {}", plan.score.latex()));
    Formula {
        score: plan.score.to_string(),
        text: text.join("\n"),
        latex: latex.join(" \\\\\n"),
    }
}

/// `q·θ`, or `A·` before it.
fn at(side: &Rotation, theta: &str, print: &dyn Fn(&Expr) -> String) -> String {
    let position = match &side.position {
        Positions::All(position) => print(position),
        Positions::PerHead(_) => "position of the head".into(),
        Positions::PerPair(_) => "position of the pair".into(),
    };
    let simple = position.chars().all(char::is_alphanumeric);
    let position = if simple {
        position
    } else {
        format!("({position})")
    };
    match side.amplitude {
        1.0 => format!("{position}·{theta}"),
        amplitude => format!("{position}·{theta}; times {amplitude}"),
    }
}

fn turn_positions(turn: &Turn) -> TurnPositions {
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

fn embedding(embed: &Embed, positions: &[usize]) -> Option<Embedding> {
    match embed {
        Embed::Nothing => None,
        Embed::Sinusoid {
            layout,
            inv_freq,
            scale,
        } => {
            let row = |&at: &usize| sinusoid(*layout, inv_freq, *scale, at..at + 1);
            Some(Embedding {
                text: format!(
                    "sines and cosines of {} frequencies, times {scale}",
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
            let text = format!("row of the learned table {table} of {rows} rows{to}");
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

/// Values of a parameter before training, or the mean of the distribution that they are drawn from, within bounds.
fn typical(spec: &ParamSpec) -> Vec<f64> {
    let mean = match &spec.init {
        Init::Values(values) => return values.clone(),
        Init::Constant(x) => *x,
        Init::Uniform(low, high) => (low + high) / 2.0,
        Init::Normal(mean, _) => *mean,
    };
    let mean = spec.clamp.map_or(mean, |(low, high)| mean.clamp(low, high));
    vec![mean; spec.len()]
}

fn bias(
    plan: &Plan,
    model: &Geometry,
    reach: Len,
    queries: &[usize],
    keys: &[usize],
) -> Result<Option<Bias>, PlanError> {
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
        let value = scalar::bias(plan, (head, model.heads), i, j, reach.0, &params)?;
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

fn note(specs: &[&ParamSpec]) -> String {
    let drawn = |spec: &&&ParamSpec| matches!(spec.init, Init::Uniform(..) | Init::Normal(..));
    let drawn: Vec<_> = specs
        .iter()
        .filter(drawn)
        .map(|spec| spec.name.as_str())
        .collect();
    if !drawn.is_empty() {
        return format!(
            "before training {} is drawn at random; the values are for the mean of the distribution",
            drawn.join(", ")
        );
    }
    if specs.iter().any(|spec| spec.learned) {
        "before training".into()
    } else {
        "fixed".into()
    }
}

fn cost(plan: &Plan, model: &Geometry) -> Cost {
    let copies = |spec: &ParamSpec| if spec.per_layer { model.layers } else { 1 };
    let learned = plan.params.iter().filter(|spec| spec.learned);
    let learned_parameters = learned.map(|spec| spec.len() * copies(spec)).sum();
    // Four products and two sums per pair.
    let pairs = |side: &Rotation, heads| 6 * side.inv_freq.len() * heads;
    let turned = |turn: &Turn| pairs(&turn.query, model.heads) + pairs(&turn.key, model.kv_heads);
    let flops_per_token = plan.turns.iter().map(turned).sum();
    let dot = 2 * model.head_dim;
    let flops_per_pair = (plan.raw_scores() - 1) * dot + operations(&plan.score, plan);
    let mut text = format!(
        "{flops_per_pair} operations per pair and head beside {} of attention itself, {flops_per_token} per token and \
         layer, {learned_parameters} learned numbers",
        2 * dot
    );
    if plan
        .score
        .additive_bias()
        .is_some_and(|bias| bias.has_position() && bias.is_shift_invariant())
    {
        text.push_str("; the bias depends on q − k alone, so one value per distance and head serves all pairs");
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Registry;
    use serde_json::json;

    const MODEL: Geometry = Geometry {
        layers: 2,
        width: 32,
        heads: 4,
        kv_heads: 2,
        head_dim: 8,
        trained_length: 64,
    };

    fn explained(id: &str, settings: Value) -> Explanation {
        let scheme = Registry::builtin().parse(id, settings).unwrap();
        explain(scheme.as_ref(), &MODEL, Len(128), &[0, 9], &[0, 4, 9]).unwrap()
    }

    #[test]
    fn alibi_shows_slopes_and_biases() {
        let found = explained("alibi", json!({}));
        assert_eq!(
            found.params[0].values.as_deref(),
            Some(&[0.25, 0.0625, 0.015625, 0.00390625][..])
        );
        let bias = found.bias.unwrap();
        assert_eq!(bias.note, "fixed");
        assert_eq!(bias.values[1][0], [Some(0.0), None, None]);
        assert_eq!(
            bias.values[1][1],
            [Some(-9.0 / 16.0), Some(-5.0 / 16.0), Some(0.0)]
        );
        assert_eq!(found.formula.score, "raw - slope[h] * (q - k)");
        assert!(found.inv_freq.is_empty());
        assert_eq!((found.attention_scale, found.score_scale), (1.0, 1.0));
        assert_eq!(
            (found.cost.flops_per_pair, found.cost.learned_parameters),
            (3, 0)
        );
    }

    #[test]
    fn yarn_shows_frequencies_and_both_scales() {
        let found = explained("yarn", json!({"factor": 4}));
        assert_eq!(found.inv_freq[0].len(), 4);
        assert_eq!(
            found.turns_in_trained_length[0][0],
            64.0 / std::f64::consts::TAU
        );
        assert!((found.wavelengths[0][3] - 4.0 * 1000.0 * std::f64::consts::TAU).abs() < 1e-6);
        let amplitude = 0.1 * 4f64.ln() + 1.0;
        assert!((found.attention_scale - amplitude).abs() < 1e-12);
        assert!((found.score_scale - amplitude * amplitude).abs() < 1e-12);
        assert!(found.bias.is_none());
        assert_eq!(found.cost.flops_per_token, 6 * 4 * (4 + 2));
        let factor = found
            .setting_docs
            .iter()
            .find(|setting| setting.key == "factor")
            .unwrap();
        assert_eq!((&factor.value, &factor.default), (&json!(4.0), &json!(2.0)));
        assert_eq!(factor.rule, "a number, at least 1");
        assert!(factor.doc.starts_with("Stretch s."), "{}", factor.doc);
    }

    #[test]
    fn drawn_parameters_are_said_to_be_drawn() {
        let bias = explained("kerple", json!({})).bias.unwrap();
        let note = "before training p, a is drawn at random; the values are for the mean of the distribution";
        assert_eq!(bias.note, note);
        assert!((bias.values[0][1][0].unwrap() + (1.0f64 + 0.5 * 9.0).ln()).abs() < 1e-12);
    }

    #[test]
    fn positions_past_the_length_are_refused() {
        let scheme = Registry::builtin().parse("nope", json!({})).unwrap();
        let error = explain(scheme.as_ref(), &MODEL, Len(8), &[8], &[0])
            .unwrap_err()
            .to_string();
        assert_eq!(error, "query position = 8: must be below the length, 8");
    }

    #[test]
    fn every_scheme_is_explained_and_written_as_json() {
        for entry in Registry::builtin().entries() {
            let scheme = entry.parse(json!({})).unwrap();
            let found = explain(scheme.as_ref(), &MODEL, Len(64), &[0, 63], &[0, 63]).unwrap();
            let text = serde_json::to_string(&found).unwrap();
            assert!(text.contains(&format!("\"id\":\"{}\"", entry.id)), "{text}");
            assert!(
                found.formula.text.contains("score = "),
                "{}",
                found.formula.text
            );
            for setting in &found.setting_docs {
                assert!(
                    !setting.doc.is_empty() && setting.rule != "as the schema says",
                    "{setting:?}"
                );
            }
        }
    }
}
