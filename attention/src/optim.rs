//! AdamW (Loshchilov & Hutter 2019, arXiv 1711.05101, algorithm 2) with global-norm clipping.
//!
//! On the CPU one pass over each parameter reads its gradient and updates moments and values in place. The order of
//! parameters is that of their names, and sums are taken in fixed blocks: a step is deterministic.

pub(crate) mod update;

use crate::gpu::optim as device;
use crate::ops::bridge::ours;
use crate::ops::simd::dispatch;
use crate::{DType, Error, Gradients, Result, Tensor, Var};
use std::collections::BTreeMap;
use std::sync::Mutex;
use update::{Pass, Rule, Update, square_norm};

pub use update::Moments;

/// Settings of [`AdamW`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamWConfig {
    /// Decay of the mean of gradients.
    pub beta1: f64,
    /// Decay of the mean of squared gradients.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub eps: f64,
    /// Decoupled decay per unit of learning rate.
    pub weight_decay: f64,
    /// Gradients are scaled down to this global norm; ∞ or 0 leaves them alone.
    pub clip: f64,
}

#[derive(Debug)]
struct Slot {
    var: Var,
    rate: f64,
    decay: bool,
    clamp: Option<(f64, f64)>,
    state: State,
}

/// A parameter's moments, where the parameter is.
#[derive(Debug)]
enum State {
    Host(Moments),
    Device(device::Moments),
}

impl State {
    fn of(var: &Var) -> Result<State> {
        if let Some(variable) = var.tensor().as_traced() {
            return device::Moments::of(variable.array()).map(State::Device);
        }
        let zeros = vec![0.0; var.tensor().elem_count()];
        let (m, v) = (zeros.clone(), zeros);
        Ok(State::Host(Moments { m, v }))
    }
}

/// The optimizer and its state.
#[derive(Debug)]
pub struct AdamW {
    config: AdamWConfig,
    step: u64,
    slots: BTreeMap<String, Slot>,
}

impl AdamW {
    /// Without parameters, at step 0.
    pub fn new(config: AdamWConfig) -> AdamW {
        AdamW {
            config,
            step: 0,
            slots: BTreeMap::new(),
        }
    }

    /// Takes in a parameter (f32). `rate` multiplies its learning rate, `decay` says whether weight decay applies;
    /// `clamp` is the range that its values are put back into after each step. Names must differ.
    pub fn add(
        &mut self,
        name: &str,
        var: &Var,
        rate: f64,
        decay: bool,
        clamp: Option<(f64, f64)>,
    ) -> Result<()> {
        if self.slots.contains_key(name) {
            return Err(argument("AdamW::add, name", "a new name", name));
        }
        if let Some((low, high)) = clamp
            && (low.is_nan() || high.is_nan() || low > high)
        {
            let found = format!("[{low}, {high}] for {name}");
            return Err(argument("AdamW::add, clamp", "low ≤ high", found));
        }
        let slot = Slot {
            var: var.clone(),
            rate,
            decay,
            clamp,
            state: State::of(var)?,
        };
        self.slots.insert(name.to_string(), slot);
        Ok(())
    }

    /// Steps done.
    pub fn steps(&self) -> u64 {
        self.step
    }

    /// Sets the number of steps done, when resuming.
    pub fn set_step(&mut self, step: u64) {
        self.step = step;
    }

    /// Names of all parameters, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.slots.keys().map(String::as_str)
    }

    /// The state of a parameter, for a checkpoint.
    pub fn moments(&self, name: &str) -> Result<Moments> {
        match &self.slot(name)?.state {
            State::Host(moments) => Ok(moments.clone()),
            State::Device(moments) => moments.read(),
        }
    }

    /// Sets the state of a parameter, when resuming.
    pub fn set_moments(&mut self, name: &str, moments: Moments) -> Result<()> {
        let n = self.slot(name)?.var.tensor().elem_count();
        if moments.m.len() != n || moments.v.len() != n {
            let found = format!("{} and {} for {name}", moments.m.len(), moments.v.len());
            return Err(argument(
                "AdamW::set_moments",
                format!("{n} values each"),
                found,
            ));
        }
        match self.slots.get_mut(name).map(|slot| &mut slot.state) {
            Some(State::Host(own)) => *own = moments,
            Some(State::Device(own)) => own.set(&moments)?,
            // `slot` above has found it.
            None => {}
        }
        Ok(())
    }

    fn slot(&self, name: &str) -> Result<&Slot> {
        self.slots
            .get(name)
            .ok_or_else(|| argument("AdamW", "the name of a parameter", name))
    }

    /// One step at learning rate `rate`; gives the global norm of the gradients before clipping.
    ///
    /// A parameter without gradient takes part with a gradient of 0. If the norm is not finite, neither are the
    /// parameters afterwards.
    pub fn step(&mut self, gradients: &Gradients, rate: f64) -> Result<Norm> {
        let found: Vec<Option<Tensor>> = self
            .slots
            .values()
            .map(|slot| gradients.get(&slot.var))
            .map(|gradient| gradient.map(|g| g.contiguous()).transpose())
            .collect::<Result<_>>()?;
        self.step += 1;
        if self
            .slots
            .values()
            .any(|slot| slot.var.as_candle().is_none())
        {
            return self.step_on_device(&found, rate);
        }
        let mut square = 0.0;
        for gradient in found.iter().flatten() {
            square += square_norm(gradient)?;
        }
        let norm = square.sqrt();
        let clip = self.config.clip;
        let scale = if clip > 0.0 && norm > clip {
            clip / norm
        } else {
            1.0
        };
        // A norm that is no number must reach the parameters, where the caller sees it.
        let scale = if norm.is_finite() { scale } else { f64::NAN };
        let common = Common::new(&self.config, self.step);
        for (slot, gradient) in self.slots.values_mut().zip(&found) {
            let rule = common.rule(rate, slot);
            slot.update(gradient.as_ref(), rule, scale as f32)?;
        }
        Ok(Norm(NormValue::Known(norm)))
    }

    /// The same where parameters are on a GPU: nothing leaves it.
    fn step_on_device(&mut self, found: &[Option<Tensor>], rate: f64) -> Result<Norm> {
        let common = Common::new(&self.config, self.step);
        let mut items = Vec::new();
        for (slot, gradient) in self.slots.values().zip(found) {
            let (State::Device(moments), Some(variable)) =
                (&slot.state, slot.var.tensor().as_traced())
            else {
                let found = slot.var.tensor().device().to_string();
                return Err(argument(
                    "AdamW::step",
                    "all parameters on one device",
                    found,
                ));
            };
            let gradient = gradient.as_ref().and_then(Tensor::as_traced);
            items.push(device::Item {
                variable: variable.array(),
                gradient: gradient.map(|gradient| gradient.array()),
                moments,
                rule: common.rule(rate, slot),
            });
        }
        let norm = device::step(&items, self.config.clip)?;
        Ok(Norm(NormValue::OnDevice(norm)))
    }
}

/// The global norm of the gradients of a step.
#[derive(Debug)]
pub struct Norm(NormValue);

#[derive(Debug)]
enum NormValue {
    Known(f64),
    OnDevice(crate::gpu::Array),
}

impl Norm {
    /// The number; on a GPU it waits for the device.
    pub fn value(&self) -> Result<f64> {
        match &self.0 {
            NormValue::Known(norm) => Ok(*norm),
            NormValue::OnDevice(norm) => Ok(f64::from(norm.to_f32()?[0])),
        }
    }
}

/// What all updates of a step share.
struct Common {
    config: AdamWConfig,
    correction1: f64,
    correction2: f64,
}

impl Common {
    fn new(config: &AdamWConfig, step: u64) -> Common {
        let after = |beta: f64| 1.0 - beta.powf(step as f64);
        Common {
            config: *config,
            correction1: after(config.beta1),
            correction2: after(config.beta2),
        }
    }

    fn rule(&self, rate: f64, slot: &Slot) -> Rule {
        let rate = rate * slot.rate;
        let decay = match slot.decay {
            true => self.config.weight_decay,
            false => 0.0,
        };
        Rule {
            beta1: self.config.beta1 as f32,
            beta2: self.config.beta2 as f32,
            keep: (1.0 - rate * decay) as f32,
            stride: (rate / self.correction1) as f32,
            root: (1.0 / self.correction2.sqrt()) as f32,
            eps: self.config.eps as f32,
            clamp: slot.clamp.map(|(low, high)| (low as f32, high as f32)),
        }
    }
}

fn argument(what: &'static str, expected: impl Into<String>, found: impl Into<String>) -> Error {
    Error::Argument {
        what,
        expected: expected.into(),
        found: found.into(),
    }
}

impl Slot {
    fn update(&mut self, gradient: Option<&Tensor>, rule: Rule, scale: f32) -> Result<()> {
        let tensor = self.var.tensor();
        let gradient = match gradient {
            Some(gradient) => gradient.clone(),
            None => tensor.zeros_like()?,
        };
        let State::Host(moments) = &mut self.state else {
            return Err(argument("AdamW::step", "parameters on cpu", "one on a GPU"));
        };
        if let Some([var, gradient]) = ours([tensor, &gradient]) {
            let op = Update {
                rule,
                scale,
                moments: Mutex::new(moments),
            };
            return Ok(var.inplace_op2(gradient, &op)?);
        }
        // Elsewhere: values and gradient come here, and go back.
        let host = |t: &Tensor| t.to_dtype(DType::F32)?.to_flat::<f32>();
        let (mut values, gradient) = (host(tensor)?, host(&gradient)?);
        let Moments { m, v } = moments;
        dispatch(Pass {
            rule,
            scale,
            p: &mut values,
            g: &gradient,
            m,
            v,
        });
        let values = Tensor::from_vec(values, tensor.shape(), &tensor.device())?;
        self.var.set(&values.to_dtype(tensor.dtype())?)
    }
}

#[cfg(test)]
mod tests;
