//! Windows of one length that are read at once, layer by layer; and gradients that hold the activations of one layer only.

use super::decoder::Pretrained;
use crate::model::{Model, Pass, Ready, Slopes, Standing, Sums, feed};
use crate::{Error, Result};
use farspan_attention::attend::Params;
use farspan_attention::plan::Geometry;
use farspan_attention::{Gradients, Tensor, Var};
use farspan_datasets::Batch;

/// A batch on its way through the layers.
pub(super) struct Windows<'a> {
    model: &'a Pretrained,
    batch: &'a Batch,
    ready: &'a Ready,
    standing: Standing<'a>,
}

/// What one layer hands to the next.
#[derive(Clone)]
pub(super) struct State {
    /// Residual stream, (windows, tokens, width).
    pub(super) x: Tensor,
    /// What the scheme carries from layer to layer, by window; one entry where all windows share their positions.
    carried: Vec<Params>,
}

impl<'a> Windows<'a> {
    pub(super) fn new(
        model: &'a Pretrained,
        batch: &'a Batch,
        ready: &'a Ready,
    ) -> Result<Windows<'a>> {
        let geometry = &model.architecture.geometry;
        let standing = Standing::new(geometry, &[], batch, ready, &model.device)?;
        Ok(Windows {
            model,
            batch,
            ready,
            standing,
        })
    }

    /// Before the first layer.
    pub(super) fn start(&self, pass: Pass) -> Result<State> {
        let forward = self.model.forward(pass);
        let params = forward.scheme_params(self.ready.plan(0), 0)?;
        let shape = [self.batch.rows, self.ready.len()];
        let x = forward.tokens(&self.batch.tokens, &shape)?;
        let added = self.standing.added(x.dims(), &params, &self.model.device)?;
        let x = match added {
            Some(added) => x.add(&added)?,
            None => x,
        };
        Ok(State {
            x: forward.embed_norm(x)?,
            carried: vec![Params::new(); self.standing.rows()],
        })
    }

    /// Moves `state` behind `layer`; returns the attention implementation that ran.
    pub(super) fn step(&self, state: &mut State, layer: usize, pass: Pass) -> Result<&'static str> {
        let forward = self.model.forward(pass);
        let plan = self.ready.plan(layer);
        let State { x, carried } = state;
        let mut implementation = "none";
        let mut attend = |qkv: &Tensor, h: &Tensor| {
            let params = forward.scheme_params(plan, layer)?;
            let (input, mask) = (plan.reads_input().then_some(h), self.model.mask(layer));
            let (out, ran) = self
                .standing
                .attend(layer, (qkv, input), &params, &mask, carried)?;
            implementation = ran;
            Ok(out)
        };
        let (out, added) = forward.layer(x, layer, &mut attend)?;
        if self.ready.feeds(layer) {
            feed(carried, &added)?;
        }
        *x = out;
        Ok(implementation)
    }
}

impl State {
    fn tensors(&self) -> impl Iterator<Item = &Tensor> {
        std::iter::once(&self.x).chain(self.carried.iter().flat_map(Params::values))
    }

    /// The same values as leaves that gradients arrive at, in the order of [`tensors`](State::tensors).
    fn leaves(&self) -> Result<(State, Vec<Var>)> {
        let vars = self
            .tensors()
            .map(|tensor| Ok(Var::new(tensor.detach())?))
            .collect::<Result<Vec<Var>>>()?;
        let mut leaves = vars.iter().map(|var| var.tensor().clone());
        // As many leaves as tensors: each takes the place of its own.
        let mut next = |tensor: &Tensor| leaves.next().unwrap_or_else(|| tensor.clone());
        let x = next(&self.x);
        let of = |carried: &Params, next: &mut dyn FnMut(&Tensor) -> Tensor| {
            let entries = carried.iter();
            entries
                .map(|(name, tensor)| (name.clone(), next(tensor)))
                .collect()
        };
        let carried = self
            .carried
            .iter()
            .map(|carried| of(carried, &mut next))
            .collect();
        Ok((State { x, carried }, vars))
    }
}

impl Pretrained {
    /// Lets [`slopes`](Model::slopes) hold the input of each layer, and the activations of one layer at a time, which are
    /// computed a second time (Chen et al. 2016, arXiv 1604.06174, section 4).
    pub fn recomputing(mut self, on: bool) -> Pretrained {
        self.recompute = on;
        self
    }

    pub(super) fn recomputed(&self, batch: &Batch, ready: &Ready) -> Result<Slopes> {
        let Geometry { layers, width, .. } = self.architecture.geometry;
        let windows = Windows::new(self, batch, ready)?;
        let mut states = vec![windows.start(Pass::Evaluate)?];
        let mut implementation = "none";
        for layer in 0..layers {
            let mut state = states[layer].clone();
            let ran = windows.step(&mut state, layer, Pass::Evaluate)?;
            if implementation != "composed" {
                implementation = ran;
            }
            states.push(state);
        }
        let mut sums = Sums::default();
        let forward = self.forward(Pass::Train);
        let missing = || Error::Bug("the loss does not depend on the last layer".into());
        let (end, vars) = states.pop().ok_or_else(missing)?.leaves()?;
        let rows = forward
            .norm(&end.x, "norm")?
            .reshape((batch.rows * ready.len(), width))?;
        let loss = forward.loss(&rows, batch)?;
        let value = f64::from(loss.to_scalar::<f32>()?);
        if !value.is_finite() {
            return Ok(Slopes {
                loss: value,
                gradients: None,
                implementation,
            });
        }
        let gradients = loss.backward()?;
        sums.add(self.weights(), &gradients, 1.0)?;
        let mut arrived = arriving(&gradients, &vars);
        for layer in (0..layers).rev() {
            let (mut state, vars) = states.pop().ok_or_else(missing)?.leaves()?;
            windows.step(&mut state, layer, Pass::Train)?;
            let gradients = passed(&state, &arrived)?.ok_or_else(missing)?;
            sums.add(self.weights(), &gradients, 1.0)?;
            arrived = arriving(&gradients, &vars);
        }
        if let Some(gradients) = passed(&windows.start(Pass::Train)?, &arrived)? {
            sums.add(self.weights(), &gradients, 1.0)?;
        }
        Ok(Slopes {
            loss: value,
            gradients: sums.gradients(self.weights())?,
            implementation,
        })
    }
}

fn arriving(gradients: &Gradients, vars: &[Var]) -> Vec<Option<Tensor>> {
    vars.iter().map(|var| gradients.get(var)).collect()
}

/// Gradients of what made `state`, where those of `state` itself have arrived: those of Σ tensor · gradient.
fn passed(state: &State, arrived: &[Option<Tensor>]) -> Result<Option<Gradients>> {
    let mut total: Option<Tensor> = None;
    for (tensor, gradient) in state.tensors().zip(arrived) {
        let Some(gradient) = gradient.as_ref().filter(|_| tensor.tracked()) else {
            continue;
        };
        let part = tensor.mul(gradient)?.sum_all()?;
        total = Some(match total {
            Some(total) => total.add(&part)?,
            None => part,
        });
    }
    Ok(total.map(|total| total.backward()).transpose()?)
}
