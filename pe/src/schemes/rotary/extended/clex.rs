//! CLEX follows the logarithms of the frequencies along the stretch by a differential equation with a learned drift.
//!
//! x(1) = ln θ;  dx/dt = act((x + ln θ_ntk(t))·U)·D + d(ln θ_ntk)/dt;  frequencies at stretch t: exp(x(t))
//! with θ_ntk(t) the NTK-aware frequencies at α(t) = 2t − 1, and t = ⌈T/L⌉, at most `max_factor`
//!
//! Paper: Chen et al. 2023, arXiv 2310.16450, section 3.
//!
//! Code: solved by classical Runge-Kutta in steps of 0.01; here 0.1 (`step`), or longer where that makes more than 100
//! of them, which agrees to 1e-6 and keeps the way back of gradients short. D starts at zero, which gives exactly the NTK-aware
//! frequencies at 2t − 1. U and D are shared by all layers. In training the authors draw t from 1 … 16 and positions
//! from 0 … T·t − 1; here training sees the stretch of its own length over the base's, at the usual positions. The
//! frequencies follow the length, so keys are kept unturned. The logarithm of the length that the authors offer for
//! queries is the scheme `log-n`. Attention stays fused.

use crate::angles::{Rotary, inv_freq, trained_length};
use crate::card::{Card, Family, Needs, Paper};
use crate::error::{PlanError, check};
use crate::scheme::{Len, Scheme};
use crate::tensor::rotation::Angles;
use farspan_attention::hook::{Hook, HookRef, Qkv, Scope, Stage};
use farspan_attention::plan::{Cache, Geometry, Init, ParamSpec, Plan};
use farspan_attention::{DType, Result, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Settings of CLEX.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Clex {
    /// Base b of the frequencies; the base scheme's unless set.
    #[schemars(extend("exclusiveMinimum" = 1))]
    pub base: f64,
    /// Largest stretch t.
    #[schemars(range(min = 1))]
    pub max_factor: usize,
    /// Columns of U over head_dim ("param_factor").
    #[schemars(range(min = 1))]
    pub width_factor: usize,
    /// The activation between U and D.
    pub act: Act,
    /// Step of the solver in units of t ("time_dt").
    #[schemars(range(min = 0.01, max = 1))]
    pub step: f64,
    /// Length L that the weights were trained with, if not the model's.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub trained_length: Option<usize>,
}

/// Activations of the drift.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Act {
    /// tanh x
    Tanh,
    /// x·σ(x)
    Silu,
}

impl Default for Clex {
    fn default() -> Clex {
        Clex {
            base: Rotary::DEFAULT.base,
            max_factor: 16,
            width_factor: 1,
            act: Act::Tanh,
            step: 0.1,
            trained_length: None,
        }
    }
}

impl Clex {
    fn rotary(&self) -> Rotary {
        Rotary::of_base(self.base)
    }
}

const UP: &str = "clex.up";
const DOWN: &str = "clex.down";
/// Each step is some thirty operations deep, and gradients go back through all of them.
const MAX_STEPS: f64 = 100.0;

impl Scheme for Clex {
    const ID: &'static str = "clex";
    const CARD: Card = Card {
        title: "CLEX",
        paper: Paper {
            authors: "Chen et al.",
            year: 2023,
            arxiv: "2310.16450",
            section: "3",
        },
        family: Family::Rotary,
        idea: "Follow the logarithms of the frequencies along the stretch by a differential \
               equation whose drift is learned.",
        formula: "dx/dt = act((x + ln θ_ntk(t)) U) D + d ln θ_ntk/dt, x(1) = ln θ",
        latex: r"\dot x = \sigma\big((x + \ln\theta^{\mathrm{ntk}}(t))\,U\big) D + \tfrac{d}{dt}\ln\theta^{\mathrm{ntk}}(t),\quad x(1) = \ln\theta",
        needs: Needs::Base(Family::Rotary),
        ..Card::BLANK
    };

    fn check(&self) -> Result<(), PlanError> {
        self.rotary().check()?;
        for (key, value) in [
            ("max_factor", self.max_factor),
            ("width_factor", self.width_factor),
            ("trained_length", self.trained_length.unwrap_or(1)),
        ] {
            check(key, value, "at least 1", value >= 1)?;
        }
        let fits = (0.01..=1.0).contains(&self.step);
        check("step", self.step, "from 0.01 to 1", fits)
    }

    fn plan(&self, model: &Geometry, context_len: Len) -> Result<Plan, PlanError> {
        self.check()?;
        let dim = self.rotary().dim(model, 4)?;
        let trained = trained_length(self.trained_length, model)?;
        let stretch = context_len.0.div_ceil(trained).clamp(1, self.max_factor);
        let (pairs, columns) = (dim / 2, self.width_factor * dim);
        let bound = 1.0 / (columns as f64).sqrt();
        let spec = |name: &str, shape: [usize; 2], init| ParamSpec {
            name: name.into(),
            shape: shape.to_vec(),
            init,
            learned: true,
            per_layer: false,
            clamp: None,
        };
        let hook = Drift {
            base: self.base,
            dim,
            stretch: stretch as f64,
            act: self.act,
            step: self.step,
        };
        Ok(Plan {
            hooks: vec![HookRef::new(hook)],
            params: vec![
                spec(UP, [pairs, columns], Init::Uniform(-bound, bound)),
                spec(DOWN, [columns, pairs], Init::Constant(0.0)),
            ],
            cache: Cache::Unrotated,
            ..Plan::default()
        })
    }
}

#[derive(Debug)]
struct Drift {
    base: f64,
    dim: usize,
    stretch: f64,
    act: Act,
    step: f64,
}

impl Drift {
    /// ln θ_ntk(t) and its derivative for each pair.
    fn ntk(&self, t: f64) -> (Vec<f64>, Vec<f64>) {
        let (d, alpha) = (self.dim as f64, 2.0 * t - 1.0);
        let pair = |p: usize| {
            let exponent = 2.0 * p as f64 / (d - 2.0);
            let log = -2.0 * p as f64 / d * self.base.ln() - exponent * alpha.ln();
            (log, -2.0 * exponent / alpha)
        };
        (0..self.dim / 2).map(pair).unzip()
    }

    /// dx/dt at `t`, for x (1, pairs) and the matrices U and D.
    fn slope(&self, t: f64, x: &Tensor, (up, down): (&Tensor, &Tensor)) -> Result<Tensor> {
        let row = |values: Vec<f64>| {
            let shape = (1, values.len());
            Tensor::from_vec(values, shape, &x.device())
        };
        let (log, drift) = self.ntk(t);
        let hidden = x.add(&row(log)?)?.matmul(up)?;
        let hidden = match self.act {
            Act::Tanh => hidden.tanh()?,
            Act::Silu => hidden.silu()?,
        };
        hidden.matmul(down)?.add(&row(drift)?)
    }

    /// Frequencies (pairs) at the stretch, in f64.
    fn inv_freq(&self, scope: &Scope<'_>) -> Result<Tensor> {
        let matrix = |name| -> Result<Tensor> { scope.param(name)?.to_dtype(DType::F64) };
        let (up, down) = (matrix(UP)?, matrix(DOWN)?);
        let matrices = (&up, &down);
        let start = inv_freq(self.base, self.dim)
            .iter()
            .map(|x| x.ln())
            .collect();
        let mut x = Tensor::from_vec(start, (1, self.dim / 2), &up.device())?;
        let steps = ((self.stretch - 1.0) / self.step).ceil().min(MAX_STEPS);
        let dt = (self.stretch - 1.0) / steps;
        for n in 0..steps as usize {
            let t = 1.0 + n as f64 * dt;
            let towards = |slope: &Tensor, share: f64| x.add(&slope.affine(share * dt, 0.0)?);
            let k1 = self.slope(t, &x, matrices)?;
            let k2 = self.slope(t + dt / 2.0, &towards(&k1, 0.5)?, matrices)?;
            let k3 = self.slope(t + dt / 2.0, &towards(&k2, 0.5)?, matrices)?;
            let k4 = self.slope(t + dt, &towards(&k3, 1.0)?, matrices)?;
            let middle = k2.add(&k3)?.affine(2.0, 0.0)?;
            let sum = k1.add(&middle)?.add(&k4)?;
            x = x.add(&sum.affine(dt / 6.0, 0.0)?)?;
        }
        x.exp()?.reshape(self.dim / 2)
    }
}

impl Hook for Drift {
    fn stage(&self) -> Stage {
        Stage::Inputs
    }

    fn describe(&self) -> String {
        format!("{self:?}")
    }

    fn params(&self) -> Vec<String> {
        vec![UP.into(), DOWN.into()]
    }

    fn inputs(&self, scope: &Scope<'_>, qkv: Qkv) -> Result<Qkv> {
        // All layers share U and D, so the first solves for all.
        let inv_freq = match scope.carried(FREQUENCIES) {
            Some(found) => found.clone(),
            None => self.inv_freq(scope)?,
        };
        scope.carry(FREQUENCIES, inv_freq.clone());
        let dtype = qkv.q.dtype();
        let angles = |positions: Vec<f64>| Angles::learned(&positions, &inv_freq, dtype);
        Ok(Qkv {
            q: angles(scope.query_positions())?.turn(&qkv.q)?,
            k: angles(scope.key_positions())?.turn(&qkv.k)?,
            v: qkv.v,
        })
    }
}

const FREQUENCIES: &str = "clex.frequencies";
