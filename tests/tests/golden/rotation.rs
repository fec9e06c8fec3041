//! Rotated vectors and the attention weights that follow.

use super::{close, golden, list, model, numbers, plan, size};
use farspan_attention::attend::{Implementation, Mask, Params, attend};
use farspan_attention::plan::Plan;
use farspan_attention::prepared::Prepared;
use farspan_attention::{Device, Tensor, scalar};
use serde_json::{Value, json};

fn rows(value: &Value) -> Vec<Vec<f64>> {
    list(value).iter().map(numbers).collect()
}

fn turned(plan: &Plan, x: &[f64], position: usize) -> Vec<f64> {
    let matrix = scalar::rotation_matrix(plan, 0, 0, position, position + 1, x.len()).unwrap();
    matrix
        .chunks(x.len())
        .map(|row| row.iter().zip(x).map(|(m, x)| m * x).sum())
        .collect()
}

#[test]
fn rotations_of_both_layouts() {
    let file = golden("rotary/rope_apply");
    let positions: Vec<usize> = list(&file["positions"]).iter().map(size).collect();
    for (layout, pairing) in [("half_split", "half-split"), ("interleaved", "interleaved")] {
        let settings = json!({ "base": file["rope_theta"], "pairing": pairing });
        let plan = plan("rope", settings, &model(size(&file["head_dim"]), 128), 128);
        let expected = &file[layout];
        for head in 0..2 {
            let at = |side: &str| rows(&file[side][head]);
            let (q, k) = (at("q"), at("k"));
            for (i, &position) in positions.iter().enumerate() {
                // Recorded in f32, at angles up to 100 radians.
                let atol = 100.0 * 2f64.powi(-23) * 4.0;
                let out = |side: &str| numbers(&expected[side][head][i]);
                close(
                    "q",
                    &turned(&plan, &q[i], position),
                    &out("q_out"),
                    0.0,
                    atol,
                );
                close(
                    "k",
                    &turned(&plan, &k[i], position),
                    &out("k_out"),
                    0.0,
                    atol,
                );
            }
            weights_follow(
                &plan,
                &q,
                &k,
                &positions,
                &rows(&expected["logits_unscaled"][head]),
            );
        }
    }
}

/// Attention itself gives the weights that the recorded raw scores mean. The positions between the recorded ones hold
/// zero keys, whose scores are 0; values are unit vectors, so that outputs are weights.
fn weights_follow(
    plan: &Plan,
    q: &[Vec<f64>],
    k: &[Vec<f64>],
    positions: &[usize],
    logits: &[Vec<f64>],
) {
    let (dim, count) = (q[0].len(), positions.len());
    let length = positions[count - 1] + 1;
    let spread = |rows: &[Vec<f64>]| {
        let mut all = vec![0.0; length * dim];
        for (row, &position) in rows.iter().zip(positions) {
            all[position * dim..][..dim].copy_from_slice(row);
        }
        Tensor::from_vec(all, (1, 1, length, dim), &Device::cpu()).unwrap()
    };
    let unit = |i: usize| (0..dim).map(|c| f64::from(u8::from(c == i))).collect();
    let v = spread(&(0..count).map(unit).collect::<Vec<Vec<f64>>>());
    let model = model(dim, length);
    let prepared = Prepared::new(plan, &model, 0..length, 0..length, &Device::cpu()).unwrap();
    for which in [Implementation::Naive, Implementation::Composed] {
        let (q, k) = (spread(q), spread(k));
        let output = attend(
            &q,
            &k,
            &v,
            &prepared,
            &Params::new(),
            &Mask::default(),
            which,
        )
        .unwrap()
        .output;
        let output: Vec<f64> = output.to_flat().unwrap();
        for (i, &position) in positions.iter().enumerate() {
            let scaled = logits[i].iter().map(|x| (x / (dim as f64).sqrt()).exp());
            let exponentials: Vec<f64> = scaled.collect();
            let total = exponentials.iter().sum::<f64>() + (length - count) as f64;
            let expected: Vec<f64> = exponentials.iter().map(|x| x / total).collect();
            let found = &output[position * dim..][..count];
            close(&format!("{which} weights"), found, &expected, 0.0, 1e-5);
        }
    }
}
