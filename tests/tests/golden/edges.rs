//! Formulas at settings where a neighbour of theirs gives other numbers, computed by hand from the papers' definitions.

use super::remaps::position;
use super::{close, model, plan};
use farspan_attention::expr::ParamValues;
use farspan_attention::plan::{Geometry, Init, Plan, Waves};
use farspan_attention::scalar;
use farspan_pe::{Len, Registry};
use serde_json::{Value, json};

pub(super) fn inv_freq(plan: &Plan) -> &[f64] {
    &plan.rotations[0].query.inv_freq
}

/// b^(-2p/d) of all pairs.
fn theta(base: f64, dim: usize) -> Vec<f64> {
    let of_pair = |p: usize| base.powf(-2.0 * p as f64 / dim as f64);
    (0..dim / 2).map(of_pair).collect()
}

/// Frequencies divided by u·s + (1 - u), the u of pair p being (p - lo)/(hi - lo) from 0 to 1: YaRN's blend of wavelengths.
fn over_wavelengths(base: f64, dim: usize, s: f64, (lo, hi): (f64, f64)) -> Vec<f64> {
    let share = |p: usize| ((p as f64 - lo) / (hi - lo)).clamp(0.0, 1.0);
    let all = theta(base, dim).into_iter().enumerate();
    all.map(|(p, theta)| theta / (s * share(p) + 1.0 - share(p)))
        .collect()
}

/// Section 3 of the paper: near pairs of tokens turn by their distance; of far ones the first half of the channels does,
/// and the second half by the distance of their segments, on top of the window less one.
#[test]
fn hirope_counts_segments_beyond_its_window() {
    let settings = json!({ "window": 4, "segment": 3, "fast": 0.5 });
    let n = 20;
    let plan = plan("hirope", settings, &model(12, 64), n);
    for i in 0..n {
        for j in 0..=i {
            // Which of the two turns a pair of tokens is scored by.
            let which = scalar::score(&plan, &[0.0, 1.0], (0, 1), i, j, n, &ParamValues::new());
            assert_eq!(which.unwrap(), f64::from(u8::from(i - j > 4)), "{i}, {j}");
            let seen = |turn: usize, pair: usize| {
                let turn = &plan.rotations[turn];
                position(&turn.query, pair, 0, i, n) - position(&turn.key, pair, 0, j, n)
            };
            let segments = (i / 3) as f64 - (j / 3) as f64 + 3.0;
            for pair in 0..6 {
                let far = if pair < 3 { (i - j) as f64 } else { segments };
                let what = format!("pair {pair} of {i}, {j}");
                close(&what, &[seen(0, pair)], &[(i - j) as f64], 0.0, 1e-6);
                close(&what, &[seen(1, pair)], &[far], 0.0, 1e-6);
            }
        }
    }
    // Three pairs and a half of seven are three.
    let odd = self::plan("hirope", json!({ "window": 4 }), &model(14, 64), n);
    let slow = &odd.rotations[1];
    let moves =
        |pair: usize| position(&slow.query, pair, 0, 19, n) - position(&slow.query, pair, 0, 18, n);
    assert!((moves(2) - 1.0).abs() < 1e-6 && moves(3).abs() < 1e-6);
}

/// Ratios from 1.2 in steps of (1.8 - 1.2)/heads; queries of a group have that of the head that their key belongs to.
#[test]
fn ms_poe_in_groups() {
    let model = Geometry {
        heads: 4,
        kv_heads: 2,
        ..model(8, 64)
    };
    for (own, expected) in [
        (false, [1.2, 1.2, 1.5, 1.5]),
        (true, [1.2, 1.35, 1.5, 1.65]),
    ] {
        let plan = plan("ms-poe", json!({ "per_query_head": own }), &model, 64);
        for (head, ratio) in expected.into_iter().enumerate() {
            let found = position(&plan.rotations[0].query, 0, head, 30, 64);
            close(
                &format!("query head {head}"),
                &[found],
                &[30.0 / ratio],
                0.0,
                1e-6,
            );
        }
        for (head, ratio) in [1.2, 1.5].into_iter().enumerate() {
            let found = position(&plan.rotations[0].key, 0, head, 30, 64);
            close(
                &format!("key head {head}"),
                &[found],
                &[30.0 / ratio],
                0.0,
                1e-6,
            );
        }
    }
}

/// The order of heads turned round.
#[test]
fn ms_poe_reversed() {
    let model = Geometry {
        heads: 4,
        kv_heads: 4,
        ..model(8, 64)
    };
    let found = plan("ms-poe", json!({ "order": "reversed" }), &model, 64);
    for (head, ratio) in [1.65, 1.5, 1.35, 1.2].into_iter().enumerate() {
        let at = position(&found.rotations[0].query, 0, head, 30, 64);
        close(&format!("head {head}"), &[at], &[30.0 / ratio], 0.0, 1e-6);
    }
}

/// Factors 2 and 4 for the two halves of eight pairs, of which `pairs` chooses two: the others are left alone.
#[test]
fn dpe_of_chosen_pairs() {
    let settings = json!({ "window": 8, "factors": [2, 4], "pairs": [1, 6] });
    let plan = plan("dpe", settings, &model(16, 64), 40);
    let far = |pair: usize, i: usize, j: usize| {
        let turn = &plan.rotations[1];
        position(&turn.query, pair, 0, i, 40) - position(&turn.key, pair, 0, j, 40)
    };
    for (pair, expected) in [
        (0, 27.0),
        // ⌊31/2⌋ − ⌊4/2⌋ + 8 − 8/2, and ⌊31/4⌋ − ⌊4/4⌋ + 8 − 8/4.
        (1, 17.0),
        (5, 27.0),
        (6, 12.0),
        (7, 27.0),
    ] {
        let found = far(pair, 31, 4);
        close(&format!("pair {pair}"), &[found], &[expected], 0.0, 1e-6);
    }
    let planned = |pairs: Value| {
        let settings = json!({ "factors": [2, 4], "pairs": pairs });
        let scheme = Registry::builtin().parse("dpe", settings)?;
        scheme.plan(&model(16, 64), Len(64))
    };
    assert!(planned(json!([7])).is_ok() && planned(json!([0, 8])).is_err());
}

/// The first tokens stand at the limit, or as far as there are keys.
#[test]
fn lm_infinites_limit_ends_with_the_keys() {
    let at = |limit: usize, n: usize| {
        let settings = json!({ "global": 2, "local": 5, "limit": limit });
        let plan = plan("lm-infinite", settings, &model(8, 64), n);
        let (i, first) = (n - 1, &plan.rotations[1]);
        position(&first.query, 0, 0, i, n) - position(&first.key, 0, 0, 0, n)
    };
    for (limit, n, expected) in [(4, 20, 4.0), (5, 20, 5.0), (12, 20, 12.0), (30, 20, 19.0)] {
        close("limit", &[at(limit, n)], &[expected], 0.0, 1e-6);
    }
}

/// For d = 64, b = 10⁴, L = 512: c(32) = 3.25 and c(1) = 15.29, so the ramp goes from pair 3 to pair 16.
#[test]
fn extensions_that_blend_wavelengths_as_yarn_does() {
    let model = model(64, 512);
    let expected = over_wavelengths(1e4, 64, 4.0, (3.0, 16.0));
    for (id, settings) in [
        ("yarn", json!({ "factor": 4, "blend": "wavelengths" })),
        // PoSE's code has "revised YaRN".
        ("pose", json!({ "factor": 4, "method": "yarn" })),
        // Without factors, what the authors' search starts from.
        ("longrope", json!({ "factor": 4 })),
    ] {
        let plan = plan(id, settings, &model, 2048);
        close(id, inv_freq(&plan), &expected, 1e-12, 0.0);
    }
    // Over three quarters of the channels, d = 48: c(32) = 2.44, c(1) = 11.47.
    let partial = json!({ "factor": 4, "partial": 0.75 });
    let found = plan("longrope", partial, &model, 2048);
    let expected = over_wavelengths(1e4, 48, 4.0, (2.0, 12.0));
    close("longrope", inv_freq(&found), &expected, 1e-12, 0.0);
}

/// yarn_find_correction_range of the released code: the end of the ramp is at most d - 1, and one that ends where it
/// starts is 0.001 wide.
#[test]
fn the_ends_of_yarns_ramp() {
    // d = 8, b = 10, L = 4096: c(512) = 0.42 and c(1) = 11.26, beyond 7.
    let wide = json!({ "factor": 4, "base": 10, "beta_fast": 512, "blend": "wavelengths" });
    let found = plan("yarn", wide, &model(8, 4096), 16_384);
    let expected = over_wavelengths(10.0, 8, 4.0, (0.0, 7.0));
    close("yarn", inv_freq(&found), &expected, 1e-12, 0.0);
    // L = 476: c(32) = 1.50 and c(1) = 7.52, beyond 7 again.
    let longrope = json!({ "factor": 4, "base": 10, "trained_length": 476 });
    let found = plan("longrope", longrope, &model(8, 4096), 2000);
    let expected = over_wavelengths(10.0, 8, 4.0, (1.0, 7.0));
    close("longrope", inv_freq(&found), &expected, 1e-12, 0.0);
    // d = 64, b = 10⁴, L = 512: c(100) = -0.71 and c(200) = -3.12, both cut to 0: all pairs but the first are slow.
    let none = json!({ "factor": 4, "beta_slow": 100, "beta_fast": 200 });
    let found = plan("yarn", none, &model(64, 512), 2048);
    let rope = theta(1e4, 64);
    close("first", &inv_freq(&found)[..1], &rope[..1], 1e-12, 0.0);
    let slow: Vec<f64> = rope[1..].iter().map(|theta| theta / 4.0).collect();
    close("others", &inv_freq(&found)[1..], &slow, 1e-12, 0.0);
    // mscale of the released module: (0.1·ln 4 + 1) · attn_factor = 1.138629436 · 2.
    let twice = json!({ "factor": 4, "attn_factor": 2 });
    let found = plan("yarn", twice, &model(64, 512), 2048);
    let amplitude = found.rotations[0].query.amplitude;
    close("amplitude", &[amplitude], &[2.277_258_872], 1e-9, 0.0);
    // LongRoPE under YaRN's rule, 0.1·ln 4 + 1, in place of its own, √(1 + ln 4/ln 512).
    for (rule, expected) in [("yarn", 1.138_629_436), ("su", 1.105_541_597)] {
        let settings = json!({ "factor": 4, "amplitude": rule });
        let found = plan("longrope", settings, &model(64, 512), 2048);
        let amplitude = found.rotations[0].query.amplitude;
        close(rule, &[amplitude], &[expected], 1e-9, 0.0);
    }
}

/// Shares of pairs are rounded down, and the taper of CoPE is a half in its middle.
#[test]
fn shares_and_tapers_of_pairs() {
    // int(0.3 · 16 / 2) = 2 of 8 pairs turn.
    let found = plan("p-rope", json!({ "share": 0.3 }), &model(16, 64), 64);
    let turning = inv_freq(&found).iter().filter(|theta| **theta > 0.0);
    assert_eq!(turning.count(), 2);
    // ½(1 + cos(π·i/2)) for the last three of six pairs.
    let rope = theta(1e4, 12);
    let found = plan("cope-clip", json!({ "clip": 3 }), &model(12, 64), 64);
    let soft = [rope[0], rope[1], rope[2], rope[3], 0.5 * rope[4], 0.0];
    close("soft", inv_freq(&found), &soft, 1e-12, 0.0);
    // One pair alone is the start of its taper.
    let found = plan("cope-clip", json!({ "clip": 1 }), &model(12, 64), 64);
    close("soft", inv_freq(&found), &rope, 1e-12, 0.0);
    let hard = json!({ "clip": 1, "hard": true });
    let found = plan("cope-clip", hard, &model(12, 64), 64);
    assert_eq!(inv_freq(&found)[5], 0.0);
}

/// xavier_normal_ of a tensor (heads, N, M): fan_in N·M, fan_out heads·M, and the gain.
#[test]
fn fopes_weights_are_xavier_normal_around_the_step_identity() {
    let (kv_heads, gain) = (8, 0.3);
    let model = Geometry {
        heads: 16,
        kv_heads,
        ..model(256, 1 << 20)
    };
    let found = plan("fope", json!({}), &model, 64);
    let n = inv_freq(&found).len();
    let Waves::Mixed(mix) = &found.rotations[0].key.waves else {
        panic!("mixed waves")
    };
    let m = mix.mixed;
    assert_eq!(
        (m, mix.heads, mix.cos.len()),
        (64, kv_heads, kv_heads * n * m)
    );
    let step = n.div_ceil(m);
    let std = gain * (2.0 / ((n * m + kv_heads * m) as f64)).sqrt();
    let unit = |i: usize, j: usize| f64::from(u8::from(i == j * step));
    for weights in [&mix.cos, &mix.sin] {
        let drawn: Vec<f64> = weights
            .iter()
            .enumerate()
            .map(|(x, w)| (w - unit(x / m % n, x % m)) / std)
            .collect();
        let moment = |k: i32| drawn.iter().map(|x| x.powi(k)).sum::<f64>() / drawn.len() as f64;
        // Some 6·10⁴ numbers: five standard errors.
        let error = 5.0 / (drawn.len() as f64).sqrt();
        let within = |k: i32, expected: f64, variance: f64| {
            let found = moment(k);
            let far = (found - expected).abs();
            assert!(far < error * variance.sqrt(), "moment {k} is {found}");
        };
        within(1, 0.0, 1.0);
        within(2, 1.0, 2.0);
        within(3, 0.0, 15.0);
        within(4, 3.0, 96.0);
    }
    // Heads, and cosines and sines, draw numbers of their own, which another seed changes.
    let of_head = |weights: &[f64], head: usize| weights[head * n * m..][..n * m].to_vec();
    assert_ne!(of_head(&mix.cos, 0), of_head(&mix.cos, 1));
    assert_ne!(mix.cos, mix.sin);
    let other = plan("fope", json!({ "seed": 1 }), &model, 64);
    let Waves::Mixed(other) = &other.rotations[0].key.waves else {
        panic!("mixed waves")
    };
    assert_ne!(other.cos, mix.cos);
}

/// Every other head is imaginary.
#[test]
fn rope_plus_plus_of_four_heads() {
    let model = Geometry {
        heads: 4,
        kv_heads: 4,
        ..model(8, 64)
    };
    let found = plan("rope-plus-plus", json!({}), &model, 64);
    assert_eq!(found.params[0].init, Init::Values(vec![0.0, 1.0, 0.0, 1.0]));
}

/// ln σ(b) = -1/T for decay times T of heads, those of a hundredth of a token included.
#[test]
fn constant_gates_decay_in_their_times() {
    let model = Geometry {
        heads: 3,
        kv_heads: 3,
        ..model(8, 64)
    };
    for (shortest, longest) in [(2.0f64, 512.0), (0.01, 0.04), (1.0 / 31.0, 1.0 / 29.0)] {
        let settings = json!({ "gate": "fixed", "shortest": shortest, "longest": longest });
        let found = plan("fox", settings, &model, 64);
        let gate = found.params.iter().find(|spec| spec.name == "b").unwrap();
        let Init::Values(biases) = &gate.init else {
            panic!("{gate:?}")
        };
        let middle = (shortest * longest).sqrt();
        for (b, time) in biases.iter().zip([shortest, middle, longest]) {
            // Without overflow: -ln(1 + e^(-b)).
            let kept = b.min(0.0) - (-b.abs()).exp().ln_1p();
            close("ln of a gate", &[kept], &[-1.0 / time], 1e-12, 0.0);
        }
    }
}
