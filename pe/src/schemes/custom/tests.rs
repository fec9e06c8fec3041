use super::*;
use crate::registry::Registry;
use serde_json::{Value, json};

const MODEL: Geometry = Geometry {
    layers: 1,
    width: 16,
    heads: 4,
    kv_heads: 4,
    head_dim: 4,
    trained_length: 64,
};

fn plan(settings: Value) -> Result<Plan, PlanError> {
    let scheme = Registry::builtin().parse("custom", settings)?;
    scheme.plan(&MODEL, Len(64))
}

#[test]
fn an_expression_a_table_and_frequencies_make_a_plan() {
    let found = plan(json!({
        "score": "raw - slope[h] * log1p(q - k)",
        "params": { "slope": { "values": [0.5, 0.25, 0.125, 0.0625], "min": 0.0 } },
        "bias": [[0.0, -1.0, -2.0]],
        "inv_freq": [1.0, 0.1],
    }));
    let found = found.unwrap();
    assert_eq!(
        found.score.to_string(),
        "raw - slope[h] * log1p(q - k) + bias[q - k]"
    );
    assert_eq!(found.rotations[0].query.inv_freq, [1.0, 0.1]);
    let slope = found.param("slope").unwrap();
    assert_eq!(slope.init, Init::Values(vec![0.5, 0.25, 0.125, 0.0625]));
    assert_eq!(slope.clamp, Some((0.0, f64::INFINITY)));
    assert_eq!(
        found.param("bias").unwrap().constant().unwrap(),
        [0.0, -1.0, -2.0]
    );
}

#[test]
fn names_that_nobody_declared_are_refused() {
    let message = |settings: Value| plan(settings).unwrap_err().to_string();
    let found = message(json!({ "score": "raw - slop[h] * (q - k)", "params": { "slope": {} } }));
    for words in [
        "`score`",
        "`slop` is none",
        "params.slop = {}",
        "did you mean \"slope\"?",
    ] {
        assert!(found.contains(words), "{found}");
    }
    let found = message(json!({ "score": "raw + t[h, q - k]" }));
    assert!(
        found.contains("`t` is none") && !found.contains("did you mean"),
        "{found}"
    );
    let found = message(json!({ "query_scale": "1 + s[h] * log1p(q)" }));
    assert!(
        found.contains("`query_scale`") && found.contains("`s` is none"),
        "{found}"
    );
    let declared = plan(json!({ "score": "raw - s[h] * (q - k)", "params": { "s": {} } })).unwrap();
    let spec = declared.param("s").unwrap();
    assert!(spec.learned && spec.init == Init::Values(vec![1.0; 4]));
}

#[test]
fn wrong_expressions_are_shown_with_a_caret() {
    let message = |settings: Value| plan(settings).unwrap_err().to_string();
    let found = message(json!({ "score": "raw - slope[x]" }));
    assert!(
        found.contains("setting `score`") && found.contains("column 13"),
        "{found}"
    );
    assert_eq!(
        found.lines().last().unwrap().trim_end().chars().last(),
        Some('^'),
        "{found}"
    );
    let found = message(json!({ "score": "raw + g@q" }));
    assert!(found.contains("token vectors"), "{found}");
    let found = message(json!({ "params": { "slope": {} } }));
    assert!(found.contains("`params.slope`"), "{found}");
    let found =
        message(json!({ "score": "raw + s[h]", "params": { "s": { "values": [1.0, 2.0] } } }));
    assert!(found.contains("one for each of the 4 heads"), "{found}");
    let found = message(json!({ "bias": [[0.0], [0.0]] }));
    assert!(found.contains("1 or 4, one per head"), "{found}");
    let found = message(json!({ "inv_freq": [1.0, 0.5, 0.2] }));
    assert!(found.contains("at most 2 numbers"), "{found}");
}
