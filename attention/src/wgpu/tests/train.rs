//! A small decoder trained on the device and on the processor: the losses of every step agree.

use super::context;
use crate::attend::{Implementation, Mask, attend};
use crate::optim::{AdamW as CpuAdamW, AdamWConfig};
use crate::plan::{Geometry, Init, Pairing, ParamSpec, Plan, Turn};
use crate::prepared::Prepared;
use crate::testing::noise;
use crate::wgpu::attend::Fused;
use crate::wgpu::optim::AdamW;
use crate::wgpu::{Array, Traced};
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

fn prepared() -> Prepared {
    let plan = Plan {
        turns: vec![Turn::rotary(vec![1.0, 0.1], 1.0, Pairing::Interleaved)],
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
    Prepared::new(&plan, &geometry, 0..TOKENS, 0..TOKENS, &Device::cpu()).unwrap()
}

const CONFIG: AdamWConfig = AdamWConfig {
    beta1: 0.9,
    beta2: 0.95,
    eps: 1e-8,
    weight_decay: 0.1,
    clip: 1.0,
};

fn on_device() -> Result<Vec<f32>> {
    let context = context();
    let mut weights = BTreeMap::new();
    let mut optimizer = AdamW::new(CONFIG);
    for (i, (name, dims)) in shapes().into_iter().enumerate() {
        let x = Traced::variable(&Array::from_f32(context, &start(name, i, &dims), &dims)?)?;
        optimizer.add(name, &x, 1.0, true, None)?;
        weights.insert(name.to_string(), x);
    }
    let fused = Fused::new(context, &prepared(), &Mask::causal(), BATCH)?;
    let norm = |x: &Traced| {
        let mean = x.sqr()?.mean_keepdim(2)?;
        x.div(&mean.affine(1.0, 1e-5)?.sqrt()?)?
            .mul(&weights["norm"])
    };
    let linear = |x: &Traced, weight: &str| {
        let (weight, inner) = (&weights[weight], x.dims()[2]);
        let y = x
            .reshape(&[BATCH * TOKENS, inner])?
            .matmul(&weight.transpose(0, 1)?)?;
        y.reshape(&[BATCH, TOKENS, weight.dims()[0]])
    };
    let mut losses = Vec::new();
    for step in 0..STEPS {
        let whole = |ids: Vec<u32>| {
            Ok::<_, crate::Error>(Traced::constant(Array::from_u32(
                context,
                &ids,
                &[ids.len()],
            )?))
        };
        let (ids, targets) = (whole(tokens(step))?, whole(tokens(step + 1))?);
        let x = weights["table"]
            .index_select(&ids, 0)?
            .reshape(&[BATCH, TOKENS, WIDTH])?;
        let qkv = linear(&norm(&x)?, "qkv")?;
        let part = |i: usize| {
            let part = qkv.narrow(2, i * WIDTH, WIDTH)?;
            part.reshape(&[BATCH, TOKENS, HEADS, WIDTH / HEADS])?
                .transpose(1, 2)
        };
        let mixed = fused.attend(&part(0)?, &part(1)?, &part(2)?, &weights)?;
        let mixed = mixed.transpose(1, 2)?.reshape(&[BATCH, TOKENS, WIDTH])?;
        let x = x.add(&linear(&mixed, "out")?)?;
        let both = linear(&norm(&x)?, "gate_up")?;
        let hidden = both
            .narrow(2, 0, 24)?
            .silu()?
            .mul(&both.narrow(2, 24, 24)?)?;
        let x = norm(&x.add(&linear(&hidden, "down")?)?)?;
        let logits = linear(&x, "table")?.reshape(&[BATCH * TOKENS, VOCAB])?;
        let hit = logits.gather(&targets.unsqueeze(1)?, 1)?;
        let loss = logits.log_sum_exp(1)?.sub(&hit)?.mean_all()?;
        optimizer.step(&loss.backward()?, 0.01)?;
        losses.push(loss);
    }
    // One wait for all of them.
    let losses: Vec<Traced> = losses
        .iter()
        .map(|x| x.reshape(&[1]))
        .collect::<Result<_>>()?;
    Traced::cat(&losses.iter().collect::<Vec<_>>(), 0)?
        .array()
        .to_f32()
}

fn on_processor() -> Result<Vec<f32>> {
    let device = Device::cpu();
    let mut vars = BTreeMap::new();
    let mut optimizer = CpuAdamW::new(CONFIG);
    for (i, (name, dims)) in shapes().into_iter().enumerate() {
        let var = Var::new(Tensor::from_vec(start(name, i, &dims), dims, &device)?)?;
        optimizer.add(name, &var, 1.0, true, None)?;
        vars.insert(name.to_string(), var);
    }
    let weights: BTreeMap<_, _> = vars
        .iter()
        .map(|(name, var)| (name.clone(), var.tensor().clone()))
        .collect();
    let prepared = prepared();
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
        let targets = Tensor::from_vec(tokens(step + 1), (BATCH * TOKENS, 1), &device)?;
        let total = logits.exp()?.sum_keepdim(1)?.log()?;
        let loss = total.sub(&logits.gather(&targets, 1)?)?.mean_all()?;
        optimizer.step(&loss.backward()?, 0.01)?;
        losses.push(loss.to_scalar::<f32>()?);
    }
    Ok(losses)
}

#[test]
fn a_decoder_trains_alike_on_both_engines() {
    let (found, expected) = (on_device().unwrap(), on_processor().unwrap());
    super::close(&found, &expected, 1e-4);
    assert!(
        found[STEPS - 1] < 0.9 * found[0],
        "nothing was learned: {found:?}"
    );
}
