//! What must hold of the schemes whatever their parameters are, or at the parameters that they start from.

use crate::registry::Registry;
use crate::scheme::Len;
use farspan_attention::attend::{Attended, INPUT, Implementation, Mask, Params, attend};
use farspan_attention::plan::{Geometry, Init, Plan};
use farspan_attention::prepared::Prepared;
use farspan_attention::{DType, Device, Tensor, Var};
use serde_json::{Value, json};

const MODEL: Geometry = Geometry {
    layers: 2,
    width: 12,
    heads: 4,
    kv_heads: 2,
    head_dim: 6,
    trained_length: 20,
};
const TOKENS: usize = 37;

fn noise(seed: usize, len: usize) -> Vec<f64> {
    (0..len)
        .map(|i| ((i * 7919 + seed * 104_729) as f64).sin())
        .collect()
}

fn tensor(values: Vec<f64>, shape: &[usize]) -> Tensor {
    Tensor::from_vec(values, shape, &Device::cpu()).unwrap()
}

fn plan(id: &str, settings: Value) -> Plan {
    let scheme = Registry::builtin().parse(id, settings).unwrap();
    scheme.plan(&MODEL, Len(TOKENS)).unwrap()
}

/// Parameters as training starts, and the layer's input.
fn start(plan: &Plan) -> Params {
    let drawn = |low: f64, high: f64, len| {
        let between = |x: &f64| (low + high) / 2.0 + x * (high - low) / 2.0;
        noise(9, len).iter().map(between).collect()
    };
    let values = |init: &Init, len: usize| match init {
        Init::Constant(x) => vec![*x; len],
        Init::Values(values) => values.clone(),
        Init::Uniform(low, high) => drawn(*low, *high, len),
        Init::Normal(mean, std) => drawn(mean - std, mean + std, len),
    };
    let specs = plan.params.iter().filter(|spec| spec.learned);
    let mut params: Params = specs
        .map(|spec| {
            let values = values(&spec.init, spec.len());
            (spec.name.clone(), tensor(values, &spec.shape))
        })
        .collect();
    let input = noise(4, TOKENS * MODEL.width);
    params.insert(INPUT.into(), tensor(input, &[1, TOKENS, MODEL.width]));
    params
}

fn set(params: &mut Params, name: &str, value: f64) {
    let shape = params[name].dims().to_vec();
    let len = shape.iter().product();
    params.insert(name.into(), tensor(vec![value; len], &shape));
}

fn attended(plan: &Plan, params: &Params, k: Vec<f64>) -> Attended {
    let prepared = Prepared::new(plan, &MODEL, 0..TOKENS, 0..TOKENS, &Device::cpu()).unwrap();
    let keys = [1, MODEL.kv_heads, TOKENS, MODEL.head_dim];
    let queries = [1, MODEL.heads, TOKENS, MODEL.head_dim];
    let q = tensor(noise(1, queries.iter().product()), &queries);
    let v = tensor(noise(3, keys.iter().product()), &keys);
    let (k, mask) = (tensor(k, &keys), Mask::causal());
    attend(&q, &k, &v, &prepared, params, &mask, Implementation::Auto).unwrap()
}

fn output(plan: &Plan, params: &Params) -> Vec<f64> {
    let k = noise(2, MODEL.kv_heads * TOKENS * MODEL.head_dim);
    attended(plan, params, k).output.to_flat().unwrap()
}

#[track_caller]
fn equal(found: &Plan, params: &Params, expected: &Plan) {
    let (found, expected) = (output(found, params), output(expected, &Params::new()));
    for (i, (found, expected)) in found.iter().zip(&expected).enumerate() {
        assert!((found - expected).abs() < 1e-9, "{i}: {found} {expected}");
    }
}

#[test]
fn extensions_start_at_what_they_extend() {
    for under in ["pi", "yarn"] {
        let psc = plan("psc", json!({ "under": under, "factor": 4 }));
        equal(&psc, &start(&psc), &plan(under, json!({ "factor": 4 })));
    }
    // 37 tokens of 20 are a stretch of 2, so α is 3.
    let clex = plan("clex", json!({}));
    let ntk = plan("ntk", json!({ "factor": 3 }));
    // The solver's error, times 37 tokens.
    let (found, expected) = (output(&clex, &start(&clex)), output(&ntk, &Params::new()));
    let off = found.iter().zip(&expected).map(|(a, b)| (a - b).abs());
    assert!(off.fold(0.0, f64::max) < 1e-4);
    let unstretched = plan("clex", json!({ "trained_length": TOKENS }));
    equal(&unstretched, &start(&unstretched), &plan("rope", json!({})));
}

#[test]
fn a_constant_pace_is_rope() {
    let rope = plan("rope", json!({}));
    let mut clockwise = rope.clone();
    for turn in &mut clockwise.rotations {
        for side in [&mut turn.query, &mut turn.key] {
            side.inv_freq.iter_mut().for_each(|theta| *theta = -*theta);
        }
    }
    let grape = plan("grape", json!({}));
    equal(&grape, &start(&grape), &clockwise);
    let grape = plan("grape", json!({ "contextual": true, "pace": "softplus" }));
    let mut params = start(&grape);
    set(&mut params, "grape.pace", 0.0);
    set(&mut params, "grape.pace_bias", 1f64.exp_m1().ln());
    equal(&grape, &params, &clockwise);
    let selective = plan("selective-rope", json!({ "bias": true, "base": 10_000 }));
    let mut params = start(&selective);
    set(&mut params, "phase.up", 0.0);
    equal(&selective, &params, &rope);
    let tape = plan("tape", json!({}));
    equal(&tape, &start(&tape), &rope);
    for shared in ["all", "layer", "key-head"] {
        let learned = plan("lerope", json!({ "shared": shared }));
        equal(&learned, &start(&learned), &rope);
    }
    let mixed = plan("kv-shift", json!({ "values": false }));
    let mut params = start(&mixed);
    // An input of ones and a weight far below: nothing of the token before.
    set(&mut params, INPUT, 1.0);
    set(&mut params, "shift.key", -10.0);
    equal(&mixed, &params, &rope);
}

#[test]
fn without_their_effect_only_content_is_left() {
    let nope = plan("nope", json!({}));
    let path = plan("path", json!({}));
    let mut params = start(&path);
    set(&mut params, "path.beta_bias", -60.0);
    equal(&path, &params, &nope);
    let wall = plan("wall", json!({ "scalar_gate": true, "bias_init": 60 }));
    equal(&wall, &start(&wall), &nope);
    let tupe = plan("tupe", json!({ "rows": TOKENS }));
    let mut params = start(&tupe);
    set(&mut params, "tupe.query", 0.0);
    let scaled = Plan {
        softmax_scale: 0.5f64.sqrt(),
        ..nope.clone()
    };
    equal(&tupe, &params, &scaled);
    let seqpe = plan("seqpe", json!({ "eta": 0 }));
    equal(&seqpe, &start(&seqpe), &nope);
}

/// Turning lowers a score: of equal keys, a query sees the one at its side best.
#[test]
fn of_equal_keys_the_nearest_is_seen_best() {
    for id in ["coca", "pope"] {
        let plan = plan(id, json!({}));
        let row = noise(2, MODEL.head_dim)
            .iter()
            .map(|x| x.abs())
            .collect::<Vec<_>>();
        let k = row.repeat(MODEL.kv_heads * TOKENS);
        // A gradient of ones with respect to v is what each key is seen by.
        let prepared = Prepared::new(&plan, &MODEL, 0..TOKENS, 0..TOKENS, &Device::cpu()).unwrap();
        let keys = [1, MODEL.kv_heads, TOKENS, MODEL.head_dim];
        let q = [1, MODEL.heads, TOKENS, MODEL.head_dim];
        let q = tensor(noise(1, q.iter().product()), &q);
        let v = Var::new(tensor(vec![0.0; k.len()], &keys)).unwrap();
        let found = attend(
            &q,
            &tensor(k, &keys),
            v.tensor(),
            &prepared,
            &start(&plan),
            &Mask::causal(),
            Implementation::Auto,
        );
        let last = found.unwrap().output.narrow(2, TOKENS - 1, 1).unwrap();
        for head in 0..MODEL.heads {
            let seen = last.narrow(1, head, 1).unwrap().sum_all().unwrap();
            let shares = seen.backward().unwrap().get(&v).unwrap();
            let shares: Vec<f64> = shares.to_flat().unwrap();
            let group = head / (MODEL.heads / MODEL.kv_heads);
            let share = |t: usize| shares[(group * TOKENS + t) * MODEL.head_dim];
            let nearest = share(TOKENS - 1);
            assert!(nearest > 0.0, "{id}, head {head}");
            for t in 0..TOKENS - 1 {
                assert!(share(t) < nearest, "{id}, head {head}, key {t}");
            }
        }
    }
}

/// k′_t = α·k_{t−1} + (1 − α)·k_t by hand, for keys and values with weights of their own.
#[test]
fn keys_and_values_are_mixed_each_by_its_own_weight() {
    let (mixed, rope) = (plan("kv-shift", json!({})), plan("rope", json!({})));
    let shape = [MODEL.kv_heads, MODEL.width];
    let mut params = start(&mixed);
    for (name, seed) in [("shift.key", 21), ("shift.value", 22)] {
        params.insert(
            name.into(),
            tensor(noise(seed, shape.iter().product()), &shape),
        );
    }
    let flat = |x: &Tensor| -> Vec<f64> { x.to_flat().unwrap() };
    let input = flat(&params[INPUT]);
    let by_hand = |name: &str, x: &[f64]| -> Vec<f64> {
        let weight = flat(&params[name]);
        let at = |place: usize| {
            let (row, c) = (place / MODEL.head_dim, place % MODEL.head_dim);
            let (h, t) = (row / TOKENS, row % TOKENS);
            let pairs = weight[h * MODEL.width..][..MODEL.width].iter();
            let dot: f64 = pairs
                .zip(&input[t * MODEL.width..])
                .map(|(w, x)| w * x)
                .sum();
            let share = 1.0 / (1.0 + (-dot).exp());
            let before = if t == 0 {
                0.0
            } else {
                x[(row - 1) * MODEL.head_dim + c]
            };
            share * before + (1.0 - share) * x[place]
        };
        (0..x.len()).map(at).collect()
    };
    let keys = [1, MODEL.kv_heads, TOKENS, MODEL.head_dim];
    let [k, v] = [2, 3].map(|seed| noise(seed, keys.iter().product()));
    let run = |plan: &Plan, k: Vec<f64>, v: Vec<f64>| -> Vec<f64> {
        let prepared = Prepared::new(plan, &MODEL, 0..TOKENS, 0..TOKENS, &Device::cpu()).unwrap();
        let queries = [1, MODEL.heads, TOKENS, MODEL.head_dim];
        let q = tensor(noise(1, queries.iter().product()), &queries);
        let (k, v, mask) = (tensor(k, &keys), tensor(v, &keys), Mask::causal());
        let which = Implementation::Auto;
        flat(
            &attend(&q, &k, &v, &prepared, &params, &mask, which)
                .unwrap()
                .output,
        )
    };
    let expected = run(&rope, by_hand("shift.key", &k), by_hand("shift.value", &v));
    for (found, expected) in run(&mixed, k, v).iter().zip(&expected) {
        assert!((found - expected).abs() < 1e-12, "{found} {expected}");
    }
}

/// Keys that fold to nothing cannot be told apart: every token sees the mean of what came before.
#[test]
fn coca_without_magnitudes_is_uniform() {
    let len = MODEL.kv_heads * TOKENS * MODEL.head_dim;
    let k: Vec<f64> = noise(2, len).iter().map(|x| -x.abs()).collect();
    let zero = vec![0.0; len];
    let nope: Vec<f64> = attended(&plan("nope", json!({})), &Params::new(), zero)
        .output
        .to_flat()
        .unwrap();
    for form in ["collinear", "released"] {
        let coca = plan("coca", json!({ "form": form }));
        let found: Vec<f64> = attended(&coca, &Params::new(), k.clone())
            .output
            .to_flat()
            .unwrap();
        for (found, mean) in found.iter().zip(&nope) {
            assert!((found - mean).abs() < 1e-12, "{form}: {found} {mean}");
        }
    }
}

/// A state r times as long makes scores r² times as large.
#[test]
fn the_length_of_tapes_state_scales_scores() {
    let tape = plan("tape", json!({}));
    let first = attended(&tape, &start(&tape), noise(2, 2 * TOKENS * MODEL.head_dim));
    let mut params = start(&tape);
    for (name, half) in &first.carried {
        params.insert(name.clone(), half.affine(1.5, 0.0).unwrap());
    }
    let rope = plan("rope", json!({}));
    let scaled = Plan {
        softmax_scale: 1.5 * 1.5,
        ..rope
    };
    equal(&tape, &params, &scaled);
}

/// Heads that cannot be paired and widths that cannot be split are refused with the size that is wrong.
#[test]
fn models_that_do_not_fit_are_refused() {
    let refused = |id: &str, model: Geometry| {
        let scheme = Registry::builtin().parse(id, json!({})).unwrap();
        scheme.plan(&model, Len(TOKENS)).unwrap_err().to_string()
    };
    let odd = Geometry {
        heads: 6,
        kv_heads: 2,
        ..MODEL
    };
    assert!(refused("rope-plus-plus", odd).contains("heads = 6"));
    let narrow = Geometry { width: 13, ..MODEL };
    assert!(refused("selective-rope", narrow).contains("width = 13"));
    assert!(refused("seqpe", narrow).contains("width = 13"));
    let scheme = Registry::builtin().parse("seqpe", json!({ "digits": 1 }));
    let message = scheme.unwrap().plan(&MODEL, Len(11)).unwrap_err();
    assert!(message.to_string().contains("`digits`"), "{message}");
}

/// Output and gradients of a scheme whose parameters are all drawn.
fn differentiated(plan: &Plan, which: Implementation, by: &str) -> Vec<Vec<f64>> {
    let drawn = |seed: usize, shape: &[usize]| {
        let values = noise(seed, shape.iter().product());
        let values = values.into_iter().map(|x| 0.6 * x).collect();
        let tensor = tensor(values, shape).to_dtype(DType::F32).unwrap();
        Var::new(tensor).unwrap()
    };
    let learned = plan.params.iter().filter(|spec| spec.learned).enumerate();
    let mut params: Vec<(String, Var)> = learned
        .map(|(seed, spec)| {
            let var = drawn(20 + seed, &spec.shape);
            if spec.clamp.is_some() {
                var.set(&var.tensor().detach().abs().unwrap()).unwrap();
            }
            (spec.name.clone(), var)
        })
        .collect();
    if plan.reads_input() {
        params.push((INPUT.into(), drawn(4, &[1, TOKENS, MODEL.width])));
    }
    let keys = [1, MODEL.kv_heads, TOKENS, MODEL.head_dim];
    let queries = [1, MODEL.heads, TOKENS, MODEL.head_dim];
    let qkv = [drawn(1, &queries), drawn(2, &keys), drawn(3, &keys)];
    let named = params
        .iter()
        .map(|(name, var)| (name.clone(), var.tensor().clone()));
    let prepared = Prepared::new(plan, &MODEL, 0..TOKENS, 0..TOKENS, &Device::cpu()).unwrap();
    let [q, k, v] = [0, 1, 2].map(|n| qkv[n].tensor());
    let found = attend(q, k, v, &prepared, &named.collect(), &Mask::causal(), which).unwrap();
    assert_eq!(found.implementation, by);
    let weights = drawn(9, &queries);
    let loss = found
        .output
        .mul(weights.tensor())
        .unwrap()
        .sum_all()
        .unwrap();
    let gradients = loss.backward().unwrap();
    let flat = |x: &Tensor| x.to_dtype(DType::F64).unwrap().to_flat().unwrap();
    let vars = qkv.iter().chain(params.iter().map(|(_, var)| var));
    let gradients = vars.map(|var| flat(&gradients.get(var).unwrap()));
    std::iter::once(flat(&found.output))
        .chain(gradients)
        .collect()
}

#[test]
fn kernels_agree_with_tensor_operations() {
    for (id, settings) in [
        ("cope", json!({})),
        ("cope", json!({ "rows": 7, "divided": false })),
        ("stick-breaking", json!({})),
        (
            "stick-breaking",
            json!({ "attend_current": true, "remainder": false }),
        ),
        ("selective", json!({})),
        ("selective", json!({ "rope_base": 100 })),
        ("path", json!({})),
        ("path", json!({ "gate": "scaled" })),
        ("path", json!({ "gate": "plain", "rank": 3 })),
        ("dape", json!({})),
        ("dape", json!({ "base": "alibi", "hidden": 9 })),
        ("dape", json!({ "base": "none", "rope_base": 100 })),
    ] {
        let plan = plan(id, settings);
        let expected = differentiated(&plan, Implementation::Composed, "composed");
        let found = differentiated(&plan, Implementation::Fused, "fused");
        for (number, (found, expected)) in found.iter().zip(&expected).enumerate() {
            let size = expected.iter().fold(1e-3, |size: f64, x| size.max(x.abs()));
            for (i, (x, y)) in found.iter().zip(expected).enumerate() {
                let off = (x - y).abs();
                assert!(
                    off < 1e-4 * size.max(0.1),
                    "{id}, {number}, {i}: {x}, expected {y}"
                );
            }
        }
    }
}
