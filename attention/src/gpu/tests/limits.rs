//! What an adapter does not allow, and what happens when it goes away.

use super::{opened, spec};
use crate::attend::{Implementation, Mask, attend};
use crate::gpu::{Array, Context};
use crate::plan::{Geometry, Pairing, Plan, QkRotation};
use crate::prepared::Prepared;
use crate::testing::noise;
use crate::{Device, Result, Tensor, Traffic, Var};
use std::collections::BTreeMap;

fn limited(bytes: u64) -> Context {
    Context::open_with(spec(), &|limits| {
        limits.array = bytes;
        limits.groups = 8;
    })
    .unwrap()
}

#[test]
fn arrays_beyond_the_limit_are_refused_with_both_sizes() {
    let context = limited(4096);
    assert_eq!(context.largest_array(), 4096);
    let most = Array::full(&context, 2.0, &[1024]).unwrap();
    // More workgroups than fit along one axis of the grid.
    assert_eq!(most.to_f32().unwrap(), [2.0; 1024]);
    let message = Array::full(&context, 2.0, &[1025]).unwrap_err().to_string();
    assert!(
        message.contains("4100 bytes") && message.contains("4096"),
        "{message}"
    );
    // It goes on.
    assert_eq!(most.sum_all().unwrap().to_f32().unwrap(), [2048.0]);
}

#[test]
fn no_memory_is_an_error_once_unused_arrays_are_freed() {
    let context = Context::open_with(spec(), &|limits| limits.memory = 12_500).unwrap();
    let held = |count: usize| Array::full(&context, 2.0, &[count]);
    let small = held(1000).unwrap();
    // Freed, but kept for the next array of its size.
    drop(held(1000).unwrap());
    let large = held(1500).unwrap();
    let message = held(1000).unwrap_err().to_string();
    assert!(
        message.contains("an array of 4096 bytes beside the 12288 bytes"),
        "{message}"
    );
    assert!(message.contains("the device has 12500 bytes"), "{message}");
    // It goes on.
    assert_eq!(small.to_f32().unwrap(), [2.0; 1000]);
    assert_eq!(large.to_f32().unwrap(), [2.0; 1500]);
    drop(large);
    assert_eq!(held(1000).unwrap().to_f32().unwrap(), [2.0; 1000]);
}

/// Output and gradients by queries, keys and values of a plan with two turns: six windows, grouped heads.
fn attended(device: &Device) -> Result<Vec<Vec<f32>>> {
    let plan = Plan {
        rotations: vec![
            QkRotation::rotary(vec![1.0, 0.1, 0.01, 0.001], 1.0, Pairing::HalfSplit),
            QkRotation::rotary(vec![0.5, 0.05, 0.005, 0.0005], 1.0, Pairing::HalfSplit),
        ],
        score: "select(q - k < 5, raw, raw1)".parse()?,
        ..Plan::default()
    };
    let geometry = Geometry {
        layers: 1,
        width: 16,
        heads: 2,
        kv_heads: 1,
        head_dim: 8,
        trained_length: 16,
    };
    let prepared = Prepared::new(&plan, &geometry, 0..21, 0..21, device)?;
    let var = |seed: u64, heads: usize| {
        let values = noise(seed, 6 * heads * 21 * 8);
        let values: Vec<f32> = values.into_iter().map(|x| x as f32).collect();
        Var::new(Tensor::from_vec(values, (6, heads, 21, 8), device)?)
    };
    let vars = [var(1, 2)?, var(2, 1)?, var(3, 1)?];
    let [q, k, v] = vars.each_ref().map(Var::tensor);
    let mask = Mask::causal();
    let none = BTreeMap::new();
    let out = attend(q, k, v, &prepared, &none, &mask, Implementation::Fused)?.output;
    let gradients = out.mul(&out.sin()?)?.backward()?;
    let mut found = vec![out.to_flat()?];
    for var in &vars {
        found.push(gradients.get(var).map_or(Ok(Vec::new()), |x| x.to_flat())?);
    }
    Ok(found)
}

#[test]
fn attention_beyond_the_limit_goes_by_parts_of_the_batch() {
    // Queries fit one array; those of both turns do not.
    let context = limited(10_000);
    let before = context.traffic().kernels;
    let found = attended(&Device::from_context(&context)).unwrap();
    assert!(context.traffic().kernels > before);
    let expected = attended(&Device::cpu()).unwrap();
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(&expected) {
        super::close(found, expected, 1e-4);
    }
}

#[test]
fn a_lost_adapter_is_named_and_opened_again() {
    let context = opened();
    let x = Array::full(&context, 1.0, &[3]).unwrap();
    assert_eq!(x.to_f32().unwrap(), [1.0; 3]);
    context.destroy();
    let after = context.synchronize().and_then(|()| x.to_f32().map(|_| ()));
    let message = after.unwrap_err().to_string();
    assert!(
        message.contains("lost") && message.contains(&spec().to_string()),
        "{message}"
    );
    let message = Array::full(&context, 1.0, &[3]).unwrap_err().to_string();
    assert!(message.contains("lost"), "{message}");
    let again = opened();
    let x = Array::full(&again, 1.0, &[3]).unwrap();
    assert_eq!(x.to_f32().unwrap(), [1.0; 3]);
}

#[test]
fn traffic_is_counted() {
    let context = opened();
    let before = context.traffic();
    let x = Array::from_f32(&context, &[1.0, 2.0], &[2]).unwrap();
    x.sum_all().unwrap().to_f32().unwrap();
    let asked = Traffic {
        kernels: 1,
        submissions: 1,
        uploads: 1,
        read_backs: 1,
    };
    assert_eq!(context.traffic() - before, asked);
}
