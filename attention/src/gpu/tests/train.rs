//! A small decoder trained on the device and on the processor: the losses of every step agree.

use super::context;
use crate::attend::{Implementation, Mask, attend};
use crate::optim::{AdamW, AdamWConfig};
use crate::plan::{Geometry, Init, Pairing, ParamSpec, Plan, QkRotation};
use crate::prepared::Prepared;
use crate::testing::noise;
use crate::{Device, Result, Tensor, Var, ops};
use std::collections::BTreeMap;

const BATCH: usize = 2;
const TOKENS: usize = 9;
const WIDTH: usize = 16;
const HEADS: usize = 2;
const VOCAB: usize = 11;
const STEPS: usize = 20;

fn shapes() -> Vec<(&'static str, Vec<usize>)> {
    vec![
        ("down", vec![WIDTH, 24]),
        ("gate_up", vec![48, WIDTH]),
        ("norm", vec![WIDTH]),
        ("out", vec![WIDTH, WIDTH]),
        ("qkv", vec![3 * WIDTH, WIDTH]),
        ("slope", vec![HEADS]),
        ("table", vec![VOCAB, WIDTH]),
    ]
}

fn start(name: &str, index: usize, dims: &[usize]) -> Vec<f32> {
    let values = noise(index as u64 + 3, dims.iter().product());
    let around = if name == "norm" { 1.0 } else { 0.0 };
    values
        .into_iter()
        .map(|x| (around + 0.3 * x) as f32)
        .collect()
}

fn tokens(step: usize) -> Vec<u32> {
    let of = |i: usize| ((i * 7 + step * 3 + i * i) % VOCAB) as u32;
    (0..BATCH * TOKENS).map(of).collect()
}

fn prepared(device: &Device) -> Prepared {
    let plan = Plan {
        rotations: vec![QkRotation::rotary(
            vec![1.0, 0.1],
            1.0,
            Pairing::Interleaved,
        )],
        score: "raw - slope[h] * log1p(max(q - k, 0))".parse().unwrap(),
        params: vec![ParamSpec {
            name: "slope".into(),
            shape: vec![HEADS],
            init: Init::Constant(0.0),
            learned: true,
            per_layer: false,
            clamp: None,
        }],
        ..Plan::default()
    };
    let geometry = Geometry {
        layers: 1,
        width: WIDTH,
        heads: HEADS,
        kv_heads: HEADS,
        head_dim: WIDTH / HEADS,
        trained_length: TOKENS,
    };
    Prepared::new(&plan, &geometry, 0..TOKENS, 0..TOKENS, device).unwrap()
}

const CONFIG: AdamWConfig = AdamWConfig {
    beta1: 0.9,
    beta2: 0.95,
    eps: 1e-8,
    weight_decay: 0.1,
    clip: 1.0,
};

fn losses(device: &Device) -> Result<Vec<f32>> {
    let mut vars = BTreeMap::new();
    let mut optimizer = AdamW::new(CONFIG);
    for (i, (name, dims)) in shapes().into_iter().enumerate() {
        let var = Var::new(Tensor::from_vec(start(name, i, &dims), dims, device)?)?;
        optimizer.add(name, &var, 1.0, true, None)?;
        vars.insert(name.to_string(), var);
    }
    let weights: BTreeMap<_, _> = vars
        .iter()
        .map(|(name, var)| (name.clone(), var.tensor().clone()))
        .collect();
    let prepared = prepared(device);
    let norm = |x: &Tensor| ops::rms_norm(x, &weights["norm"], 1e-5);
    let mut losses = Vec::new();
    for step in 0..STEPS {
        let x = ops::embed(&weights["table"], &tokens(step), &[BATCH, TOKENS])?;
        let qkv = ops::linear(&norm(&x)?, &weights["qkv"])?;
        let part = |i: usize| {
            let part = qkv.narrow(2, i * WIDTH, WIDTH)?;
            part.reshape((BATCH, TOKENS, HEADS, WIDTH / HEADS))?
                .transpose(1, 2)?
                .contiguous()
        };
        let (q, k, v) = (part(0)?, part(1)?, part(2)?);
        let mixed = attend(
            &q,
            &k,
            &v,
            &prepared,
            &weights,
            &Mask::causal(),
            Implementation::Fused,
        )?;
        let mixed = mixed
            .output
            .transpose(1, 2)?
            .reshape((BATCH, TOKENS, WIDTH))?;
        let x = x.add(&ops::linear(&mixed, &weights["out"])?)?;
        let both = ops::linear(&norm(&x)?, &weights["gate_up"])?;
        let hidden = both
            .narrow(2, 0, 24)?
            .silu()?
            .mul(&both.narrow(2, 24, 24)?)?;
        let x = norm(&x.add(&ops::linear(&hidden, &weights["down"])?)?)?;
        let logits = ops::linear(&x, &weights["table"])?.reshape((BATCH * TOKENS, VOCAB))?;
        let targets = Tensor::from_vec(tokens(step + 1), (BATCH * TOKENS, 1), device)?;
        let total = logits.exp()?.sum_keepdim(1)?.log()?;
        let loss = total.sub(&logits.gather(&targets, 1)?)?.mean_all()?;
        optimizer.step(&loss.backward()?, 0.01)?;
        losses.push(loss.to_scalar::<f32>()?);
    }
    Ok(losses)
}

#[test]
fn a_decoder_trains_alike_on_both_engines() {
    let found = losses(&Device::from_context(context())).unwrap();
    let expected = losses(&Device::cpu()).unwrap();
    super::close(&found, &expected, 1e-4);
    assert!(
        found[STEPS - 1] < 0.9 * found[0],
        "nothing was learned: {found:?}"
    );
}
