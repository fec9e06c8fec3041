//! Windows of one length that are read at once, layer by layer; and gradients that hold the activations of one layer only.

mod probe;

use super::forward::{At, Attending, Sublayers};
use super::prepared::WindowPlans;
use super::{Aims, Backward, Decoder, Pass, PreparedPlans, Sums};
use crate::{Error, Result};
use farspan_attention::attend::{FEED_FORWARD, Params, Sublayer};
use farspan_attention::plan::Plan;
use farspan_attention::residual::Residual;
use farspan_attention::{Gradients, Tensor, Var};
use farspan_datasets::Batch;

/// A batch on its way through the layers.
pub(super) struct Windows<'a> {
    decoder: &'a Decoder,
    batch: &'a Batch,
    window_plans: WindowPlans<'a>,
    /// What the plan adds in every layer, where it does.
    infused: Option<Tensor>,
    /// Attention implementation that ran; of several the slowest, which is what a reader of the record wants to know of.
    pub(super) implementation: &'static str,
}

/// What one layer hands to the next.
pub(super) struct State {
    /// Residual stream, (windows, tokens, width).
    stream: Residual,
    /// What the scheme carries from layer to layer, by piece; one entry where all windows share their positions.
    carried: Vec<Params>,
}

impl<'a> Windows<'a> {
    pub(super) fn new(
        decoder: &'a Decoder,
        batch: &'a Batch,
        ready: &'a PreparedPlans,
    ) -> Result<Windows<'a>> {
        Ok(Windows {
            decoder,
            batch,
            window_plans: WindowPlans::new(decoder, batch, ready)?,
            infused: None,
            implementation: "none",
        })
    }

    /// Before the first layer.
    pub(super) fn start(&mut self, pass: Pass) -> Result<State> {
        let forward = self.decoder.forward(pass);
        let (batch, plan) = (self.batch, self.window_plans.ready.plan(0));
        let mut x = forward.tokens(&batch.tokens, &[batch.rows, self.window_plans.ready.len()])?;
        let params = forward.scheme_params(plan, 0)?;
        let added = self
            .window_plans
            .added(x.dims(), &params, &self.decoder.device)?;
        match added {
            Some(added) if plan.infused => self.infused = Some(added),
            Some(added) => x = x.add(&added)?,
            None => {}
        }
        Ok(State {
            stream: Residual::new(forward.embed_norm(x)?),
            carried: vec![Params::new(); self.window_plans.pieces()],
        })
    }

    /// Moves `state` behind `layer`.
    pub(super) fn step(&mut self, state: &mut State, layer: usize, pass: Pass) -> Result<()> {
        let forward = self.decoder.forward(pass);
        let State { stream, carried } = state;
        let mut step = Step {
            window_plans: &self.window_plans,
            infused: self.infused.as_ref(),
            carried,
            ran: "none",
        };
        forward.layer(stream, layer, &mut step)?;
        if self.implementation != "composed" {
            self.implementation = step.ran;
        }
        Ok(())
    }

    /// Rows of the stream behind the last layer, normed.
    pub(super) fn end(&self, x: &Tensor, pass: Pass) -> Result<Tensor> {
        self.decoder.forward(pass).end(x)
    }
}

/// One layer of windows.
struct Step<'s> {
    window_plans: &'s WindowPlans<'s>,
    infused: Option<&'s Tensor>,
    carried: &'s mut [Params],
    ran: &'static str,
}

impl Attending for Step<'_> {
    fn plan(&self, layer: usize) -> &Plan {
        self.window_plans.ready.plan(layer)
    }

    fn infused(&self, layer: usize) -> Option<&Tensor> {
        self.infused.filter(|_| self.plan(layer).infused)
    }

    fn tokens(&self) -> usize {
        self.window_plans.ready.len()
    }

    fn feeds(&self, layer: usize) -> bool {
        self.window_plans.ready.feeds(layer)
    }

    fn feed(&mut self, added: &Tensor) -> Result<()> {
        for (index, carried) in self.carried.iter_mut().enumerate() {
            let added = self.window_plans.part(added, index)?;
            carried.insert(FEED_FORWARD.into(), added);
        }
        Ok(())
    }

    fn sublayers(&mut self) -> Option<&mut dyn Sublayers> {
        Some(self)
    }

    fn attend(&mut self, at: &At, qkv: &Tensor, input: &Tensor) -> Result<Tensor> {
        let input = self.plan(at.layer).reads_input().then_some(input);
        let output;
        (output, self.ran) = self.window_plans.attend(at, (qkv, input), self.carried)?;
        Ok(output)
    }
}

impl Sublayers for Step<'_> {
    fn sublayer(&mut self, at: &At, sublayer: &Sublayer<'_>, stream: &mut Residual) -> Result<()> {
        self.ran = self
            .window_plans
            .attend_sublayer(at, sublayer, stream, self.carried)?;
        Ok(())
    }
}

impl State {
    /// The residual stream, with its history.
    pub(super) fn x(&mut self) -> Result<Tensor> {
        Ok(self.stream.rows()?)
    }

    fn tensors(&mut self) -> Result<Vec<Tensor>> {
        let carried = self.carried.iter().flat_map(Params::values).cloned();
        let carried: Vec<Tensor> = carried.collect();
        Ok([vec![self.x()?], carried].concat())
    }

    /// The same values as leaves that gradients arrive at, in the order of [`tensors`](State::tensors).
    fn leaves(&mut self) -> Result<(State, Vec<Var>)> {
        let vars = self
            .tensors()?
            .iter()
            .map(|tensor| Ok(Var::new(tensor.detach())?))
            .collect::<Result<Vec<Var>>>()?;
        let mut leaves = vars.iter().map(|var| var.tensor().clone());
        // As many leaves as tensors: each takes the place of its own.
        let mut next = |tensor: &Tensor| leaves.next().unwrap_or_else(|| tensor.clone());
        let x = next(&self.x()?);
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
        let stream = Residual::new(x);
        Ok((State { stream, carried }, vars))
    }

    fn copy(&mut self) -> Result<State> {
        Ok(State {
            stream: Residual::new(self.x()?),
            carried: self.carried.clone(),
        })
    }
}

impl Decoder {
    pub(super) fn recomputed(
        &self,
        batch: &Batch,
        ready: &PreparedPlans,
        aims: &Aims,
    ) -> Result<Backward> {
        let layers = self.architecture.geometry.layers;
        let mut windows = Windows::new(self, batch, ready)?;
        let mut states = vec![windows.start(Pass::Evaluate)?];
        for layer in 0..layers {
            let mut state = states[layer].copy()?;
            windows.step(&mut state, layer, Pass::Evaluate)?;
            states.push(state);
        }
        let implementation = windows.implementation;
        let mut sums = Sums::default();
        let missing = || Error::Bug("the loss does not depend on the last layer".into());
        let (mut end, vars) = states.pop().ok_or_else(missing)?.leaves()?;
        let rows = windows.end(&end.x()?, Pass::Train)?;
        let loss = self.aimed(&rows, batch, aims)?;
        let value = f64::from(loss.to_scalar::<f32>()?);
        if !value.is_finite() {
            return Ok(Backward {
                loss: value,
                gradients: None,
                implementation,
            });
        }
        let gradients = loss.backward()?;
        sums.add(self.weights(), &gradients, 1.0)?;
        let mut arrived = arriving(&gradients, &vars);
        // Recorded, so that what the plan adds in every layer is reached from there.
        let mut start = windows.start(Pass::Train)?;
        for layer in (0..layers).rev() {
            let (mut state, vars) = states.pop().ok_or_else(missing)?.leaves()?;
            windows.step(&mut state, layer, Pass::Train)?;
            let gradients = passed(&mut state, &arrived)?.ok_or_else(missing)?;
            sums.add(self.weights(), &gradients, 1.0)?;
            arrived = arriving(&gradients, &vars);
        }
        if let Some(gradients) = passed(&mut start, &arrived)? {
            sums.add(self.weights(), &gradients, 1.0)?;
        }
        Ok(Backward {
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
fn passed(state: &mut State, arrived: &[Option<Tensor>]) -> Result<Option<Gradients>> {
    let mut total: Option<Tensor> = None;
    for (tensor, gradient) in state.tensors()?.iter().zip(arrived) {
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
