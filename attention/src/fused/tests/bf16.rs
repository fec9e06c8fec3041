//! bf16 inputs against `naive` in f64 on the same rounded numbers.

use super::{geometry, plans};
use crate::attend::{Implementation, Mask, Params, attend, attend_packed};
use crate::prepared::Prepared;
use crate::testing::{Case, noise};
use crate::{DType, Device, Tensor, Var};

const N: usize = 150;
const HEADS: usize = 4;
const KV_HEADS: usize = 2;
const DIM: usize = 16;

/// Numbers that bf16 can hold.
fn rounded(seed: u64, shape: &[usize], dtype: DType) -> Tensor {
    let values = noise(seed, shape.iter().product());
    let wide = Tensor::from_vec(values, shape, &Device::cpu()).unwrap();
    wide.to_dtype(DType::BF16)
        .and_then(|x| x.to_dtype(dtype))
        .unwrap()
}

fn flat(tensor: &Tensor) -> Vec<f64> {
    tensor.to_dtype(DType::F64).unwrap().to_flat().unwrap()
}

fn case(plan: crate::plan::Plan) -> Case {
    Case {
        plan,
        geometry: geometry(HEADS, KV_HEADS, DIM),
        batch: 2,
        queries: 0..N,
        keys: 0..N,
        mask: Mask::causal(),
        positions: None,
        seed: 3,
    }
}

/// The output, and gradients of q, k, v and all parameters; parameters stay in f64 and f32.
fn run(case: &Case, prepared: &Prepared, which: Implementation, dtype: DType) -> Vec<Vec<f64>> {
    let shapes = [HEADS, KV_HEADS, KV_HEADS].map(|heads| [2, heads, N, DIM]);
    let mut vars: Vec<Var> = (0..3)
        .map(|i| Var::new(rounded(i as u64, &shapes[i], dtype)).unwrap())
        .collect();
    let wide = if dtype == DType::BF16 {
        DType::F32
    } else {
        dtype
    };
    let mut params = Params::new();
    for (name, shape, values) in case.params() {
        let tensor = Tensor::from_vec(values, shape, &Device::cpu()).unwrap();
        let var = Var::new(tensor.to_dtype(wide).unwrap()).unwrap();
        params.insert(name, var.tensor().clone());
        vars.push(var);
    }
    let [q, k, v] = [0, 1, 2].map(|i| vars[i].tensor());
    let output = attend(q, k, v, prepared, &params, &case.mask, which)
        .unwrap()
        .output;
    assert_eq!(output.dtype(), dtype);
    let upstream = rounded(9, output.dims(), dtype);
    let loss = output.mul(&upstream).unwrap().sum_all().unwrap();
    let gradients = loss.backward().unwrap();
    let mut all = vec![flat(&output)];
    for var in &vars {
        let gradient = gradients.get(var).unwrap();
        assert_eq!(gradient.dtype(), var.tensor().dtype());
        all.push(flat(&gradient));
    }
    all
}

#[test]
fn bf16_inputs_cost_the_rounding_of_the_results_alone() {
    for plan in plans(HEADS, DIM) {
        let case = case(plan);
        let prepared = case.prepared();
        let exact = run(&case, &prepared, Implementation::Naive, DType::F64);
        let found = run(&case, &prepared, Implementation::Fused, DType::BF16);
        for (part, (found, exact)) in found.iter().zip(&exact).enumerate() {
            let size = exact.iter().fold(1f64, |a, b| a.max(b.abs()));
            for (x, y) in found.iter().zip(exact) {
                // Half a unit in the last of eight places; parameters are not rounded.
                let rounding = if part > 3 { 0.0 } else { y.abs() / 256.0 };
                let noise = 1e-4 * size;
                assert!(
                    (x - y).abs() <= rounding + noise,
                    "{}, part {part}: {x}, expected {y}",
                    case.plan.score
                );
            }
        }
    }
}

#[test]
fn packed_bf16_equals_three_tensors() {
    for plan in plans(HEADS, DIM) {
        let case = case(plan);
        let prepared = case.prepared();
        let params: Params = case
            .params()
            .into_iter()
            .map(|(name, shape, values)| {
                let values: Vec<f32> = values.into_iter().map(|x| x as f32).collect();
                let tensor = Tensor::from_vec(values, shape, &Device::cpu()).unwrap();
                (name, tensor)
            })
            .collect();
        let all = HEADS + 2 * KV_HEADS;
        let qkv = rounded(5, &[2, N, all * DIM], DType::BF16);
        let part = |first, n| {
            let part = qkv.narrow(2, first * DIM, n * DIM).unwrap();
            let part = part.reshape((2, N, n, DIM)).unwrap();
            part.transpose(1, 2).unwrap()
        };
        let (q, k, v) = (
            part(0, HEADS),
            part(HEADS, KV_HEADS),
            part(HEADS + KV_HEADS, KV_HEADS),
        );
        let which = Implementation::Fused;
        let apart = attend(&q, &k, &v, &prepared, &params, &case.mask, which).unwrap();
        let packed = attend_packed(&qkv, &prepared, &params, &case.mask, which).unwrap();
        let apart = apart.output.transpose(1, 2).unwrap();
        assert_eq!(flat(&packed.output), flat(&apart), "{}", case.plan.score);
    }
}
