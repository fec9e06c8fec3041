//! Each operation in f32 against the composition of the same name in f64, values and gradients.

use super::*;
use crate::residual::Residual;
use crate::{DType, Device, Result, Tensor, Var};

/// Values in (−1, 1) from a linear congruential generator.
fn noise(seed: u64, n: usize) -> Vec<f64> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f64 / (1u64 << 23) as f64 - 1.0
    };
    (0..n).map(|_| next()).collect()
}

fn input(seed: u64, dims: &[usize], dtype: DType) -> Var {
    let values: Vec<f64> = noise(seed, dims.iter().product());
    let values: Vec<f64> = values.iter().map(|x| f64::from(*x as f32)).collect();
    let tensor = Tensor::from_vec(values, dims, &Device::cpu()).unwrap();
    Var::new(Tensor::from_candle(
        tensor.as_candle().unwrap().to_dtype(dtype).unwrap(),
    ))
    .unwrap()
}

fn flat(tensor: &Tensor) -> Vec<f64> {
    let wide = tensor.as_candle().unwrap().to_dtype(DType::F64).unwrap();
    Tensor::from_candle(wide).to_flat().unwrap()
}

/// Compares `f` over inputs of the given shapes. Both sides see the same upstream gradient.
pub(super) fn check(name: &str, dims: &[&[usize]], f: impl Fn(&[&Tensor]) -> Tensor) {
    let run = |dtype| {
        let vars: Vec<Var> = (0..dims.len())
            .map(|i| input(i as u64 + 1, dims[i], dtype))
            .collect();
        let y = f(&vars.iter().map(Var::tensor).collect::<Vec<_>>());
        let upstream = input(99, y.dims(), dtype).tensor().detach();
        let gradients = y
            .mul(&upstream)
            .unwrap()
            .sum_all()
            .unwrap()
            .backward()
            .unwrap();
        let mut all = vec![flat(&y)];
        all.extend(vars.iter().map(|var| flat(&gradients.get(var).unwrap())));
        all
    };
    for (part, (found, exact)) in run(DType::F32).iter().zip(run(DType::F64)).enumerate() {
        assert_eq!(found.len(), exact.len());
        let size = exact.iter().fold(1e-3f64, |a, b| a.max(b.abs()));
        for (x, y) in found.iter().zip(&exact) {
            // Sums of at most a few hundred f32 products.
            assert!(
                (x - y).abs() < 2e-6 * size,
                "{name} {dims:?}, part {part}: {x}, expected {y}"
            );
        }
    }
}

#[test]
fn rms_norm_equals_its_composition() {
    // At width 1 the gradient is a difference of equal numbers, where relative errors say nothing.
    for width in [2, 7, 16, 64, 100] {
        for rows in [1, 3, 130] {
            check("rms_norm", &[&[rows, width], &[width]], |x| {
                rms_norm(x[0], x[1], 1e-5).unwrap()
            });
        }
    }
}

#[test]
fn layer_norm_equals_its_composition() {
    // At width 2 rows become (1, −1) whatever they were, and the gradient is a difference of equal numbers.
    for width in [3, 7, 16, 64, 100] {
        for rows in [1, 3, 130] {
            check("layer_norm", &[&[rows, width], &[width], &[width]], |x| {
                layer_norm(x[0], x[1], x[2], 1e-3).unwrap()
            });
        }
    }
}

#[test]
fn layer_norm_keeps_its_precision_beside_a_large_mean() {
    // In f32 the squares of these are rounded to multiples of 32; the spread is 1.
    let row: Vec<f32> = (0..70).map(|i| 16_384.0 + (i % 2) as f32).collect();
    let x = Tensor::from_vec(row, (1, 70), &Device::cpu()).unwrap();
    let (one, zero) = (
        Tensor::ones(70, &Device::cpu()),
        Tensor::zeros(70, &Device::cpu()),
    );
    let y = layer_norm(&x, &one.unwrap(), &zero.unwrap(), 0.0).unwrap();
    for (i, y) in flat(&y).into_iter().enumerate() {
        let expected = if i % 2 == 0 { -1.0 } else { 1.0 };
        assert!((y - expected).abs() < 1e-2, "{i}: {y}");
    }
}

#[test]
fn gelu_equals_its_composition() {
    for form in [Gelu::Exact, Gelu::Tanh] {
        for dims in [[1, 9], [3, 7], [130, 300]] {
            // The inputs are in (−1, 1): stretched, they reach both tails.
            check("gelu", &[&dims], |x| {
                gelu(&x[0].affine(6.0, 0.0).unwrap(), form).unwrap()
            });
        }
    }
}

#[test]
fn gelu_keeps_its_relative_precision_in_the_tail() {
    let x: Vec<f32> = (0..70).map(|i| -0.07 * i as f32).collect();
    for form in [Gelu::Exact, Gelu::Tanh] {
        let narrow = Tensor::from_vec(x.clone(), 70, &Device::cpu()).unwrap();
        let wide = narrow.to_dtype(DType::F64).unwrap();
        let [found, exact] = [narrow, wide].map(|x| flat(&gelu(&x, form).unwrap()));
        for (i, (y, exact)) in found.iter().zip(exact).enumerate() {
            // The exponent reaches 12 here: its last bit is worth 1e-6.
            let error = (y - exact).abs();
            assert!(error <= 5e-6 * exact.abs(), "{form:?} {i}: {y}, {exact}");
        }
    }
}

#[test]
fn gelu_is_defined_far_out() {
    for form in [Gelu::Exact, Gelu::Tanh] {
        let x = Tensor::from_vec(vec![-1e30f32, -40.0, 0.0, 40.0, 1e30], 5, &Device::cpu());
        let x = Var::new(x.unwrap()).unwrap();
        let y = gelu(x.tensor(), form).unwrap();
        assert_eq!(flat(&y), [0.0, 0.0, 0.0, 40.0, f64::from(1e30f32)]);
        let slopes = flat(&y.backward().unwrap().get(&x).unwrap());
        assert_eq!(slopes, [0.0, 0.0, 0.5, 1.0, 1.0]);
        let nan = Tensor::from_vec(vec![f32::NAN], 1, &Device::cpu()).unwrap();
        assert!(flat(&gelu(&nan, form).unwrap())[0].is_nan());
    }
}

#[test]
fn swiglu_equals_its_composition() {
    for hidden in [1, 5, 32, 172] {
        check("swiglu", &[&[2, 70, 2 * hidden]], |x| swiglu(x[0]).unwrap());
    }
}

#[test]
fn linear_add_equals_its_composition() {
    for (rows, inner, out) in [(1, 1, 1), (130, 20, 7)] {
        let shapes: [&[usize]; 3] = [&[2, rows, out], &[2, rows, inner], &[out, inner]];
        check("linear_add", &shapes, |x| {
            linear_add(x[0], x[1], x[2]).unwrap()
        });
    }
}

#[test]
fn norm_linear_equals_its_composition() {
    // 1100 rows are three jobs, the last one short.
    for (rows, width, out) in [(1, 2, 1), (33, 20, 7), (1100, 16, 24)] {
        let shapes: [&[usize]; 3] = [&[rows, width], &[width], &[out, width]];
        check("norm_linear", &shapes, |x| {
            norm_linear(x[0], x[1], x[2], 1e-5).unwrap()
        });
    }
}

fn feed_forward(x: &Tensor, weights: [&Tensor; 3]) -> Result<Tensor> {
    feed_forwards(x, weights, 1)
}

/// The same half `times` times, one after another.
fn feed_forwards(x: &Tensor, [norm, gate_up, down]: [&Tensor; 3], times: usize) -> Result<Tensor> {
    let mut stream = Residual::new(x.clone());
    for _ in 0..times {
        stream.feed_forward(&FeedForward {
            norm,
            gate_up,
            down,
            eps: 1e-5,
        })?;
    }
    stream.rows()
}

#[test]
fn feed_forward_equals_its_composition() {
    // 1100 rows are three jobs, the last one short.
    for (rows, width, hidden) in [(1, 2, 1), (33, 20, 7), (1100, 16, 24)] {
        let shapes: [&[usize]; 4] = [
            &[rows, width],
            &[width],
            &[2 * hidden, width],
            &[width, hidden],
        ];
        check("feed_forward", &shapes, |x| {
            let [x, norm, gate_up, down] = x[..] else {
                panic!("four inputs")
            };
            feed_forward(x, [norm, gate_up, down]).unwrap()
        });
    }
}

#[test]
fn embed_equals_its_composition() {
    let ids = [3, 0, 3, 6, 1, 3];
    check("embed", &[&[7, 5]], |x| embed(x[0], &ids, &[2, 3]).unwrap());
}

#[test]
fn linear_equals_its_composition() {
    for (rows, inner, out) in [(1, 1, 1), (33, 64, 192), (130, 20, 7), (5, 300, 2)] {
        check("linear", &[&[rows, inner], &[out, inner]], |x| {
            linear(x[0], x[1]).unwrap()
        });
        check("linear", &[&[2, rows, inner], &[out, inner]], |x| {
            linear(x[0], x[1]).unwrap()
        });
    }
}

#[test]
fn cross_entropy_equals_its_composition() {
    for (tokens, width, vocab) in [(1, 4, 1), (9, 8, 11), (700, 16, 257), (40, 6, 9000)] {
        let targets: Vec<u32> = (0..tokens as u32)
            .map(|i| (i * 7919) % vocab as u32)
            .collect();
        let even = vec![1.0; tokens];
        let sparse: Vec<f32> = (0..tokens)
            .map(|i| if i % 5 == 0 { 0.5 + i as f32 } else { 0.0 })
            .collect();
        for weights in [even, sparse] {
            check("cross_entropy", &[&[tokens, width], &[vocab, width]], |x| {
                cross_entropy(x[0], x[1], &targets, &weights).unwrap()
            });
        }
    }
}

#[test]
fn a_second_backward_pass_gives_the_same() {
    let (h, w) = (input(1, &[6, 4], DType::F32), input(2, &[5, 4], DType::F32));
    let loss = cross_entropy(h.tensor(), w.tensor(), &[0, 1, 2, 3, 4, 0], &[1.0; 6]).unwrap();
    let gradient = || flat(&loss.backward().unwrap().get(&h).unwrap());
    assert_eq!(gradient(), gradient());
}

#[test]
fn token_scores_agree_with_the_loss() {
    let (h, w) = (
        input(1, &[600, 8], DType::F32),
        input(2, &[300, 8], DType::F32),
    );
    let targets: Vec<u32> = (0..600).map(|i| i * 31 % 300).collect();
    let scores = token_scores(h.tensor(), w.tensor(), &targets).unwrap();
    let mean = scores.iter().map(|s| f64::from(s.nll)).sum::<f64>() / 600.0;
    let loss = cross_entropy(h.tensor(), w.tensor(), &targets, &[1.0; 600]).unwrap();
    assert!((mean - f64::from(loss.to_scalar::<f32>().unwrap())).abs() < 1e-6);
    let logits = h
        .tensor()
        .matmul(&w.tensor().transpose(0, 1).unwrap())
        .unwrap();
    let best = logits.argmax(1).unwrap().to_vec1::<u32>().unwrap();
    assert_eq!(scores.iter().map(|s| s.argmax).collect::<Vec<_>>(), best);
}

#[test]
fn odd_logits_have_a_defined_score() {
    let score = |logits: &[f32], target: u32| {
        let head = Tensor::from_vec(logits.to_vec(), (logits.len(), 1), &Device::cpu()).unwrap();
        let one = Tensor::ones((1, 1), &Device::cpu()).unwrap();
        token_scores(&one, &head, &[target]).unwrap()[0]
    };
    let tie = score(&[1.0, 3.0, 3.0], 0);
    assert_eq!(tie.argmax, 1);
    assert!((f64::from(tie.nll) - (1.0 + 2.0 * 2f64.exp()).ln()).abs() < 1e-6);
    assert!(score(&[1.0, f32::NAN, 3.0], 0).nll.is_nan());
    assert!(score(&[f32::NAN; 20], 19).nll.is_nan());
    assert!((score(&[-1e30, 0.0], 1).nll).abs() < 1e-6);
}

#[test]
fn tokens_of_weight_zero_take_part_in_nothing() {
    let mut values = vec![0.25f32; 8];
    values[4..].fill(f32::NAN);
    let h = Var::new(Tensor::from_vec(values, (2, 4), &Device::cpu()).unwrap()).unwrap();
    let w = input(2, &[5, 4], DType::F32);
    let loss = cross_entropy(h.tensor(), w.tensor(), &[1, 77], &[2.0, 0.0]).unwrap();
    assert!(loss.to_scalar::<f32>().unwrap().is_finite());
    let gradients = loss.backward().unwrap();
    assert_eq!(flat(&gradients.get(&h).unwrap())[4..], [0.0; 4]);
    assert!(
        flat(&gradients.get(&w).unwrap())
            .iter()
            .all(|x| x.is_finite())
    );
}

#[test]
fn bad_input_is_named() {
    let (h, w) = (input(1, &[2, 4], DType::F32), input(2, &[5, 4], DType::F32));
    let (h, w) = (h.tensor(), w.tensor());
    let says = |result: Result<Tensor>, text: &str| {
        let message = result.unwrap_err().to_string();
        assert!(message.contains(text), "{message}");
    };
    says(rms_norm(h, w, 1e-5), "(4)");
    let four = h.narrow(0, 0, 1).unwrap().reshape(4).unwrap();
    says(layer_norm(h, w, &four, 1e-5), "layer_norm, weight");
    says(layer_norm(h, &four, w, 1e-5), "layer_norm, bias");
    says(linear_add(h, h, w), "linear_add, x");
    says(
        norm_linear(h, &four, h, 1e-5).and(norm_linear(h, w, w, 1e-5)),
        "norm_linear, norm",
    );
    says(feed_forward(h, [&four, w, h]), "feed_forward, gate_up");
    says(swiglu(&h.narrow(1, 0, 3).unwrap()), "2 · hidden");
    says(embed(w, &[5], &[1]), "vocabulary size 5");
    says(embed(w, &[1], &[2]), "1 elements");
    says(linear(&h.narrow(1, 0, 3).unwrap(), w), "(…, 4)");
    says(cross_entropy(h, w, &[0], &[1.0, 1.0]), "(2), one per token");
    says(
        cross_entropy(h, w, &[0, 5], &[1.0, 1.0]),
        "vocabulary size 5",
    );
    says(cross_entropy(h, w, &[0, 1], &[0.0, 0.0]), "positive");
    says(cross_entropy(h, w, &[0, 1], &[f32::NAN, 1.0]), "positive");
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        pool.install(|| {
            let x = input(1, &[520, 96], DType::F32);
            let (norm, up) = (
                input(2, &[96], DType::F32),
                input(3, &[256, 96], DType::F32),
            );
            let (down, head) = (
                input(4, &[96, 128], DType::F32),
                input(5, &[300, 96], DType::F32),
            );
            let h = rms_norm(x.tensor(), norm.tensor(), 1e-5).unwrap();
            let (n, u, d) = (norm.tensor(), up.tensor(), down.tensor());
            let h = feed_forward(&h, [n, u, d]).unwrap();
            let h = swiglu(&linear(&h, up.tensor()).unwrap()).unwrap();
            let h = linear(&h, down.tensor()).unwrap();
            let targets: Vec<u32> = (0..520).map(|i| i % 300).collect();
            let loss = cross_entropy(&h, head.tensor(), &targets, &[1.0; 520]).unwrap();
            let gradients = loss.backward().unwrap();
            [x, norm, up, down, head]
                .map(|var| gradients.get(&var).unwrap().to_flat::<f32>().unwrap())
        })
    };
    assert!(run(1) == run(2) && run(1) == run(3));
}

/// Gradients of a variable that several operations read, of this crate and of candle, and through a chain of parts.
#[test]
fn gradients_of_one_variable_add_up() {
    let f64_of = |x: &Var| x.tensor().to_dtype(DType::F64).unwrap();
    let (table, up) = (input(1, &[6, 4], DType::F32), input(2, &[6, 4], DType::F32));
    let (norm, down) = (input(3, &[4], DType::F32), input(4, &[4, 3], DType::F32));
    let ids = [0, 5, 2, 2];
    let targets = [1, 0, 4, 3];
    // The table is read by embed, by candle's product, by the loss; the rest by parts, two of them in one chain.
    let loss = |[t, n, u, d]: [&Tensor; 4]| {
        let x = embed(t, &ids, &[4]).unwrap();
        let x = x.add(&t.narrow(0, 1, 4).unwrap()).unwrap();
        let x = feed_forwards(&x, [n, u, d], 2).unwrap();
        let x = feed_forward(&x, [n, u, d]).unwrap();
        cross_entropy(&x, t, &targets, &[1.0; 4]).unwrap()
    };
    let vars = [&table, &norm, &up, &down];
    let found = loss(vars.map(Var::tensor)).backward().unwrap();
    let doubles = vars.map(|var| Var::new(f64_of(var)).unwrap());
    let expected = loss(doubles.each_ref().map(Var::tensor))
        .backward()
        .unwrap();
    for (var, double) in vars.into_iter().zip(&doubles) {
        let found = flat(&found.get(var).unwrap());
        let expected = flat(&expected.get(double).unwrap());
        assert_eq!(found.len(), expected.len());
        for (x, y) in found.iter().zip(&expected) {
            assert!((x - y).abs() < 1e-5, "{x}, {y}");
        }
    }
}
