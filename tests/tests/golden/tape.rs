//! TAPE: states that layers hand on.

use super::content::{run, values};
use super::tensors::{f64s as tensor, flat};
use super::turning::{model, param, rows};
use super::{close, golden, plan, size};
use farspan_attention::attend::{FEED_FORWARD, Params};
use farspan_attention::plan::Geometry;
use serde_json::{Value, json};

/// (tokens, heads · d) as (heads, tokens, d).
fn split(x: &[f64], heads: usize, tokens: usize) -> Vec<f64> {
    let d = x.len() / (heads * tokens);
    (0..heads * tokens)
        .flat_map(|row| {
            let (h, t) = (row / tokens, row % tokens);
            x[(t * heads + h) * d..][..d].to_vec()
        })
        .collect()
}

/// x (tokens, in) times the transpose of `weight` \[out\]\[in\].
fn projected(x: &[Vec<f64>], weight: &Value) -> Vec<f64> {
    let weight = rows(weight);
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    x.iter()
        .flat_map(|x| weight.iter().map(move |w| dot(x, w)))
        .collect()
}

#[test]
fn tape() {
    let file = golden("bias/tape");
    let (heads, d, tokens) = (size(&file["H"]), size(&file["d_head"]), size(&file["T"]));
    let model = Geometry {
        layers: 3,
        width: heads * d,
        ..model(heads, heads, d)
    };
    let scheme = farspan_pe::Registry::builtin()
        .parse("tape", json!({ "position_size": file["position_size"] }))
        .unwrap();
    let plans = scheme.layer_plans(&model, farspan_pe::Len(tokens)).unwrap();
    let x = rows(&file["x"]);
    let [q, k, v] =
        ["q_w", "k_w", "v_w"].map(|key| split(&projected(&x, &file[key]), heads, tokens));
    let state = |key: &str| tensor(flat(&file[key]), &[1, heads, tokens, d]);
    let (cos, sin) = ("@carried.tape.cos", "@carried.tape.sin");

    // At first the state is RoPE's, and with the weights' first values it stays.
    let frozen = Params::from([(
        "tape.attention".into(),
        tensor(vec![0.0; heads * heads], &[heads, heads]),
    )]);
    let first = run(&plans[0], &model, [&q, &k, &v], &frozen);
    for (name, key) in [(cos, "init_cos_h_t_d"), (sin, "init_sin_h_t_d")] {
        close(
            key,
            &values(&first.carried[name]),
            &flat(&file[key]),
            super::F32,
            1e-8,
        );
    }
    let rope = plan("rope", json!({}), &model, tokens);
    let expected = values(&run(&rope, &model, [&q, &k, &v], &Params::new()).output);
    close("rope", &values(&first.output), &expected, 1e-12, 1e-12);

    // A layer that is given another state.
    let params = Params::from([
        param("tape.attention", &file["post_attention_linear_w"]),
        (cos.into(), state("e_cos_h_t_d")),
        (sin.into(), state("e_sin_h_t_d")),
    ]);
    let attended = run(&plans[0], &model, [&q, &k, &v], &params);
    let merged: Vec<Vec<f64>> = {
        let output = values(&attended.output);
        let token = |t: usize| {
            (0..heads)
                .flat_map(|h| output[(h * tokens + t) * d..][..d].to_vec())
                .collect()
        };
        (0..tokens).map(token).collect()
    };
    // Sums of eight f32 products of numbers up to 10.
    close(
        "output",
        &projected(&merged, &file["o_w"]),
        &flat(&file["attn_out"]),
        1e-5,
        1e-5,
    );
    for (name, key) in [
        (cos, "e_after_attn_update_cos"),
        (sin, "e_after_attn_update_sin"),
    ] {
        close(
            key,
            &values(&attended.carried[name]),
            &flat(&file[key]),
            1e-5,
            1e-6,
        );
    }

    // The next layer updates it by content before anything else; without an update by attention it leaves just that.
    let mut params = frozen;
    params.extend(attended.carried);
    params.extend([
        param("tape.up", &file["pe_up_w"]),
        param("tape.down", &file["pe_down_w"]),
        param("tape.content", &file["pe_x_w"]),
        (
            FEED_FORWARD.into(),
            tensor(
                flat(&file["mlp_out_fed_to_pe_layer"]),
                &[1, tokens, heads * d],
            ),
        ),
    ]);
    let attended = run(&plans[1], &model, [&q, &k, &v], &params);
    for (name, key) in [(cos, "e_final_cos"), (sin, "e_final_sin")] {
        close(
            key,
            &values(&attended.carried[name]),
            &flat(&file[key]),
            1e-5,
            1e-6,
        );
    }
}
