use super::*;
use crate::tensor::encoder::specs;
use farspan_attention::Device;
use farspan_attention::attend::Params;
use farspan_attention::plan::{Geometry, Init};

const MODEL: Geometry = Geometry {
    layers: 1,
    width: 8,
    heads: 2,
    kv_heads: 2,
    head_dim: 4,
    trained_length: 40,
};

/// Numbers that look like chance.
fn chance(seed: u64) -> impl FnMut() -> f64 {
    let mut state = seed;
    move || {
        state = state
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (state >> 11) as f64 / (1u64 << 53) as f64
    }
}

fn losses(contrastive: f64, transfer: f64) -> DigitLosses {
    DigitLosses {
        digits: 4,
        blocks: 1,
        contrastive,
        transfer,
        positions: 2000,
        trained: 40,
    }
}

fn params() -> Params {
    let mut draw = chance(5);
    let specs = specs(4, 1, MODEL.width).into_iter();
    specs
        .map(|spec| {
            let n: usize = spec.shape.iter().product();
            let shift = match spec.init {
                Init::Constant(x) => x,
                _ => 0.0,
            };
            let values: Vec<f32> = (0..n)
                .map(|_| (shift + 1.5 * (draw() - 0.5)) as f32)
                .collect();
            (
                spec.name,
                Tensor::from_vec(values, spec.shape, &Device::cpu()).unwrap(),
            )
        })
        .collect()
}

fn learned<'a>(params: &'a Params, device: &'a Device) -> Learned<'a> {
    Learned {
        params,
        geometry: &MODEL,
        device,
    }
}

/// Encodings in f64, one row per position.
fn encodings(learned: &Learned<'_>, at: &[usize]) -> Vec<Vec<f64>> {
    let encoded = losses(1.0, 1.0).encode(learned, at).unwrap();
    let flat = encoded.to_flat::<f32>().unwrap();
    let rows = flat.chunks(MODEL.width);
    rows.map(|row| row.iter().map(|x| f64::from(*x)).collect())
        .collect()
}

fn product(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

fn log_softmax(x: &[f64]) -> Vec<f64> {
    let sum: f64 = x.iter().map(|x| x.exp()).sum();
    x.iter().map(|x| x - sum.ln()).collect()
}

fn number(loss: Tensor) -> f64 {
    f64::from(loss.to_scalar::<f32>().unwrap())
}

#[test]
fn the_contrastive_loss_is_the_cross_entropy_of_the_nearest() {
    let (params, device) = (params(), Device::cpu());
    let learned = learned(&params, &device);
    let pivots = [100, 7];
    let others = [(vec![3, 90, 1500], 1), (vec![900, 40, 2], 2)];
    let mut expected = 0.0;
    for (pivot, (others, nearest)) in pivots.iter().zip(&others) {
        let own = &encodings(&learned, &[*pivot])[0];
        let products: Vec<f64> = encodings(&learned, others)
            .iter()
            .map(|other| product(own, other))
            .collect();
        expected -= log_softmax(&products)[*nearest] / 2.0;
    }
    let found = number(
        losses(1.0, 0.0)
            .contrast(&learned, &pivots, &others)
            .unwrap(),
    );
    assert!((found - expected).abs() < 1e-5, "{found} {expected}");
    assert!(expected > 0.1);
}

#[test]
fn the_transfer_is_both_divergences_head_by_head_and_moves_the_far_side_alone() {
    let (params, device) = (params(), Device::cpu());
    let learned = learned(&params, &device);
    let (shifts, places) = ([50, 1200], [vec![0, 3, 17], vec![5, 4, 39]]);
    let mut expected = 0.0;
    for (shift, places) in shifts.iter().zip(&places) {
        let moved: Vec<usize> = places.iter().map(|t| t + shift).collect();
        let (near, far) = (encodings(&learned, places), encodings(&learned, &moved));
        for head in 0..2 {
            let part = |x: &Vec<f64>| x[4 * head..4 * (head + 1)].to_vec();
            let row = |all: &[Vec<f64>], i: usize| {
                let products: Vec<f64> = all
                    .iter()
                    .map(|x| product(&part(&all[i]), &part(x)))
                    .collect();
                log_softmax(&products)
            };
            for i in 0..3 {
                let (p, q) = (row(&near, i), row(&far, i));
                expected += p
                    .iter()
                    .zip(&q)
                    .map(|(p, q)| (p.exp() - q.exp()) * (p - q))
                    .sum::<f64>();
            }
        }
    }
    // F.kl_div with its default reduction divides by 2 pairs · 2 heads · 3 rows · 3 columns.
    expected /= 36.0;
    let found = number(
        losses(0.0, 1.0)
            .transferred(&learned, &shifts, &places)
            .unwrap(),
    );
    assert!(
        (found - expected).abs() < 1e-5 * (1.0 + expected),
        "{found} {expected}"
    );
    assert!(expected > 1e-4);
}

#[test]
fn others_are_different_positions_below_the_limit_and_the_nearest_is_told() {
    let losses = losses(1.0, 0.0);
    let mut draw = chance(9);
    let (mut close, mut edited) = (0, 0);
    for n in 0..400 {
        let pivot = (n * 37) % 2000;
        let (others, nearest) = losses.others(pivot, &mut draw);
        let different: HashSet<_> = others.iter().collect();
        assert_eq!((others.len(), different.len()), (OTHERS, OTHERS));
        assert!(others.iter().all(|&x| x < 2000 && x != pivot));
        let least = others.iter().map(|x| x.abs_diff(pivot)).min().unwrap();
        assert_eq!(others[nearest].abs_diff(pivot), least);
        let span = others.iter().max().unwrap() - others.iter().min().unwrap();
        close += usize::from(span < NEIGHBOURS);
        edited += losses.edits(pivot, 20, &mut draw).len();
    }
    // Six of ten are drawn from neighbours: 240 of 400, four standard errors are 39.
    assert!((200..280).contains(&close), "{close}");
    assert!(edited > 1000, "{edited}");
}

#[test]
fn weights_multiply_the_losses_and_chance_repeats_them() {
    let (params, device) = (params(), Device::cpu());
    let learned = learned(&params, &device);
    let of = |contrastive, transfer| {
        number(
            losses(contrastive, transfer)
                .loss(&learned, &mut chance(3))
                .unwrap(),
        )
    };
    let (first, both) = (of(1.0, 0.0), of(1.0, 2.0));
    assert_eq!(of(1.0, 0.0), first);
    assert!((of(0.1, 0.0) - 0.1 * first).abs() < 1e-6);
    assert!(both > first);
}
