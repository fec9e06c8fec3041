//! AdamW (Loshchilov & Hutter 2019, arXiv 1711.05101, algorithm 2) with global-norm clipping.
//!
//! On the CPU one pass over each parameter reads its gradient and updates moments and values in place. The order of
//! parameters is that of their names, and sums are taken in fixed blocks: a step is deterministic.

use crate::ops::bridge::{Floats, ours};
use crate::ops::simd::{Kernel, Simd, dispatch};
#[cfg(feature = "wgpu")]
use crate::wgpu::optim as device;
use crate::{DType, Error, Gradients, Result, Tensor, Var};
use candle_core::{CpuStorage, InplaceOp2, Layout};
use std::collections::BTreeMap;
use std::sync::Mutex;

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

/// Running means of a parameter's gradient and of its square, row-major.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Moments {
    /// Mean of gradients.
    pub m: Vec<f32>,
    /// Mean of squared gradients.
    pub v: Vec<f32>,
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
    #[cfg(feature = "wgpu")]
    Device(device::Moments),
}

impl State {
    fn of(var: &Var) -> Result<State> {
        #[cfg(feature = "wgpu")]
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
            #[cfg(feature = "wgpu")]
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
            #[cfg(feature = "wgpu")]
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
        #[cfg(feature = "wgpu")]
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

    /// The same where parameters are on a device of wgpu: nothing leaves it.
    #[cfg(feature = "wgpu")]
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
    #[cfg(feature = "wgpu")]
    OnDevice(crate::wgpu::Array),
}

impl Norm {
    /// The number; on wgpu it waits for the device.
    pub fn value(&self) -> Result<f64> {
        match &self.0 {
            NormValue::Known(norm) => Ok(*norm),
            #[cfg(feature = "wgpu")]
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
        #[cfg(not(feature = "wgpu"))]
        let State::Host(moments) = &mut self.state;
        #[cfg(feature = "wgpu")]
        let State::Host(moments) = &mut self.state else {
            return Err(argument("AdamW::step", "parameters on cpu", "one on wgpu"));
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

/// Numbers of one update.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rule {
    /// Decay of both moments.
    pub(crate) beta1: f32,
    pub(crate) beta2: f32,
    /// What weight decay leaves.
    pub(crate) keep: f32,
    /// Learning rate over the first moment's correction.
    pub(crate) stride: f32,
    /// What corrects the root of the second moment.
    pub(crate) root: f32,
    pub(crate) eps: f32,
    pub(crate) clamp: Option<(f32, f32)>,
}

struct Update<'a> {
    rule: Rule,
    scale: f32,
    moments: Mutex<&'a mut Moments>,
}

impl InplaceOp2 for Update<'_> {
    fn name(&self) -> &'static str {
        "adamw"
    }

    fn cpu_fwd(
        &self,
        values: &mut CpuStorage,
        layout: &Layout,
        gradient: &CpuStorage,
        gradient_layout: &Layout,
    ) -> candle_core::Result<()> {
        let g = crate::ops::bridge::floats(gradient, gradient_layout)?;
        let (CpuStorage::F32(values), Some((start, end))) = (values, layout.contiguous_offsets())
        else {
            candle_core::bail!("adamw: expected a contiguous f32 parameter, found {layout:?}")
        };
        let Ok(mut moments) = self.moments.lock() else {
            candle_core::bail!("adamw: another thread panicked")
        };
        let Moments { m, v } = &mut **moments;
        dispatch(Pass {
            rule: self.rule,
            scale: self.scale,
            p: &mut values[start..end],
            g,
            m,
            v,
        });
        Ok(())
    }
}

struct Pass<'a> {
    rule: Rule,
    /// What clipping leaves of the gradient.
    scale: f32,
    p: &'a mut [f32],
    g: &'a [f32],
    m: &'a mut [f32],
    v: &'a mut [f32],
}

impl Kernel for Pass<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Pass {
            rule,
            scale,
            p,
            g,
            m,
            v,
        } = self;
        let [scale, beta1, beta2] = [scale, rule.beta1, rule.beta2].map(|x| s.splat(x));
        let (rest1, rest2) = (s.splat(1.0 - rule.beta1), s.splat(1.0 - rule.beta2));
        let [keep, root, eps] = [rule.keep, rule.root, rule.eps].map(|x| s.splat(x));
        let stride = s.splat(-rule.stride);
        for at in (0..p.len()).step_by(S::LANES) {
            let gradient = s.mul(s.read(g, at), scale);
            let mean = s.fma(s.read(m, at), beta1, s.mul(gradient, rest1));
            let square = s.mul(s.mul(gradient, gradient), rest2);
            let square = s.fma(s.read(v, at), beta2, square);
            let denominator = s.fma(s.sqrt(square), root, eps);
            let kept = s.mul(s.read(p, at), keep);
            let mut value = s.fma(s.div(mean, denominator), stride, kept);
            if let Some((low, high)) = rule.clamp {
                // The order of arguments lets NaN through.
                value = s.min(s.splat(high), s.max(s.splat(low), value));
            }
            s.write(m, at, mean);
            s.write(v, at, square);
            s.write(p, at, value);
        }
    }
}

/// Σ x², summed in f64 over blocks of a fixed size.
fn square_norm(gradient: &Tensor) -> Result<f64> {
    if let Some([gradient]) = ours([gradient]) {
        let values = Floats::of(gradient)?;
        let blocks = values
            .get()
            .chunks(256)
            .map(|block| f64::from(dispatch(Square(block))));
        return Ok(blocks.sum());
    }
    let values = gradient.to_dtype(DType::F32)?.to_flat::<f32>()?;
    Ok(values.iter().map(|x| f64::from(*x).powi(2)).sum())
}

struct Square<'a>(&'a [f32]);

impl Kernel for Square<'_> {
    type Output = f32;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> f32 {
        let mut sum = s.splat(0.0);
        for at in (0..self.0.len()).step_by(S::LANES) {
            let x = s.read(self.0, at);
            sum = s.fma(x, x, sum);
        }
        s.total(sum)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Device;

    const CONFIG: AdamWConfig = AdamWConfig {
        beta1: 0.9,
        beta2: 0.95,
        eps: 1e-8,
        weight_decay: 0.1,
        clip: 1.0,
    };

    fn var(values: &[f32]) -> Var {
        Var::new(Tensor::from_vec(values.to_vec(), values.len(), &Device::cpu()).unwrap()).unwrap()
    }

    fn values(var: &Var) -> Vec<f32> {
        var.tensor().to_vec1().unwrap()
    }

    /// Gradients of Σ x³/3 + 0.7 Σ y²: x² and 1.4 y.
    fn gradients(x: &Var, y: &Var) -> Gradients {
        let cube = x
            .tensor()
            .powf(3.0)
            .unwrap()
            .affine(1.0 / 3.0, 0.0)
            .unwrap();
        let square = y.tensor().sqr().unwrap().affine(0.7, 0.0).unwrap();
        let loss = cube
            .sum_all()
            .unwrap()
            .add(&square.sum_all().unwrap())
            .unwrap();
        loss.backward().unwrap()
    }

    #[test]
    fn steps_equal_the_written_out_algorithm() {
        let start_x: Vec<f32> = (0..37).map(|i| 0.3 + 0.05 * i as f32).collect();
        let (x, y) = (var(&start_x), var(&[0.5, -2.0]));
        let mut optimizer = AdamW::new(CONFIG);
        optimizer.add("x", &x, 1.0, true, None).unwrap();
        optimizer
            .add("y", &y, 8.0, false, Some((-1.9, 0.45)))
            .unwrap();
        let mut p: Vec<f64> = start_x
            .iter()
            .map(|x| f64::from(*x))
            .chain([0.5, -2.0])
            .collect();
        let (mut m, mut v) = (vec![0.0; 39], vec![0.0; 39]);
        for step in 1..=5 {
            let rate = 0.02 / f64::from(step);
            let g: Vec<f64> = (0..39)
                .map(|i| if i < 37 { p[i] * p[i] } else { 1.4 * p[i] })
                .collect();
            let norm = g.iter().map(|g| g * g).sum::<f64>().sqrt();
            let found = optimizer.step(&gradients(&x, &y), rate).unwrap();
            let found = found.value().unwrap();
            assert!((found - norm).abs() < 1e-4 * norm, "{found} for {norm}");
            for i in 0..39 {
                let g = g[i] * (CONFIG.clip / norm).min(1.0);
                let (multiplier, decay) = if i < 37 { (1.0, 0.1) } else { (8.0, 0.0) };
                let rate = rate * multiplier;
                m[i] = 0.9 * m[i] + 0.1 * g;
                v[i] = 0.95 * v[i] + 0.05 * g * g;
                let mean: f64 = m[i] / (1.0 - 0.9f64.powi(step));
                let square: f64 = v[i] / (1.0 - 0.95f64.powi(step));
                p[i] -= rate * decay * p[i];
                p[i] -= rate * mean / (square.sqrt() + 1e-8);
                if i >= 37 {
                    p[i] = p[i].clamp(-1.9, 0.45);
                }
            }
            for (found, p) in values(&x).iter().chain(&values(&y)).zip(&p) {
                // A few roundings of f32 per step.
                assert!(
                    (f64::from(*found) - p).abs() < 5e-6,
                    "step {step}: {found} for {p}"
                );
            }
        }
    }

    #[test]
    fn a_resumed_optimizer_goes_on_bit_for_bit() {
        let (x, y) = (var(&[0.3, 1.0, -0.4]), var(&[0.5, -2.0]));
        let build = |x: &Var, y: &Var| {
            let mut optimizer = AdamW::new(CONFIG);
            optimizer.add("x", x, 1.0, true, None).unwrap();
            optimizer.add("y", y, 1.0, false, None).unwrap();
            optimizer
        };
        let mut first = build(&x, &y);
        first.step(&gradients(&x, &y), 0.1).unwrap();
        let (x2, y2) = (var(&values(&x)), var(&values(&y)));
        let mut second = build(&x2, &y2);
        second.set_step(first.steps());
        for name in ["x", "y"] {
            second
                .set_moments(name, first.moments(name).unwrap())
                .unwrap();
        }
        first.step(&gradients(&x, &y), 0.1).unwrap();
        second.step(&gradients(&x2, &y2), 0.1).unwrap();
        assert_eq!((values(&x), values(&y)), (values(&x2), values(&y2)));
    }

    #[test]
    fn bad_input_is_named() {
        let x = var(&[1.0]);
        let mut optimizer = AdamW::new(CONFIG);
        optimizer.add("x", &x, 1.0, true, None).unwrap();
        let message = |result: Result<()>| result.unwrap_err().to_string();
        assert!(message(optimizer.add("x", &x, 1.0, true, None)).contains("new name"));
        assert!(
            message(optimizer.add("y", &x, 1.0, true, Some((1.0, 0.0)))).contains("low ≤ high")
        );
        assert!(message(optimizer.set_moments("z", Moments::default())).contains('z'));
        assert!(message(optimizer.set_moments("x", Moments::default())).contains("1 values"));
    }

    #[test]
    fn a_gradient_that_is_no_number_shows_in_the_parameters() {
        let (x, y) = (var(&[f32::INFINITY, 1.0]), var(&[1.0]));
        let mut optimizer = AdamW::new(CONFIG);
        optimizer.add("x", &x, 1.0, true, None).unwrap();
        optimizer.add("y", &y, 1.0, true, Some((0.0, 2.0))).unwrap();
        let norm = optimizer.step(&gradients(&x, &y), 0.1).unwrap();
        assert!(!norm.value().unwrap().is_finite());
        assert!(values(&x).iter().chain(&values(&y)).all(|x| x.is_nan()));
    }
}
