//! Schemes whose attention is a function of tensors, held against what published code computed.

use super::tensors::{f64s as tensor, flat};
use super::turning::{model, param, rows, scores};
use super::{close, golden, list, numbers, plan, size};
use farspan_attention::attend::{
    Attended, FEED_FORWARD, INPUT, Implementation, Mask, Params, attend,
};
use farspan_attention::plan::{Geometry, Plan};
use farspan_attention::prepared::Prepared;
use farspan_attention::{Device, Tensor};
use serde_json::{Value, json};

/// `value` \[token\]\[head\]\[channel\] as (head, token, channel).
fn by_head(value: &Value) -> Vec<f64> {
    values(&super::tensors::by_head(value))
}

fn run(plan: &Plan, model: &Geometry, qkv: [&[f64]; 3], params: &Params) -> Attended {
    let d = model.head_dim;
    let tokens = qkv[0].len() / (model.heads * d);
    let prepared = Prepared::new(plan, model, 0..tokens, 0..tokens, &Device::cpu()).unwrap();
    let [q, k, v] = qkv.map(|x| tensor(x.to_vec(), &[1, x.len() / (tokens * d), tokens, d]));
    let mask = Mask::causal();
    attend(&q, &k, &v, &prepared, params, &mask, Implementation::Auto).unwrap()
}

fn values(x: &Tensor) -> Vec<f64> {
    x.to_flat().unwrap()
}

/// An input in which token t has a 1 in channel t: a matrix (rows, tokens) then holds what each token is projected to.
fn one_hot(tokens: usize) -> Tensor {
    let one = |i: usize| f64::from(u8::from(i / tokens == i % tokens));
    tensor(
        (0..tokens * tokens).map(one).collect(),
        &[1, tokens, tokens],
    )
}

/// (rows of channels, tokens) from \[token\]\[…\], each number through `f`.
fn projection(value: &Value, f: impl Fn(f64) -> f64) -> Tensor {
    let tokens: Vec<Vec<f64>> = list(value).iter().map(flat).collect();
    let channels = tokens[0].len();
    let row = |c: usize| tokens.iter().map(move |token| token[c]);
    let all = (0..channels).flat_map(row).map(f).collect();
    tensor(all, &[channels, tokens.len()])
}

fn silu(x: f64) -> f64 {
    x / (1.0 + (-x).exp())
}

/// The x with x·σ(x) = y, for y above the minimum of −0.2784…, by bisection.
fn before_silu(y: f64) -> f64 {
    // Left of −1.2784… the function falls again; the largest that is asked for is below 300.
    let (mut low, mut high) = (-1.278, 300.0);
    for _ in 0..200 {
        let middle = (low + high) / 2.0;
        if silu(middle) < y {
            low = middle;
        } else {
            high = middle;
        }
    }
    (low + high) / 2.0
}

/// Directions w as the parameters that give them: a reflection is the same for any multiple of w, so each is made as
/// long as SiLU can reach.
fn directions(value: &Value) -> Value {
    let reachable = |w: &Value| {
        let w = numbers(w);
        let lowest = w.iter().copied().fold(0.0, f64::min);
        let highest = w.iter().copied().fold(0.0, f64::max);
        let sign = if -lowest > highest { -1.0 } else { 1.0 };
        let deepest = w.iter().map(|x| sign * x).fold(-1e-3, f64::min);
        let factor = sign * 0.278 / -deepest;
        json!(
            w.iter()
                .map(|x| before_silu(factor * x))
                .collect::<Vec<_>>()
        )
    };
    let token = |token: &Value| Value::from(list(token).iter().map(reachable).collect::<Vec<_>>());
    Value::from(list(value).iter().map(token).collect::<Vec<_>>())
}

/// Parameters that give the reflections and gates of `entry`, w (channels, tokens) being what SiLU is to be taken of.
fn path_params(w: Tensor, entry: &Value) -> Params {
    let tokens = w.dims()[1];
    let (channels, heads) = (w.dims()[0], list(&entry["beta_t_h"][0]).len());
    let zeros = || tensor(vec![0.0; heads], &[heads]);
    // The last tap alone: the convolution is the identity.
    let filter = tensor([0.0, 0.0, 1.0].repeat(channels), &[channels, 3]);
    let logit = |beta: f64| (beta / (2.0 - beta)).ln();
    let kept = |log: f64| -((-log).exp_m1()).ln();
    let mut params = Params::from([
        (
            "path.down".into(),
            one_hot(tokens).reshape((tokens, tokens)).unwrap(),
        ),
        ("path.up".into(), w),
        ("path.filter".into(), filter),
        ("path.beta".into(), projection(&entry["beta_t_h"], logit)),
        ("path.beta_bias".into(), zeros()),
        (INPUT.into(), one_hot(tokens)),
    ]);
    if flat(&entry["log_f_t_h"]).iter().any(|log| *log != 0.0) {
        params.insert("path.gate".into(), projection(&entry["log_f_t_h"], kept));
        params.insert("path.gate_bias".into(), zeros());
    }
    params
}

#[test]
fn path() {
    let file = golden("bias/path");
    for (entry, gate, key) in [
        ("path_T7_chunk4", "none", "out_t_h_d"),
        ("pathfox_T8_chunk4", "scaled", "out_t_h_d"),
        (
            "pathfox_T8_chunk4",
            "plain",
            "out_if_gate_not_multiplied_by_scale",
        ),
    ] {
        let entry = &file[entry];
        let (heads, tokens) = (size(&entry["H"]), size(&entry["T"]));
        let model = Geometry {
            width: tokens,
            ..model(heads, heads, size(&entry["D"]))
        };
        let settings = json!({ "gate": gate, "rank": tokens });
        let plan = plan("path", settings, &model, tokens);
        let [q, k, v] = ["q_t_h_d", "k_t_h_d", "v_t_h_d"].map(|key| by_head(&entry[key]));
        let w = projection(&directions(&entry["w_t_h_d"]), |x| x);
        let params = path_params(w, entry);
        let found = values(&run(&plan, &model, [&q, &k, &v], &params).output);
        let expected = by_head(&entry[key]);
        // f32 products of eight reflections, and directions whose length the ε of the norm shortens by up to 6e-6.
        close(&format!("path, gate {gate}"), &found, &expected, 2e-5, 2e-5);
    }
}

/// Over several chunks against the definition, one reflection after the other, with grouped key heads.
#[test]
fn path_over_chunks() {
    let tokens = 37;
    let (heads, kv_heads, d) = (4, 2, 4);
    let model = Geometry {
        width: tokens,
        ..model(heads, kv_heads, d)
    };
    let plan = plan("path", json!({}), &model, tokens);
    let noise = |seed: usize, i: usize| ((i * 37 + seed * 101) as f64 * 12.9898).sin();
    let filled = |seed: usize, n: usize| (0..n).map(|i| noise(seed, i)).collect::<Vec<f64>>();
    let nested = |seed: usize| -> Value {
        let number = |t: usize, h: usize, c: usize| noise(seed, (t * kv_heads + h) * d + c);
        let head = |t: usize, h: usize| json!((0..d).map(|c| number(t, h, c)).collect::<Vec<_>>());
        let token = |t: usize| json!((0..kv_heads).map(|h| head(t, h)).collect::<Vec<_>>());
        json!((0..tokens).map(token).collect::<Vec<_>>())
    };
    let w = nested(4);
    let beta = json!(
        (0..tokens)
            .map(|t| (0..kv_heads)
                .map(|h| 1.0 + 0.9 * noise(5, t * 2 + h))
                .collect::<Vec<_>>())
            .collect::<Vec<_>>()
    );
    let entry = json!({ "beta_t_h": beta, "log_f_t_h": [0.0] });
    let mut params = path_params(projection(&w, |x| x), &entry);
    params.remove("path.down");
    let (q, k) = (
        filled(1, heads * tokens * d),
        filled(2, kv_heads * tokens * d),
    );
    let found = scores(&plan, &model, (&q, &k), &params, 0);
    for head in 0..heads {
        let group = head / (heads / kv_heads);
        for i in 0..tokens {
            let mut r = q[(head * tokens + i) * d..][..d].to_vec();
            let mut row = vec![0.0; i + 1];
            for j in (0..=i).rev() {
                let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
                row[j] = dot(&r, &k[(group * tokens + j) * d..][..d]) / (d as f64).sqrt();
                let w: Vec<f64> = numbers(&w[j][group]).into_iter().map(silu).collect();
                let length = (dot(&w, &w) + 1e-6).sqrt();
                let w: Vec<f64> = w.iter().map(|x| x / length).collect();
                let step = beta[j][group].as_f64().unwrap() * dot(&r, &w);
                r.iter_mut().zip(&w).for_each(|(r, w)| *r -= step * w);
            }
            let expected: Vec<f64> = row.iter().map(|x| x - row[0]).collect();
            let found = &found[(head * tokens + i) * tokens..][..=i];
            close(
                &format!("head {head}, query {i}"),
                found,
                &expected,
                1e-9,
                1e-9,
            );
        }
    }
}

#[test]
fn wall() {
    let file = golden("bias/wall");
    let tokens = size(&file["T"]);
    let model = Geometry {
        width: tokens,
        ..model(1, 1, size(&file["D"]))
    };
    let plan = plan("wall", json!({}), &model, tokens);
    let logit = |log: f64| -((-log).exp_m1()).ln();
    let params = Params::from([
        (
            "wall.gate".into(),
            projection(&file["log_gate_natural"], logit),
        ),
        (
            "wall.gate_bias".into(),
            tensor(vec![0.0; model.head_dim], &[model.head_dim]),
        ),
        (INPUT.into(), one_hot(tokens)),
    ]);
    let [q, k, v] = ["q", "k", "v"].map(|key| flat(&file[key]));
    let found = values(&run(&plan, &model, [&q, &k, &v], &params).output);
    close("wall", &found, &flat(&file["out"]), super::F32, 1e-8);
    let found = scores(&plan, &model, (&q, &k), &params, 0);
    super::turning::same_scores("wall", &found, &rows(&file["scores"]), 1.0);
}

/// Over several chunks against the definition, pair by pair, with grouped key heads and the gate per head.
#[test]
fn wall_over_chunks() {
    let tokens = 37;
    let (heads, kv_heads, d) = (4, 2, 4);
    let model = Geometry {
        width: tokens,
        ..model(heads, kv_heads, d)
    };
    let plan = plan("wall", json!({ "scalar_gate": true }), &model, tokens);
    let noise = |seed: usize, i: usize| ((i * 37 + seed * 101) as f64 * 12.9898).sin();
    let filled = |seed: usize, n: usize| (0..n).map(|i| noise(seed, i)).collect::<Vec<f64>>();
    // Logits of gates, (gates, tokens): channels keep from a tenth to nine tenths per token.
    let (fading, forgotten) = (filled(3, heads * d * tokens), filled(4, heads * tokens));
    let zeros = |n: usize| tensor(vec![0.0; n], &[n]);
    let params = Params::from([
        (
            "wall.gate".into(),
            tensor(fading.clone(), &[heads * d, tokens]),
        ),
        ("wall.gate_bias".into(), zeros(heads * d)),
        (
            "wall.scalar".into(),
            tensor(forgotten.clone(), &[heads, tokens]),
        ),
        ("wall.scalar_bias".into(), zeros(heads)),
        (INPUT.into(), one_hot(tokens)),
    ]);
    let (q, k) = (
        filled(1, heads * tokens * d),
        filled(2, kv_heads * tokens * d),
    );
    let found = scores(&plan, &model, (&q, &k), &params, 0);
    // ln σ of the logits of one gate from behind token j to token i.
    let kept = |logits: &[f64], gate: usize, i: usize, j: usize| -> f64 {
        let of_token = |t: usize| -(1.0 + (-logits[gate * tokens + t]).exp()).ln();
        (j + 1..=i).map(of_token).sum()
    };
    for head in 0..heads {
        let group = head / (heads / kv_heads);
        for i in 0..tokens {
            let score = |j: usize| -> f64 {
                let channel = |c: usize| {
                    let product = q[(head * tokens + i) * d + c] * k[(group * tokens + j) * d + c];
                    product * kept(&fading, head * d + c, i, j).exp()
                };
                let sum: f64 = (0..d).map(channel).sum();
                sum / (d as f64).sqrt() + kept(&forgotten, head, i, j)
            };
            let expected: Vec<f64> = (0..=i).map(|j| score(j) - score(0)).collect();
            let found = &found[(head * tokens + i) * tokens..][..=i];
            let what = format!("head {head}, query {i}");
            close(&what, found, &expected, 1e-9, 1e-9);
        }
    }
}

/// (in, out) as the (out, in) that a projection is.
fn turned(value: &Value) -> Vec<f64> {
    let rows = rows(value);
    let columns = rows[0].len();
    let column = |c: usize| rows.iter().map(move |row| row[c]);
    (0..columns).flat_map(column).collect()
}

/// An encoder of one block, as executed, and the same block twice: only then matters what symbols before the last see.
#[test]
fn seqpe() {
    let file = golden("bias/seqpe");
    let twice = golden("bias/seqpe_two_blocks");
    encoded_by(&file, 1, &rows(&file["encoding"]));
    encoded_by(&file, 2, &rows(&twice["encoding"]));
}

fn encoded_by(file: &Value, blocks: usize, expected: &[Vec<f64>]) {
    let width = size(&file["embed_dim"]);
    let heads = size(&file["heads"]);
    // The file's encodings have four channels; here they are filled up to the width with zeros.
    let channels = list(&file["out_b"]).len();
    let model = Geometry {
        width,
        ..model(heads, heads, width)
    };
    let settings = json!({ "digits": file["max_digits"], "blocks": blocks });
    let plan = plan("seqpe", settings, &model, 10_000);
    let filled = |values: Vec<f64>, len: usize| {
        let missing = len - values.len();
        [values, vec![0.0; missing]].concat()
    };
    // Every head's queries and keys are the encoding itself.
    let unit: Vec<f64> = (0..width * width)
        .map(|i| f64::from(u8::from(i / width == i % width)))
        .collect();
    let rows_of_map = 2 * heads * width;
    let mut params = Params::from([
        (
            "seqpe.map".into(),
            tensor(unit.repeat(2 * heads), &[rows_of_map, width]),
        ),
        (
            "seqpe.out".into(),
            tensor(
                filled(flat(&file["out_w_out_by_in"]), width * width),
                &[width, width],
            ),
        ),
        (
            "seqpe.out.bias".into(),
            tensor(filled(flat(&file["out_b"]), width), &[width]),
        ),
    ]);
    for (name, key) in [
        ("digit", "digit_emb"),
        ("place", "place_emb"),
        ("cls", "cls"),
        ("norm", "lnf_w"),
        ("norm.bias", "lnf_b"),
    ] {
        params.extend([param(&format!("seqpe.{name}"), &file[key])]);
    }
    for (name, key) in [
        ("norm1", "ln1_w"),
        ("norm1.bias", "ln1_b"),
        ("norm2", "ln2_w"),
        ("norm2.bias", "ln2_b"),
        ("qkv.bias", "c_attn_b"),
        ("proj.bias", "c_proj_b"),
        ("up.bias", "fc_b"),
        ("down.bias", "fc2_b"),
    ] {
        let names = (0..blocks).map(|n| format!("seqpe.block{n}.{name}"));
        params.extend(names.map(|name| param(&name, &file[key])));
    }
    for (name, key, out) in [
        ("qkv", "c_attn_w_in_by_3out", 3 * width),
        ("proj", "c_proj_w_in_by_out", width),
        ("up", "fc_w_in_by_out", 4 * width),
        ("down", "fc2_w_in_by_out", width),
    ] {
        let values = turned(&file[key]);
        let shape = [out, values.len() / out];
        for n in 0..blocks {
            let matrix = tensor(values.clone(), &shape);
            params.insert(format!("seqpe.block{n}.{name}"), matrix);
        }
    }
    let positions = numbers(&file["positions"]);
    let tokens = positions.len();
    let (q, k) = (
        vec![0.0; heads * tokens * width],
        vec![0.0; heads * tokens * width],
    );
    let prepared = Prepared::with_positions(
        &plan,
        &model,
        0..tokens,
        0..tokens,
        &positions,
        &Device::cpu(),
    );
    let prepared = prepared.unwrap();
    let shape = [1, heads, tokens, width];
    let v: Vec<f64> = unit.repeat(heads);
    assert_eq!(tokens, width, "values are unit vectors");
    let mask = Mask::causal();
    let (q, k, v) = (tensor(q, &shape), tensor(k, &shape), tensor(v, &shape));
    let found = attend(&q, &k, &v, &prepared, &params, &mask, Implementation::Auto).unwrap();
    let shares = values(&found.output);
    let product = |i: usize, j: usize| -> f64 {
        let pairs = expected[i].iter().zip(&expected[j]).take(channels);
        pairs.map(|(a, b)| a * b).sum::<f64>() / (width as f64).sqrt()
    };
    for head in 0..heads {
        for i in 0..tokens {
            let row = &shares[(head * tokens + i) * tokens..][..=i];
            let found: Vec<f64> = row.iter().map(|p| (p / row[0]).ln()).collect();
            let expected: Vec<f64> = (0..=i).map(|j| product(i, j) - product(i, 0)).collect();
            // The encodings were computed in f32.
            close(&format!("seqpe, {i}"), &found, &expected, super::F32, 1e-6);
        }
    }
    // And what is carried on are the encodings themselves.
    let carried = values(&found.carried["@carried.seqpe.queries"]);
    for (found, expected) in carried.chunks(width).zip(expected) {
        close("encodings", &found[..channels], expected, super::F32, 1e-6);
    }
}

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
