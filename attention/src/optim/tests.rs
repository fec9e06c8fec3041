use super::*;
use crate::Device;

const CONFIG: AdamWConfig = AdamWConfig {
    beta1: 0.9,
    beta2: 0.95,
    eps: 1e-8,
    weight_decay: 0.1,
    clip: 1.0,
};

fn var(values: &[f32]) -> Var {
    Var::new(Tensor::from_vec(values.to_vec(), values.len(), &Device::cpu()).unwrap()).unwrap()
}

fn values(var: &Var) -> Vec<f32> {
    var.tensor().to_vec1().unwrap()
}

/// Gradients of Σ x³/3 + 0.7 Σ y²: x² and 1.4 y.
fn gradients(x: &Var, y: &Var) -> Gradients {
    let cube = x
        .tensor()
        .powf(3.0)
        .unwrap()
        .affine(1.0 / 3.0, 0.0)
        .unwrap();
    let square = y.tensor().sqr().unwrap().affine(0.7, 0.0).unwrap();
    let loss = cube
        .sum_all()
        .unwrap()
        .add(&square.sum_all().unwrap())
        .unwrap();
    loss.backward().unwrap()
}

#[test]
fn steps_equal_the_written_out_algorithm() {
    let start_x: Vec<f32> = (0..37).map(|i| 0.3 + 0.05 * i as f32).collect();
    let (x, y) = (var(&start_x), var(&[0.5, -2.0]));
    let mut optimizer = AdamW::new(CONFIG);
    optimizer.add("x", &x, 1.0, true, None).unwrap();
    optimizer
        .add("y", &y, 8.0, false, Some((-1.9, 0.45)))
        .unwrap();
    let mut p: Vec<f64> = start_x
        .iter()
        .map(|x| f64::from(*x))
        .chain([0.5, -2.0])
        .collect();
    let (mut m, mut v) = (vec![0.0; 39], vec![0.0; 39]);
    for step in 1..=5 {
        let rate = 0.02 / f64::from(step);
        let g: Vec<f64> = (0..39)
            .map(|i| if i < 37 { p[i] * p[i] } else { 1.4 * p[i] })
            .collect();
        let norm = g.iter().map(|g| g * g).sum::<f64>().sqrt();
        let found = optimizer.step(&gradients(&x, &y), rate).unwrap();
        let found = found.value().unwrap();
        assert!((found - norm).abs() < 1e-4 * norm, "{found} for {norm}");
        for i in 0..39 {
            let g = g[i] * (CONFIG.clip / norm).min(1.0);
            let (multiplier, decay) = if i < 37 { (1.0, 0.1) } else { (8.0, 0.0) };
            let rate = rate * multiplier;
            m[i] = 0.9 * m[i] + 0.1 * g;
            v[i] = 0.95 * v[i] + 0.05 * g * g;
            let mean: f64 = m[i] / (1.0 - 0.9f64.powi(step));
            let square: f64 = v[i] / (1.0 - 0.95f64.powi(step));
            p[i] -= rate * decay * p[i];
            p[i] -= rate * mean / (square.sqrt() + 1e-8);
            if i >= 37 {
                p[i] = p[i].clamp(-1.9, 0.45);
            }
        }
        for (found, p) in values(&x).iter().chain(&values(&y)).zip(&p) {
            // A few roundings of f32 per step.
            assert!(
                (f64::from(*found) - p).abs() < 5e-6,
                "step {step}: {found} for {p}"
            );
        }
    }
}

#[test]
fn a_resumed_optimizer_goes_on_bit_for_bit() {
    let (x, y) = (var(&[0.3, 1.0, -0.4]), var(&[0.5, -2.0]));
    let build = |x: &Var, y: &Var| {
        let mut optimizer = AdamW::new(CONFIG);
        optimizer.add("x", x, 1.0, true, None).unwrap();
        optimizer.add("y", y, 1.0, false, None).unwrap();
        optimizer
    };
    let mut first = build(&x, &y);
    first.step(&gradients(&x, &y), 0.1).unwrap();
    let (x2, y2) = (var(&values(&x)), var(&values(&y)));
    let mut second = build(&x2, &y2);
    second.set_step(first.steps());
    for name in ["x", "y"] {
        second
            .set_moments(name, first.moments(name).unwrap())
            .unwrap();
    }
    first.step(&gradients(&x, &y), 0.1).unwrap();
    second.step(&gradients(&x2, &y2), 0.1).unwrap();
    assert_eq!((values(&x), values(&y)), (values(&x2), values(&y2)));
}

#[test]
fn bad_input_is_named() {
    let x = var(&[1.0]);
    let mut optimizer = AdamW::new(CONFIG);
    optimizer.add("x", &x, 1.0, true, None).unwrap();
    let message = |result: Result<()>| result.unwrap_err().to_string();
    assert!(message(optimizer.add("x", &x, 1.0, true, None)).contains("new name"));
    assert!(message(optimizer.add("y", &x, 1.0, true, Some((1.0, 0.0)))).contains("low ≤ high"));
    assert!(message(optimizer.set_moments("z", Moments::default())).contains('z'));
    assert!(message(optimizer.set_moments("x", Moments::default())).contains("1 values"));
}

#[test]
fn a_gradient_that_is_no_number_shows_in_the_parameters() {
    let (x, y) = (var(&[f32::INFINITY, 1.0]), var(&[1.0]));
    let mut optimizer = AdamW::new(CONFIG);
    optimizer.add("x", &x, 1.0, true, None).unwrap();
    optimizer.add("y", &y, 1.0, true, Some((0.0, 2.0))).unwrap();
    let norm = optimizer.step(&gradients(&x, &y), 0.1).unwrap();
    assert!(!norm.value().unwrap().is_finite());
    assert!(values(&x).iter().chain(&values(&y)).all(|x| x.is_nan()));
}
