//! Hooks and token vectors against plans that say the same without them, and against finite differences.

mod attends;

use super::{Hook, HookRef, Qkv, Scope, Stage};
use crate::attend::{Attended, INPUT, Implementation, Mask, Params, attend, attend_packed};
use crate::plan::{Geometry, Init, Pairing, ParamSpec, Plan, QkRotation, TokenVector};
use crate::prepared::Prepared;
use crate::testing::noise;
use crate::{DType, Device, Result, Tensor, Var};

const MODEL: Geometry = Geometry {
    layers: 2,
    width: 6,
    heads: 4,
    kv_heads: 2,
    head_dim: 4,
    trained_length: 16,
};
const TOKENS: usize = 37;

fn tensor(seed: u64, shape: &[usize], dtype: DType) -> Tensor {
    let values = noise(seed, shape.iter().product());
    Tensor::from_vec(values, shape, &Device::cpu())
        .unwrap()
        .to_dtype(dtype)
        .unwrap()
}

fn qkv(dtype: DType) -> Qkv {
    let keys = [2, MODEL.kv_heads, TOKENS, MODEL.head_dim];
    Qkv {
        q: tensor(1, &[2, MODEL.heads, TOKENS, MODEL.head_dim], dtype),
        k: tensor(2, &keys, dtype),
        v: tensor(3, &keys, dtype),
    }
}

fn rotary() -> Plan {
    Plan {
        rotations: vec![QkRotation::rotary(vec![1.0, 0.1], 1.0, Pairing::HalfSplit)],
        ..Plan::default()
    }
}

fn with(hook: impl Hook + 'static, plan: Plan) -> Plan {
    Plan {
        hooks: vec![HookRef::new(hook)],
        ..plan
    }
}

fn run(plan: &Plan, qkv: &Qkv, params: &Params, which: Implementation) -> Result<Attended> {
    let prepared = Prepared::new(plan, &MODEL, 0..TOKENS, 0..TOKENS, &Device::cpu())?;
    let Qkv { q, k, v } = qkv;
    attend(q, k, v, &prepared, params, &Mask::causal(), which)
}

fn flat(x: &Tensor) -> Vec<f64> {
    x.to_dtype(DType::F64).unwrap().to_flat().unwrap()
}

#[track_caller]
fn close(found: &Tensor, expected: &Tensor, tolerance: f64) {
    assert_eq!(found.dims(), expected.dims());
    for (i, (x, y)) in flat(found).iter().zip(flat(expected)).enumerate() {
        assert!((x - y).abs() < tolerance, "{i}: {x}, expected {y}");
    }
}

fn spec(name: &str, shape: &[usize], learned: bool) -> ParamSpec {
    ParamSpec {
        name: name.into(),
        shape: shape.to_vec(),
        init: Init::Constant(0.25),
        learned,
        per_layer: true,
        clamp: None,
    }
}

#[derive(Debug)]
struct LouderKeys;

impl Hook for LouderKeys {
    fn stage(&self) -> Stage {
        Stage::Inputs
    }

    fn describe(&self) -> String {
        "louder keys".into()
    }

    fn inputs(&self, _scope: &Scope<'_>, qkv: Qkv) -> Result<Qkv> {
        let k = qkv.k.affine(2.0, 0.0)?;
        Ok(Qkv { k, ..qkv })
    }
}

#[test]
fn inputs_change_before_the_rotation_and_attention_stays_fused() {
    let qkv = qkv(DType::F32);
    let found = run(
        &with(LouderKeys, rotary()),
        &qkv,
        &Params::new(),
        Implementation::Auto,
    )
    .unwrap();
    assert_eq!(found.implementation, "fused");
    let louder = Qkv {
        k: qkv.k.affine(2.0, 0.0).unwrap(),
        ..qkv.clone()
    };
    let expected = run(&rotary(), &louder, &Params::new(), Implementation::Fused).unwrap();
    close(&found.output, &expected.output, 1e-6);
}

/// raw − slope · (q − k), as tensors.
#[derive(Debug)]
struct Slope;

impl Hook for Slope {
    fn stage(&self) -> Stage {
        Stage::Scores
    }

    fn describe(&self) -> String {
        "slope".into()
    }

    fn params(&self) -> Vec<String> {
        vec!["slope".into()]
    }

    fn scores(&self, scope: &Scope<'_>, scores: &Tensor) -> Result<Tensor> {
        let (queries, keys) = (scope.query_positions(), scope.key_positions());
        let distance = queries.iter().flat_map(|i| keys.iter().map(move |j| i - j));
        let distance: Vec<f64> = distance.collect();
        let distance = scope.constant(&distance, &[1, queries.len(), keys.len()])?;
        let slope = scope
            .param("slope")?
            .reshape((scope.geometry().heads, 1, 1))?;
        scores.broadcast_sub(&distance.broadcast_mul(&slope)?)
    }
}

#[test]
fn scores_changed_by_a_hook_equal_scores_said_by_an_expression() {
    let params = vec![spec("slope", &[MODEL.heads], true)];
    let hooked = with(
        Slope,
        Plan {
            params: params.clone(),
            ..rotary()
        },
    );
    let said = Plan {
        score: "raw - slope[h] * (q - k)".parse().unwrap(),
        params,
        ..rotary()
    };
    let qkv = qkv(DType::F64);
    let gradients = |plan: &Plan, rows: usize| {
        let slope = Var::new(tensor(5, &[MODEL.heads], DType::F64)).unwrap();
        let params = Params::from([("slope".to_string(), slope.tensor().clone())]);
        let run = || run(plan, &qkv, &params, Implementation::Auto).unwrap();
        let attended = crate::blocks::with_rows_per_block(rows, run);
        assert_eq!(attended.implementation, "composed");
        let weights = tensor(6, attended.output.dims(), DType::F64);
        let loss = attended.output.mul(&weights).unwrap();
        (
            attended.output,
            loss.backward().unwrap().get(&slope).unwrap(),
        )
    };
    let (expected, by_slope) = gradients(&said, 64);
    for rows in [5, 64] {
        let (output, slope) = gradients(&hooked, rows);
        close(&output, &expected, 1e-12);
        close(&slope, &by_slope, 1e-12);
    }
    for which in [Implementation::Naive, Implementation::Fused] {
        let params = Params::from([("slope".to_string(), tensor(5, &[4], DType::F64))]);
        let message = run(&hooked, &qkv, &params, which).unwrap_err().to_string();
        assert!(
            message.contains(&format!("{which:?}").to_lowercase()),
            "{message}"
        );
    }
}

/// Plain softmax attention, and a count of the layers so far.
#[derive(Debug)]
struct Plain;

impl Hook for Plain {
    fn stage(&self) -> Stage {
        Stage::Attention
    }

    fn describe(&self) -> String {
        "plain".into()
    }

    fn attention(&self, scope: &Scope<'_>, qkv: &Qkv) -> Result<Tensor> {
        let before = match scope.carried("layers") {
            Some(count) => count.clone(),
            None => scope.constant(&[0.0], &[1])?,
        };
        scope.carry("layers", before.affine(1.0, 1.0)?);
        let weights = scope.softmax(&scope.scores(qkv)?)?;
        weights.matmul(&scope.repeated(&qkv.v)?)
    }
}

#[test]
fn own_attention_can_be_built_from_the_parts_and_carries_over() {
    let qkv = qkv(DType::F64);
    let plan = with(Plain, rotary());
    let first = run(&plan, &qkv, &Params::new(), Implementation::Auto).unwrap();
    let expected = run(&rotary(), &qkv, &Params::new(), Implementation::Naive).unwrap();
    close(&first.output, &expected.output, 1e-12);
    let second = run(&plan, &qkv, &first.carried, Implementation::Auto).unwrap();
    assert_eq!(flat(second.carried.values().next().unwrap()), [2.0]);
}

/// The forget gate of FoX (arXiv 2503.02130, section 3): running sums of ln σ(w·x + b).
fn forgetful() -> Plan {
    Plan {
        score: "raw + f@q - f@k".parse().unwrap(),
        tokens: vec![TokenVector {
            name: "f".into(),
            weight: "w".into(),
            value: "min(raw + b[h], 0) - log1p(exp(-abs(raw + b[h])))"
                .parse()
                .unwrap(),
            cumulative: true,
        }],
        params: vec![
            spec("w", &[MODEL.heads, MODEL.width], true),
            spec("b", &[MODEL.heads], true),
        ],
        ..rotary()
    }
}

fn forget_params(dtype: DType) -> Vec<(&'static str, Var)> {
    let var = |seed, shape: &[usize]| Var::new(tensor(seed, shape, dtype)).unwrap();
    vec![
        ("w", var(7, &[MODEL.heads, MODEL.width])),
        ("b", var(8, &[MODEL.heads])),
        (INPUT, var(9, &[2, TOKENS, MODEL.width])),
    ]
}

fn forget_loss(
    vars: &[(&'static str, Var)],
    dtype: DType,
    which: Implementation,
) -> (Tensor, Tensor) {
    let params = vars
        .iter()
        .map(|(name, var)| (name.to_string(), var.tensor().clone()));
    let output = run(&forgetful(), &qkv(dtype), &params.collect(), which)
        .unwrap()
        .output;
    let loss = output
        .mul(&tensor(6, output.dims(), dtype))
        .unwrap()
        .sum_all()
        .unwrap();
    (output, loss)
}

#[test]
fn token_vectors_come_from_the_input_and_give_it_gradients() {
    let exact = forget_params(DType::F64);
    let (output, loss) = forget_loss(&exact, DType::F64, Implementation::Naive);
    let expected = loss.backward().unwrap();
    for (which, dtype, tolerance) in [
        (Implementation::Composed, DType::F64, 1e-12),
        (Implementation::Fused, DType::F32, 2e-5),
    ] {
        let vars = forget_params(dtype);
        let (found, loss) = forget_loss(&vars, dtype, which);
        close(&found, &output, tolerance);
        let gradients = loss.backward().unwrap();
        for ((_, var), (_, exact)) in vars.iter().zip(&exact) {
            close(
                &gradients.get(var).unwrap(),
                &expected.get(exact).unwrap(),
                tolerance,
            );
        }
    }
    for (name, var) in &exact {
        let values = flat(var.tensor());
        for place in [0, values.len() / 2, values.len() - 1] {
            let at = |step: f64| {
                let mut moved = values.clone();
                moved[place] += step;
                let vars = forget_params(DType::F64);
                let own = &vars.iter().find(|(other, _)| other == name).unwrap().1;
                let moved = Tensor::from_vec(moved, var.tensor().dims(), &Device::cpu()).unwrap();
                own.set(&moved).unwrap();
                flat(&forget_loss(&vars, DType::F64, Implementation::Naive).1)[0]
            };
            let slope = (at(1e-5) - at(-1e-5)) / 2e-5;
            let found = flat(&expected.get(var).unwrap())[place];
            assert!(
                (found - slope).abs() < 1e-7,
                "{name}[{place}]: {found}, expected {slope}"
            );
        }
    }
}

#[test]
fn packed_calls_take_token_vectors_and_missing_inputs_are_named() {
    let vars = forget_params(DType::F32);
    let Qkv { q, k, v } = qkv(DType::F32);
    let rows = |x: &Tensor| {
        let flat = x.transpose(1, 2).unwrap().contiguous().unwrap();
        flat.reshape((2, TOKENS, x.dim(1).unwrap() * MODEL.head_dim))
            .unwrap()
    };
    let packed = Tensor::cat(&[&rows(&q), &rows(&k), &rows(&v)], 2).unwrap();
    let prepared =
        Prepared::new(&forgetful(), &MODEL, 0..TOKENS, 0..TOKENS, &Device::cpu()).unwrap();
    let mut params: Params = vars
        .iter()
        .map(|(name, var)| (name.to_string(), var.tensor().clone()))
        .collect();
    let call = |params: &Params| {
        attend_packed(
            &packed,
            &prepared,
            params,
            &Mask::causal(),
            Implementation::Auto,
        )
    };
    let found = call(&params).unwrap();
    assert_eq!(found.implementation, "fused");
    let expected = forget_loss(&vars, DType::F32, Implementation::Fused).0;
    close(&found.output, &rows(&expected), 1e-6);
    params.remove(INPUT);
    let message = call(&params).unwrap_err().to_string();
    assert!(
        message.contains("@input") && message.contains("[37, 6]"),
        "{message}"
    );
}

#[test]
fn hooks_are_validated_hashed_and_printed() {
    let hooked = with(Slope, rotary());
    let message = hooked.validate(&MODEL).unwrap_err().to_string();
    assert!(
        message.contains("\"slope\", which is no parameter"),
        "{message}"
    );
    let two = Plan {
        hooks: vec![HookRef::new(Plain), HookRef::new(Plain)],
        ..rotary()
    };
    assert!(two.validate(&MODEL).is_err());
    assert_ne!(with(Plain, rotary()).hash(), rotary().hash());
    assert!(
        with(Plain, rotary())
            .to_string()
            .contains("hook           attention: plain")
    );
    assert_ne!(forgetful().hash(), rotary().hash());
    assert!(forgetful().to_string().contains("f = running sum of min("));
}
