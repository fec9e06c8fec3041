//! Attention as a layer calls it: on a packed projection, and with all that stands around it.

use super::*;
use crate::attend::Sublayer;
use crate::residual::Residual;

/// Output and gradients of the packed call: qkv, then the parameters.
fn packed(plan: &Plan, which: Implementation) -> Vec<Vec<f32>> {
    let (batch, n, dim) = (3, 70, 8);
    let prepared = Prepared::new(plan, &geometry(4, 2, dim), 0..n, 0..n, &Device::cpu()).unwrap();
    let qkv = Var::new(random(5, &[batch, n, 8 * dim])).unwrap();
    let vars: Vec<Var> = plan
        .params
        .iter()
        .enumerate()
        .map(|(i, spec)| Var::new(random(20 + i as u64, &spec.shape).abs().unwrap()).unwrap())
        .collect();
    let names = plan.params.iter().map(|spec| spec.name.clone());
    let params: Params = names
        .zip(vars.iter().map(|var| var.tensor().clone()))
        .collect();
    let out = attend_packed(qkv.tensor(), &prepared, &params, &Mask::causal(), which).unwrap();
    assert_eq!(out.output.dims(), [batch, n, 4 * dim]);
    let loss = out
        .output
        .mul(&random(6, &[batch, n, 4 * dim]))
        .unwrap()
        .sum_all()
        .unwrap();
    let gradients = loss.backward().unwrap();
    let mut all = vec![
        out.output.to_flat().unwrap(),
        gradients.get(&qkv).unwrap().to_flat().unwrap(),
    ];
    all.extend(
        vars.iter()
            .map(|var| gradients.get(var).unwrap().to_flat::<f32>().unwrap()),
    );
    all
}

/// Fails unless output and gradients agree.
fn same(plan: &Plan, fused: &[Vec<f32>], composed: &[Vec<f32>]) {
    assert_eq!(fused.len(), composed.len());
    for (part, (x, y)) in fused.iter().zip(composed).enumerate() {
        let size = y.iter().fold(1.0f32, |size, y| size.max(y.abs()));
        for (x, y) in x.iter().zip(y) {
            let close = (x - y).abs() < 1e-4 * size;
            assert!(close, "{}, part {part}: {x}, {y}", plan.score);
        }
    }
}

#[test]
fn packed_equals_composed() {
    for plan in plans(4, 8) {
        let run = |which| packed(&plan, which);
        same(
            &plan,
            &run(Implementation::Fused),
            &run(Implementation::Composed),
        );
    }
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    let run = |plan: &Plan, threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        pool.install(|| packed(plan, Implementation::Fused))
    };
    for plan in plans(4, 8) {
        let one = run(&plan, 1);
        assert!(
            one == run(&plan, 2) && one == run(&plan, 3),
            "{}",
            plan.score
        );
    }
}

/// Output and gradients of the attention sublayer of a layer: x, norm, qkv, out, then the parameters.
fn sublayer(plan: &Plan, which: Implementation, tracked: bool) -> Vec<Vec<f32>> {
    let (batch, n, dim, width) = (2, 70, 8, 24);
    let prepared = Prepared::new(plan, &geometry(4, 2, dim), 0..n, 0..n, &Device::cpu()).unwrap();
    let var = |seed, shape: &[usize]| Var::new(random(seed, shape)).unwrap();
    let weights = [
        var(1, &[batch, n, width]),
        var(2, &[width]),
        var(3, &[8 * dim, width]),
        var(4, &[width, 4 * dim]),
    ];
    let learned = plan.params.iter().enumerate();
    let learned: Vec<Var> = learned
        .map(|(i, spec)| Var::new(random(20 + i as u64, &spec.shape).abs().unwrap()).unwrap())
        .collect();
    let names = plan.params.iter().map(|spec| spec.name.clone());
    let params: Params = names
        .zip(learned.iter().map(|var| var.tensor().clone()))
        .collect();
    let [x, norm, qkv, out] = weights.each_ref().map(|var| match tracked {
        true => var.tensor().clone(),
        false => var.tensor().detach(),
    });
    let (norm, eps) = (&norm.affine(0.5, 1.0).unwrap(), 1e-5);
    let weights_of = Sublayer {
        norm,
        qkv: &qkv,
        out: &out,
        eps,
    };
    let mut stream = Residual::new(x);
    let causal = Mask::causal();
    let done = stream.attend(&weights_of, &prepared, &params, &causal, which);
    let y = stream.rows().unwrap();
    let values = y.to_flat::<f32>().unwrap();
    assert_eq!(done.unwrap().output.to_flat::<f32>().unwrap(), values);
    assert_eq!(y.dims(), [batch, n, width]);
    let mut all = vec![y.to_flat().unwrap()];
    if !tracked && learned.is_empty() {
        return all;
    }
    let loss = y.mul(&random(6, &[batch, n, width])).unwrap();
    let loss = loss.sum_all().unwrap();
    let gradients = loss.backward().unwrap();
    let again = loss.backward().unwrap();
    for var in weights.iter().filter(|_| tracked).chain(&learned) {
        let gradient = gradients.get(var).unwrap().to_flat::<f32>().unwrap();
        // The same graph can be gone through twice.
        assert!(gradient == again.get(var).unwrap().to_flat::<f32>().unwrap());
        all.push(gradient);
    }
    all
}

#[test]
fn the_half_of_a_layer_equals_its_composition() {
    for plan in plans(4, 8) {
        for tracked in [true, false] {
            let run = |which| sublayer(&plan, which, tracked);
            same(
                &plan,
                &run(Implementation::Fused),
                &run(Implementation::Composed),
            );
        }
    }
}

#[test]
fn shapes_of_a_half_are_checked() {
    let n = 5;
    let prepared = Prepared::new(
        &Plan::default(),
        &geometry(4, 2, 8),
        0..n,
        0..n,
        &Device::cpu(),
    )
    .unwrap();
    let (x, norm) = (random(1, &[1, n, 24]), random(2, &[24]));
    let (qkv, out) = (random(3, &[64, 24]), random(4, &[24, 32]));
    let run = |x: &Tensor, norm: &Tensor, qkv: &Tensor, out: &Tensor| {
        let eps = 1e-5;
        let sublayer = Sublayer {
            norm,
            qkv,
            out,
            eps,
        };
        let (params, mask) = (Params::new(), Mask::causal());
        let mut stream = Residual::new(x.clone());
        stream.attend(&sublayer, &prepared, &params, &mask, Implementation::Auto)
    };
    run(&x, &norm, &qkv, &out).unwrap();
    for (error, named) in [
        (run(&random(1, &[1, 6, 24]), &norm, &qkv, &out), "x"),
        (run(&x, &random(2, &[23]), &qkv, &out), "norm"),
        (run(&x, &norm, &out, &out), "qkv"),
        (run(&x, &norm, &qkv, &qkv), "out"),
    ] {
        let text = error.unwrap_err().to_string();
        assert!(
            text.contains(&format!("attend_sublayer, {named}")),
            "{text}"
        );
    }
}
