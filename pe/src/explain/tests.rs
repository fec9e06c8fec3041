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
    let note =
        "before training p, a is drawn at random; the values are for the mean of the distribution";
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
    // Eight pairs, for a scheme may treat as many groups of them differently.
    let model = Geometry {
        head_dim: 16,
        ..MODEL
    };
    for entry in Registry::builtin().entries() {
        let scheme = entry.parse(json!({})).unwrap();
        let found = explain(scheme.as_ref(), &model, Len(64), &[0, 63], &[0, 63]).unwrap();
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

#[test]
fn formulas_are_whole() {
    let found = explained(
        "yarn",
        json!({ "attention_factor": 1.5, "pairing": "interleaved" }),
    );
    let lines: Vec<_> = found.formula.text.lines().collect();
    let last = lines[lines.len() - 2..].join("\n");
    assert_eq!(
        last,
        "raw = ⟨1.5·Rot(Q[q], q·θ), 1.5·Rot(K[k], k·θ)⟩ / √head_dim\nscore = raw"
    );
    let found = explained("t5", json!({ "unscaled": true }));
    let lines: Vec<_> = found.formula.text.lines().skip(1).collect();
    let scale = 8f64.sqrt();
    assert_eq!(
        lines[0],
        format!("raw = {scale} · ⟨Q[q], K[k]⟩ / √head_dim")
    );
    assert_eq!(lines[1], "score = raw + bias[h, bucket[q - k]]");
    let latex = explained("alibi", json!({})).formula.latex;
    assert_eq!(
        latex,
        "\\mathrm{slope}_{h} = 2^{-8h/H} \\\\\n\
         s_{ij} = \\langle Q_i, K_j \\rangle / \\sqrt{d} \\\\\n\
         \\mathrm{score}_{ij} = s_{ij} - \\mathrm{slope}_{h} \\cdot \\left(i - j\\right)"
    );
}
