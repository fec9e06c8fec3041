//! Forms of hooks against loops in f64 that are written from the formulas, and against finite differences of these.

mod heads;
mod reflect;
mod scan;
mod votes;

use super::{Implementation, Mask, Params, Plan, Prepared, Tensor, Var, attend, noise};
use crate::form::Form;
use crate::hook::{Hook, HookRef, Scope, Stage};
use crate::plan::Geometry;
use crate::{DType, Device, Result};
use std::ops::Range;

/// A hook that has nothing but its form, made of the call's parameters.
struct Formed<F>(F);

impl<F> std::fmt::Debug for Formed<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Formed")
    }
}

impl<F: Fn(&Params) -> Form + Send + Sync> Hook for Formed<F> {
    fn stage(&self) -> Stage {
        Stage::Attention
    }

    fn describe(&self) -> String {
        "a form".into()
    }

    fn has_form(&self) -> bool {
        true
    }

    fn form(&self, scope: &Scope<'_>) -> Result<Option<Form>> {
        Ok(Some((self.0)(scope.params)))
    }
}

/// One call: sizes, which tokens, and what is visible.
struct Call {
    geometry: Geometry,
    batch: usize,
    queries: Range<usize>,
    keys: Range<usize>,
    mask: Mask,
}

/// Numbers of a call in f64: q, k, v, then the form's own tensors.
struct Input {
    name: &'static str,
    shape: Vec<usize>,
    values: Vec<f64>,
}

impl Call {
    fn new(heads: usize, kv_heads: usize, head_dim: usize, tokens: usize) -> Call {
        Call {
            geometry: Geometry {
                layers: 1,
                width: heads * head_dim,
                heads,
                kv_heads,
                head_dim,
                trained_length: tokens,
            },
            batch: 1,
            queries: 0..tokens,
            keys: 0..tokens,
            mask: Mask::causal(),
        }
    }

    fn scale(&self) -> f64 {
        (self.geometry.head_dim as f64).powf(-0.5)
    }

    fn inputs(&self, more: Vec<(&'static str, Vec<usize>, f64)>) -> Vec<Input> {
        let g = &self.geometry;
        let (queries, keys) = (self.queries.len(), self.keys.len());
        let mut shapes = vec![
            ("q", vec![self.batch, g.heads, queries, g.head_dim], 1.5),
            ("k", vec![self.batch, g.kv_heads, keys, g.head_dim], 1.5),
            ("v", vec![self.batch, g.kv_heads, keys, g.head_dim], 1.0),
        ];
        shapes.extend(more);
        let one = |(seed, (name, shape, size)): (usize, (&'static str, Vec<usize>, f64))| {
            let values = noise(seed as u64 + 5, shape.iter().product());
            let values = values.into_iter().map(|x| x * size).collect();
            Input {
                name,
                shape,
                values,
            }
        };
        shapes.into_iter().enumerate().map(one).collect()
    }

    /// Number of an element of q (or the output), of k or v.
    fn query(&self, b: usize, h: usize, i: usize) -> usize {
        let g = &self.geometry;
        ((b * g.heads + h) * self.queries.len() + i) * g.head_dim
    }

    fn key(&self, b: usize, h: usize, j: usize) -> usize {
        let g = &self.geometry;
        ((b * g.kv_heads + h / (g.heads / g.kv_heads)) * self.keys.len() + j) * g.head_dim
    }

    fn sees(&self, i: usize, j: usize) -> bool {
        self.mask.sees(self.queries.start + i, self.keys.start + j)
    }

    /// The kernel's output, and its gradient of ⟨`weights`, output⟩ by each input.
    fn run(
        &self,
        inputs: &[Input],
        weights: &[f64],
        form: impl Fn(&Params) -> Form + Send + Sync + 'static,
        dtype: DType,
    ) -> (Vec<f64>, Vec<Vec<f64>>) {
        let plan = Plan {
            hooks: vec![HookRef::new(Formed(form))],
            ..Plan::default()
        };
        let device = Device::cpu();
        let (queries, keys) = (self.queries.clone(), self.keys.clone());
        let prepared = Prepared::new(&plan, &self.geometry, queries, keys, &device).unwrap();
        let tensor = |values: &[f64], shape: &[usize]| {
            let tensor = Tensor::from_vec(values.to_vec(), shape, &device).unwrap();
            tensor.to_dtype(dtype).unwrap()
        };
        let vars: Vec<Var> = inputs
            .iter()
            .map(|input| Var::new(tensor(&input.values, &input.shape)).unwrap())
            .collect();
        let named = inputs.iter().zip(&vars).skip(3);
        let params: Params = named
            .map(|(input, var)| (input.name.to_string(), var.tensor().clone()))
            .collect();
        let [q, k, v] = [0, 1, 2].map(|n| vars[n].tensor());
        let which = Implementation::Fused;
        let attended = attend(q, k, v, &prepared, &params, &self.mask, which).unwrap();
        let weights = tensor(weights, &inputs[0].shape);
        let loss = attended.output.mul(&weights).unwrap().sum_all().unwrap();
        let gradients = loss.backward().unwrap();
        let flat = |t: &Tensor| t.to_dtype(DType::F64).unwrap().to_flat().unwrap();
        let gradients = vars
            .iter()
            .map(|var| flat(&gradients.get(var).unwrap()))
            .collect();
        (flat(&attended.output), gradients)
    }

    /// Fails unless the kernel gives what `naive` gives, with the derivatives of that in random directions.
    #[track_caller]
    fn check(
        &self,
        inputs: &[Input],
        naive: impl Fn(&[&[f64]]) -> Vec<f64>,
        form: impl Fn(&Params) -> Form + Send + Sync + 'static,
    ) {
        let values: Vec<&[f64]> = inputs.iter().map(|input| &*input.values).collect();
        let expected = naive(&values);
        let weights = noise(99, expected.len());
        let (found, gradients) = self.run(inputs, &weights, form, DType::F32);
        for (i, (x, y)) in found.iter().zip(&expected).enumerate() {
            assert!((x - y).abs() < 1e-4, "output {i}: {x}, expected {y}");
        }
        for (number, input) in inputs.iter().enumerate() {
            for seed in 0..2 {
                let direction = noise(40 + seed, input.values.len());
                let at = |by: f64| {
                    let moved = values[number].iter().zip(&direction);
                    let moved: Vec<f64> = moved.map(|(x, u)| x + by * u).collect();
                    let mut values = values.clone();
                    values[number] = &moved;
                    let outputs = naive(&values);
                    outputs
                        .iter()
                        .zip(&weights)
                        .map(|(x, y)| x * y)
                        .sum::<f64>()
                };
                let step = 1e-6;
                let expected = (at(step) - at(-step)) / (2.0 * step);
                let along = gradients[number].iter().zip(&direction);
                let found: f64 = along.clone().map(|(g, u)| g * u).sum();
                let size: f64 = along.map(|(g, u)| (g * u).powi(2)).sum::<f64>().sqrt();
                let off = (found - expected).abs();
                let name = input.name;
                assert!(
                    off < 1e-3 * (size + 1e-2),
                    "d{name}: {found}, expected {expected}"
                );
            }
        }
    }
}

/// One and three threads give the same bits, and bf16 the same within `rounding`: of two times four heads that share keys.
#[track_caller]
fn threads_and_bf16<F>(
    inputs: impl Fn(&Call) -> Vec<Input>,
    form: impl Fn(&Call) -> F,
    rounding: f64,
) where
    F: Fn(&Params) -> Form + Send + Sync + 'static,
{
    let call = Call {
        batch: 2,
        ..Call::new(4, 2, 16, 200)
    };
    let inputs = inputs(&call);
    let weights = noise(3, inputs[0].values.len());
    let run = |threads| {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        let form = form(&call);
        pool.install(|| call.run(&inputs, &weights, form, DType::F32))
    };
    let (one, three) = (run(1), run(3));
    assert!(one == three);
    let (rounded, _) = call.run(&inputs, &weights, form(&call), DType::BF16);
    for (x, y) in rounded.iter().zip(&one.0) {
        assert!((x - y).abs() < rounding, "{x} {y}");
    }
}

/// Two batch entries of 280 tokens, in windows and in documents.
fn narrowed() -> [Call; 2] {
    let window = Mask {
        window: Some(30),
        ..Mask::causal()
    };
    let documents = Mask {
        documents: Some((0..280).map(|t| t / 90).collect()),
        ..Mask::causal()
    };
    [window, documents].map(|mask| Call {
        mask,
        batch: 2,
        ..Call::new(2, 1, 4, 280)
    })
}

fn dot(x: &[f64], y: &[f64]) -> f64 {
    x.iter().zip(y).map(|(x, y)| x * y).sum()
}
