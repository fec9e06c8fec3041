//! The optimizer against that of the processor.

use super::{close, context, opened, spec};
use crate::gpu::Context;
use crate::optim::{AdamW, AdamWConfig};
use crate::testing::noise;
use crate::{Device, Gradients, Tensor, Var};

const CONFIG: AdamWConfig = AdamWConfig {
    beta1: 0.9,
    beta2: 0.95,
    // Large enough to be seen.
    eps: 1e-2,
    weight_decay: 0.1,
    clip: 0.5,
};

/// More parameters than one kernel takes. The last takes part without a gradient.
const SIZES: [usize; 11] = [15, 1, 64, 65, 300, 2, 15, 15, 5000, 7, 33];

/// Parameters with rates, decay and ranges of their own, and their optimizer.
struct Side {
    optimizer: AdamW,
    vars: Vec<Var>,
}

impl Side {
    fn on(device: &Device) -> Side {
        let mut optimizer = AdamW::new(CONFIG);
        let mut vars = Vec::new();
        for (i, size) in SIZES.into_iter().enumerate() {
            let values: Vec<f32> = noise(i as u64, size).iter().map(|x| *x as f32).collect();
            let var = Var::new(Tensor::from_vec(values, size, device).unwrap()).unwrap();
            let clamp = (i % 3 == 1).then_some((-0.2, 0.3));
            let rate = 1.0 + i as f64 / 4.0;
            optimizer
                .add(&name(i), &var, rate, i % 2 == 0, clamp)
                .unwrap();
            vars.push(var);
        }
        Side { optimizer, vars }
    }

    /// Of Σ x³ over all parameters but the last, times `scale`.
    fn gradients(&self, scale: f64) -> Gradients {
        let cubes = self.vars[..SIZES.len() - 1].iter().map(|var| {
            let x = var.tensor();
            x.mul(&x.sqr().unwrap()).unwrap().sum_all().unwrap()
        });
        let sum = cubes.reduce(|a, b| a.add(&b).unwrap()).unwrap();
        sum.affine(scale, 0.0).unwrap().backward().unwrap()
    }

    fn step(&mut self) -> f32 {
        let norm = self.optimizer.step(&self.gradients(1.0), 0.01).unwrap();
        norm.value().unwrap() as f32
    }

    fn values(&self, i: usize) -> Vec<f32> {
        self.vars[i].tensor().to_flat().unwrap()
    }
}

fn name(i: usize) -> String {
    format!("p{i:02}")
}

fn walks_like_the_processor(context: &Context) {
    let mut here = Side::on(&Device::from_context(context));
    let mut there = Side::on(&Device::cpu());
    for step in 0..4 {
        close(&[here.step()], &[there.step()], 1e-5);
        if step == 1 {
            for i in 0..SIZES.len() {
                let found = here.optimizer.moments(&name(i)).unwrap();
                let expected = there.optimizer.moments(&name(i)).unwrap();
                close(&found.m, &expected.m, 1e-5);
                close(&found.v, &expected.v, 1e-5);
                here.optimizer.set_moments(&name(i), expected).unwrap();
            }
        }
    }
    for i in 0..SIZES.len() {
        close(&here.values(i), &there.values(i), 1e-5);
    }
    assert_eq!(here.optimizer.steps(), 4);
    let lost = here.gradients(f64::INFINITY);
    here.optimizer.step(&lost, 0.01).unwrap();
    for i in 0..SIZES.len() {
        assert!(here.values(i).iter().all(|x| x.is_nan()), "parameter {i}");
    }
}

#[test]
fn adamw_walks_like_that_of_the_processor() {
    walks_like_the_processor(context());
}

/// The least that adapters offer.
#[test]
fn adamw_walks_alike_where_a_kernel_binds_few_arrays() {
    let few = Context::open_with(spec(), &|limits| {
        limits.arrays = 7;
    });
    let few = few.unwrap();
    assert_eq!(few.arrays(), 7);
    walks_like_the_processor(&few);
}

/// Two kernels for the norm, one that fills in the missing gradient, and the updates, several to a kernel.
#[test]
fn a_step_of_many_parameters_takes_few_kernels() {
    let context = opened();
    let mut here = Side::on(&Device::from_context(&context));
    let gradients = here.gradients(1.0);
    let before = context.traffic();
    here.optimizer.step(&gradients, 0.01).unwrap();
    let asked = context.traffic() - before;
    let together = ((context.arrays() - 1) / 4).min(8);
    assert!(together >= 2, "{}", context.bounds());
    assert_eq!(asked.kernels as usize, 3 + SIZES.len().div_ceil(together));
    assert_eq!((asked.uploads, asked.read_backs), (0, 0));
}
