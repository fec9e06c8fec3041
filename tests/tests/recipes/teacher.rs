//! What a teacher adds to the loss.

use super::{drawn, logits, random, scheme};
use farspan::cell::CellTeacher;
use farspan::model::{Aims, Decoder, PreparedPlans};
use farspan::scheme::Positional;
use farspan::teacher::Teacher;
use farspan_acceptance::parity::VOCAB;
use farspan_attention::{Device, Tensor};
use farspan_datasets::Batch;
use farspan_pe::Len;
use serde_json::json;

fn asked(weight: f64, text: f64, temperature: f64, tokens: Option<usize>) -> CellTeacher {
    CellTeacher {
        checkpoint: None,
        scheme: Positional::none(),
        weight,
        text,
        temperature,
        tokens,
    }
}

/// A drawn model whose logits are far from each other.
fn sharp(id: &str, scale: f32) -> Decoder {
    let model = drawn(&scheme(id, json!({})));
    let var = &model.weights()["model.norm.weight"].var;
    let wide = Tensor::from_vec(vec![scale; 64], 64, &Device::cpu()).expect("a tensor");
    var.set(&wide).expect("set");
    model
}

fn normal(row: &[f32], temperature: f64) -> Vec<f64> {
    let scaled: Vec<f64> = row.iter().map(|x| f64::from(*x) / temperature).collect();
    let sum: f64 = scaled.iter().map(|x| x.exp()).sum();
    scaled.iter().map(|x| x - sum.ln()).collect()
}

#[test]
fn what_a_teacher_adds_is_the_divergence_in_f64() {
    let (student, teacher) = (sharp("rope", 20.0), sharp("learned", -10.0));
    let mut batch = random(5, 2, 24);
    // Some tokens are not scored.
    (0..48).step_by(5).for_each(|t| batch.weights[t] = 0.0);
    let ready = student.prepare(Len(24), 24).expect("plans");
    let ours = logits(&student, &batch, &ready);
    let theirs = logits(
        &teacher,
        &batch,
        &teacher.prepare(Len(24), 24).expect("plans"),
    );
    let text = student.backward(&batch, &ready).expect("a loss").loss;
    for (weight, of_text, temperature, tokens) in [
        (0.7, 0.3, 2.0, None),
        (1.0, 0.0, 1.0, None),
        (0.4, 1.0, 1.0, Some(10)),
        (0.4, 1.0, 1.0, Some(99)),
    ] {
        let (mut sum, mut count) = (0.0, 0.0);
        for t in 0..48 {
            let counts = match tokens {
                Some(tokens) => t % 24 < tokens,
                None => batch.weights[t] > 0.0,
            };
            if !counts {
                continue;
            }
            let row = |all: &[f32]| normal(&all[t * VOCAB..(t + 1) * VOCAB], temperature);
            let (p, q) = (row(&theirs), row(&ours));
            sum += p
                .iter()
                .zip(&q)
                .map(|(p, q)| p.exp() * (p - q))
                .sum::<f64>();
            count += 1.0;
        }
        let divergence = sum / count;
        assert!(divergence > 1e-3);
        let expected = of_text * text + weight * temperature * temperature * divergence;
        // The teacher keeps its weights, so it can be asked again and again.
        let model = sharp("learned", -10.0);
        let mut teacher = Teacher::new(model, asked(weight, of_text, temperature, tokens));
        let aims = teacher.aims(&batch).expect("aims");
        let found = student.backward_to(&batch, &ready, &aims).expect("a loss");
        let off = (found.loss - expected).abs();
        assert!(off < 1e-5, "{weight} {tokens:?}: {} {expected}", found.loss);
        // Held in memory or made again, the loss is the same, and so are its gradients.
        let again = sharp("rope", 20.0).recomputing(true);
        let second = again.backward_to(&batch, &ready, &aims).expect("a loss");
        assert!((second.loss - found.loss).abs() < 1e-6);
        slope(&student, &batch, &ready, &aims);
    }
}

/// The gradient of one weight against a difference of losses.
fn slope(model: &Decoder, batch: &Batch, ready: &PreparedPlans, aims: &Aims) {
    let name = "model.norm.weight";
    let gradients = model
        .backward_to(batch, ready, aims)
        .expect("a loss")
        .gradients
        .expect("gradients");
    let var = &model.weights()[name].var;
    let gradient: Vec<f32> = gradients
        .get(var)
        .expect("a gradient")
        .to_flat()
        .expect("numbers");
    let value: Vec<f32> = var.tensor().to_flat().expect("numbers");
    let at = (0..gradient.len())
        .max_by(|&a, &b| gradient[a].abs().total_cmp(&gradient[b].abs()))
        .unwrap();
    let loss = |step: f32| {
        let mut moved = value.clone();
        moved[at] += step;
        let n = moved.len();
        var.set(&Tensor::from_vec(moved, n, &Device::cpu()).expect("a tensor"))
            .expect("set");
        model.backward_to(batch, ready, aims).expect("a loss").loss
    };
    let difference = (loss(1e-2) - loss(-1e-2)) / 2e-2;
    loss(0.0);
    let off = (difference - f64::from(gradient[at])).abs();
    assert!(
        off < 2e-2 * difference.abs() + 1e-5,
        "{difference} {}",
        gradient[at]
    );
}
