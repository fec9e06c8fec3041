//! Documents of packed windows.

use super::{TRAINED, drawn, furthest, logits, random, scheme};
use farspan_acceptance::parity::{VOCAB, plans, schemes, shape};
use farspan_attention::Gradients;
use farspan_datasets::{Batch, Documents};
use farspan_pe::{AnyScheme, Len};
use serde_json::json;
use std::sync::Arc;

/// Two windows of 29 tokens with two and three documents.
fn packed(restart: bool) -> Batch {
    Batch {
        documents: Some(Documents {
            starts: vec![vec![0, 11], vec![0, 4, 20]],
            restart,
        }),
        ..random(1, 2, 29)
    }
}

/// The documents as windows of their own.
fn alone(batch: &Batch) -> Vec<Batch> {
    let mut found = Vec::new();
    for (row, starts) in batch.documents.as_ref().unwrap().starts.iter().enumerate() {
        let ends = starts.iter().skip(1).copied().chain([batch.len]);
        for (start, end) in starts.iter().copied().zip(ends) {
            let range = row * batch.len + start..row * batch.len + end;
            found.push(Batch {
                tokens: batch.tokens[range.clone()].to_vec(),
                targets: batch.targets[range.clone()].to_vec(),
                weights: batch.weights[range].to_vec(),
                positions: None,
                documents: None,
                rows: 1,
                len: end - start,
            });
        }
    }
    found
}

#[test]
fn documents_that_restart_are_to_every_scheme_as_if_read_alone_gradients_included() {
    let batch = packed(true);
    let documents = alone(&batch);
    let total = batch.tokens.len() as f64;
    for (id, own) in schemes() {
        let own: Arc<dyn AnyScheme> = Arc::from(own);
        // These tokens are of no task.
        if own.card().task_ids {
            continue;
        }
        let geometry = shape(2, [4, 2, 16], TRAINED).geometry;
        if plans(id, own.as_ref(), &geometry, TRAINED).is_none_or(|(_, length)| length < TRAINED) {
            continue;
        }
        let model = drawn(&own);
        let ready = |len| model.prepare(Len(29), len).expect(id);
        let whole = logits(&model, &batch, &ready(29));
        let apart: Vec<f32> = documents
            .iter()
            .flat_map(|document| logits(&model, document, &ready(document.len)))
            .collect();
        let size = apart.iter().fold(0f32, |m, x| m.max(x.abs()));
        let far = furthest(&whole, &apart);
        // Products in blocks of other sizes round otherwise.
        assert!(far <= 2e-5 * size, "{id}: {far} of {size}");

        let gradients = model
            .backward(&batch, &ready(29))
            .expect(id)
            .gradients
            .expect(id);
        let parts: Vec<_> = documents
            .iter()
            .map(|d| {
                (
                    d.len as f64 / total,
                    model
                        .backward(d, &ready(d.len))
                        .expect(id)
                        .gradients
                        .expect(id),
                )
            })
            .collect();
        let (mut apart, mut norm) = (0.0, 0.0);
        for weight in model.weights().values() {
            let flat = |gradients: &Gradients| -> Option<Vec<f32>> {
                gradients
                    .get(&weight.var)
                    .map(|g| g.to_flat().expect("numbers"))
            };
            let Some(ours) = flat(&gradients) else {
                continue;
            };
            let mut sum = vec![0f64; ours.len()];
            for (share, part) in &parts {
                for (sum, x) in sum.iter_mut().zip(flat(part).unwrap_or_default()) {
                    *sum += share * f64::from(x);
                }
            }
            for (x, y) in ours.iter().zip(&sum) {
                apart += (f64::from(*x) - y).powi(2);
                norm += y * y;
            }
        }
        assert!(
            norm > 0.0 && apart.sqrt() <= 1e-4 * norm.sqrt(),
            "{id}: {apart} of {norm}"
        );
    }
}

#[test]
fn hidden_documents_say_nothing_to_the_next_under_any_scheme() {
    let batch = packed(false);
    let mut other = batch.clone();
    for t in (0..11).chain(29..33) {
        // Full stops, the multiples of 7, stay: positions run on behind them.
        let id = other.tokens[t];
        let near = [id + 1, id - u32::from(id > 0)];
        let plain = |id: &u32| !id.is_multiple_of(7) && (*id as usize) < VOCAB;
        let new = near.into_iter().find(plain).filter(|_| plain(&id));
        other.tokens[t] = new.unwrap_or(id);
    }
    for (id, own) in schemes() {
        let own: Arc<dyn AnyScheme> = Arc::from(own);
        // These tokens are of no task.
        if own.card().task_ids {
            continue;
        }
        let geometry = shape(2, [4, 2, 16], TRAINED).geometry;
        if plans(id, own.as_ref(), &geometry, TRAINED).is_none_or(|(_, length)| length < TRAINED) {
            continue;
        }
        let model = drawn(&own);
        let ready = model.prepare(Len(29), 29).expect(id);
        let (here, there) = (
            logits(&model, &batch, &ready),
            logits(&model, &other, &ready),
        );
        for (tokens, same) in [
            (0..11, false),
            (11..29, true),
            (29..33, false),
            (33..58, true),
        ] {
            let range = tokens.start * VOCAB..tokens.end * VOCAB;
            assert_eq!(
                here[range.clone()] == there[range],
                same,
                "{id}: {tokens:?}"
            );
        }
    }
}

#[test]
fn positions_run_on_where_documents_only_hide_each_other() {
    let far = |id: &str| {
        let model = drawn(&scheme(id, json!({})));
        let ready = model.prepare(Len(29), 29).expect(id);
        let [hidden, restarted] =
            [false, true].map(|restart| logits(&model, &packed(restart), &ready));
        furthest(&hidden, &restarted)
    };
    // Distances are the same, places are not.
    for id in ["rope", "alibi"] {
        assert!(far(id) < 1e-5, "{id}");
    }
    for id in ["learned", "sinusoidal"] {
        assert!(far(id) > 1e-2, "{id}");
    }
}
