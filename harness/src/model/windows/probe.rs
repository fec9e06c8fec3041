//! What heads look at: the weights of one layer's attention over a window, as that attention itself has them.
//!
//! Whatever a scheme does to scores, the output of attention is linear in the values. With values that mark keys, 1 in one
//! channel for one key and 0 elsewhere, it is the weights of the marked keys: exact for every implementation and hook. Of a
//! scheme that mixes values of several tokens it is what each token's own value contributes.

use super::{Attending, Step, Sublayers, Windows};
use crate::model::forward::At;
use crate::model::{Decoder, Pass, PreparedPlans};
use crate::{Error, Result};
use farspan_attention::Tensor;
use farspan_attention::plan::{Geometry, Plan};
use farspan_datasets::Batch;

impl Decoder {
    /// Weights that the queries of a batch of one window give its keys in layer `layer`: (heads, tokens, tokens), row-major.
    pub(crate) fn attention_weights(
        &self,
        batch: &Batch,
        ready: &PreparedPlans,
        layer: usize,
    ) -> Result<Vec<f32>> {
        if batch.rows != 1 {
            let text = format!("weights of {} windows at once", batch.rows);
            return Err(Error::Bug(text));
        }
        let mut windows = Windows::new(self, batch, ready)?;
        let mut state = windows.start(Pass::Evaluate)?;
        for before in 0..layer {
            windows.step(&mut state, before, Pass::Evaluate)?;
        }
        let mut marked = Marked {
            step: Step {
                window_plans: &windows.window_plans,
                infused: windows.infused.as_ref(),
                carried: &mut state.carried,
                ran: "none",
            },
            geometry: &self.architecture.geometry,
            weights: Vec::new(),
        };
        self.forward(Pass::Evaluate)
            .layer(&mut state.stream, layer, &mut marked)?;
        Ok(marked.weights)
    }
}

/// A layer whose attention is asked again with values that mark keys.
struct Marked<'s> {
    step: Step<'s>,
    geometry: &'s Geometry,
    /// (heads, queries, keys)
    weights: Vec<f32>,
}

impl Marked<'_> {
    /// Packed queries and keys as they are, and values that mark keys from `first` on, one in each channel.
    fn marking(&self, qkv: &Tensor, first: usize) -> Result<Tensor> {
        let Geometry {
            heads,
            kv_heads,
            head_dim,
            ..
        } = *self.geometry;
        let tokens = qkv.dim(1)?;
        let mut values = vec![0f32; tokens * kv_heads * head_dim];
        for key in first..tokens.min(first + head_dim) {
            for head in 0..kv_heads {
                values[(key * kv_heads + head) * head_dim + key - first] = 1.0;
            }
        }
        let shape = (1, tokens, kv_heads * head_dim);
        let values = Tensor::from_vec(values, shape, &qkv.device())?.to_dtype(qkv.dtype())?;
        let rest = qkv.narrow(2, 0, (heads + kv_heads) * head_dim)?;
        Ok(Tensor::cat(&[&rest, &values], 2)?)
    }
}

impl Attending for Marked<'_> {
    fn plan(&self, layer: usize) -> &Plan {
        self.step.plan(layer)
    }

    fn infused(&self, layer: usize) -> Option<&Tensor> {
        self.step.infused(layer)
    }

    fn tokens(&self) -> usize {
        self.step.tokens()
    }

    fn feeds(&self, layer: usize) -> bool {
        self.step.feeds(layer)
    }

    fn feed(&mut self, added: &Tensor) -> Result<()> {
        self.step.feed(added)
    }

    /// The attention is asked apart from the projections.
    fn sublayers(&mut self) -> Option<&mut dyn Sublayers> {
        None
    }

    fn attend(&mut self, at: &At, qkv: &Tensor, input: &Tensor) -> Result<Tensor> {
        let (heads, dim) = (self.geometry.heads, self.geometry.head_dim);
        let tokens = qkv.dim(1)?;
        let mut weights = vec![0f32; heads * tokens * tokens];
        let read = self.plan(at.layer).reads_input().then_some(input);
        for first in (0..tokens).step_by(dim) {
            let marking = self.marking(qkv, first)?;
            // What the layer before left is read each time anew.
            let mut carried = self.step.carried.to_vec();
            let plans = self.step.window_plans;
            let (output, _) = plans.attend(at, (&marking, read), &mut carried)?;
            let output: Vec<f32> = output.to_flat()?;
            let keys = dim.min(tokens - first);
            for (query, row) in output.chunks(heads * dim).enumerate() {
                for (head, row) in row.chunks(dim).enumerate() {
                    let at = (head * tokens + query) * tokens + first;
                    weights[at..at + keys].copy_from_slice(&row[..keys]);
                }
            }
        }
        self.weights = weights;
        self.step.attend(at, qkv, input)
    }
}

#[cfg(test)]
mod tests {
    use crate::measure::windows_batch;
    use crate::model::{Architecture, Decoder, Shape};
    use farspan_attention::Device;
    use farspan_attention::plan::Geometry;
    use farspan_pe::{Len, Registry};
    use serde_json::json;
    use std::sync::Arc;

    const TOKENS: usize = 21;

    fn weights(id: &str, layer: usize) -> Vec<f32> {
        let shape = Shape {
            geometry: Geometry {
                layers: 2,
                width: 32,
                heads: 4,
                kv_heads: 2,
                head_dim: 8,
                trained_length: TOKENS,
            },
            hidden: 32,
            vocab: 32,
        };
        let scheme = Registry::builtin().parse(id, json!({})).unwrap();
        let device = Device::cpu();
        let architecture = Architecture::plain(&shape);
        let length = Len(TOKENS);
        let model = Decoder::drawn(architecture, Arc::from(scheme), length, 1, None, &device);
        let model = model.unwrap();
        let ids: Vec<u32> = (0..=TOKENS as u32).map(|t| (7 * t * t + 3) % 32).collect();
        let batch = windows_batch(&[&ids], TOKENS);
        let ready = model.prepare(length, TOKENS).unwrap();
        model.attention_weights(&batch, &ready, layer).unwrap()
    }

    /// Rotations, biases, numbers per token, and hooks with and without a kernel of their own: all weights of a softmax.
    #[test]
    fn weights_are_those_of_a_softmax_over_what_was_read() {
        for id in [
            "rope", "alibi", "fox", "cope", "dape", "path", "repo", "grape-a", "tape",
        ] {
            for layer in [0, 1] {
                let all = weights(id, layer);
                assert_eq!(all.len(), 4 * TOKENS * TOKENS);
                for (row, weights) in all.chunks(TOKENS).enumerate() {
                    let query = row % TOKENS;
                    let sum: f32 = weights[..=query].iter().sum();
                    assert!(
                        (sum - 1.0).abs() < 1e-4,
                        "{id}, layer {layer}, row {row}: {sum}"
                    );
                    assert!(weights[..=query].iter().all(|w| *w >= -1e-6), "{id}");
                    assert!(weights[query + 1..].iter().all(|w| w.abs() < 1e-6), "{id}");
                }
            }
        }
    }

    /// Steep slopes look near by: the first head of ALiBi gives a key half as much as the one behind it, or so.
    #[test]
    fn a_steep_head_looks_near_by() {
        let all = weights("alibi", 0);
        let last = &all[(TOKENS - 1) * TOKENS..][..TOKENS];
        let near: f32 = last[TOKENS - 4..].iter().sum();
        assert!(near > 0.5, "{last:?}");
        let flat = weights("nope", 0);
        let last = &flat[(TOKENS - 1) * TOKENS..][..TOKENS];
        assert!(last.iter().all(|w| *w < 0.2), "{last:?}");
    }
}
