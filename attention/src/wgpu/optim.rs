//! AdamW on the device: values, moments and the clipping norm never leave it.

use super::array::Array;
use super::kernels;
use super::tape::{Gradients, Traced};
use crate::optim::{AdamWConfig, Moments};
use crate::{Error, Result};
use std::collections::BTreeMap;

#[derive(Debug)]
struct Slot {
    variable: Traced,
    rate: f64,
    decay: bool,
    clamp: Option<(f64, f64)>,
    m: Array,
    v: Array,
}

/// The optimizer of [`optim`](crate::optim) for variables of this engine: the same rule, the same settings.
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

    /// Takes in a variable. `rate` multiplies its learning rate, `decay` says whether weight decay applies; `clamp` is
    /// the range that its values are put back into after each step. Names must differ.
    pub fn add(
        &mut self,
        name: &str,
        variable: &Traced,
        rate: f64,
        decay: bool,
        clamp: Option<(f64, f64)>,
    ) -> Result<()> {
        if self.slots.contains_key(name) {
            return Err(argument("AdamW::add, name", "a new name", name));
        }
        let zeros = || Array::full(variable.array().context(), 0.0, variable.dims());
        let slot = Slot {
            variable: variable.clone(),
            rate,
            decay,
            clamp,
            m: zeros()?,
            v: zeros()?,
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

    /// The state of a parameter, for a checkpoint; waits for the device.
    pub fn moments(&self, name: &str) -> Result<Moments> {
        let slot = self.slot(name)?;
        let (m, v) = (slot.m.to_f32()?, slot.v.to_f32()?);
        Ok(Moments { m, v })
    }

    /// Sets the state of a parameter, when resuming.
    pub fn set_moments(&mut self, name: &str, moments: &Moments) -> Result<()> {
        let slot = self.slot(name)?;
        for (array, values) in [(&slot.m, &moments.m), (&slot.v, &moments.v)] {
            array.overwrite(&Array::from_f32(array.context(), values, array.dims())?)?;
        }
        Ok(())
    }

    fn slot(&self, name: &str) -> Result<&Slot> {
        let slot = self.slots.get(name);
        slot.ok_or_else(|| argument("AdamW", "the name of a parameter", name))
    }

    /// One step at learning rate `rate`; gives the global norm of the gradients before clipping, a scalar that stays on
    /// the device until it is read.
    ///
    /// A variable without gradient takes part with a gradient of 0. If the norm is not finite, neither are the
    /// variables afterwards.
    pub fn step(&mut self, gradients: &Gradients, rate: f64) -> Result<Array> {
        let mut found = Vec::new();
        let mut squares = Vec::new();
        for slot in self.slots.values() {
            let gradient = match gradients.get(&slot.variable) {
                Some(gradient) => gradient.packed()?,
                None => Array::full(slot.m.context(), 0.0, slot.m.dims())?,
            };
            let square = Traced::constant(gradient.clone()).sqr()?.sum_all()?;
            squares.push(square.reshape(&[1])?);
            found.push(gradient);
        }
        let squares: Vec<&Traced> = squares.iter().collect();
        let total = Traced::cat(&squares, 0)?.sum_all()?;
        self.step += 1;
        let AdamWConfig { beta1, beta2, .. } = self.config;
        let steps = self.step as f64;
        let correction1 = 1.0 - beta1.powf(steps);
        let correction2 = 1.0 - beta2.powf(steps);
        for (slot, gradient) in self.slots.values().zip(&found) {
            let rate = rate * slot.rate;
            let decay = match slot.decay {
                true => self.config.weight_decay,
                false => 0.0,
            };
            let (low, high) = slot.clamp.unwrap_or((f64::NEG_INFINITY, f64::INFINITY));
            let numbers = [
                self.config.clip,
                beta1,
                beta2,
                1.0 - rate * decay,
                rate / correction1,
                1.0 / correction2.sqrt(),
                self.config.eps,
                low,
                high,
            ];
            let info = numbers.map(|x| (x as f32).to_bits());
            let y = slot.variable.array();
            let arrays = [gradient, total.array(), &slot.m, &slot.v, y];
            y.run(&kernels::adamw(), &info, &arrays)?;
        }
        Ok(total.sqrt()?.array().clone())
    }
}

fn argument(what: &'static str, expected: &str, found: &str) -> Error {
    Error::Argument {
        what,
        expected: expected.into(),
        found: found.into(),
    }
}
