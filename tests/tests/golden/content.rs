//! Schemes whose attention is a function of tensors, held against what published code computed.

use super::tensors::{f64s as tensor, flat};
use super::turning::{model, rows, scores};
use super::{close, golden, list, numbers, plan, size};
use farspan_attention::attend::{Attended, INPUT, Implementation, Mask, Params, attend};
use farspan_attention::plan::{Geometry, Plan};
use farspan_attention::prepared::Prepared;
use farspan_attention::{Device, Tensor};
use serde_json::{Value, json};

/// `value` \[token\]\[head\]\[channel\] as (head, token, channel).
fn by_head(value: &Value) -> Vec<f64> {
    values(&super::tensors::by_head(value))
}

pub(super) fn run(plan: &Plan, model: &Geometry, qkv: [&[f64]; 3], params: &Params) -> Attended {
    let d = model.head_dim;
    let tokens = qkv[0].len() / (model.heads * d);
    let prepared = Prepared::new(plan, model, 0..tokens, 0..tokens, &Device::cpu()).unwrap();
    let [q, k, v] = qkv.map(|x| tensor(x.to_vec(), &[1, x.len() / (tokens * d), tokens, d]));
    let mask = Mask::causal();
    attend(&q, &k, &v, &prepared, params, &mask, Implementation::Auto).unwrap()
}

pub(super) fn values(x: &Tensor) -> Vec<f64> {
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
