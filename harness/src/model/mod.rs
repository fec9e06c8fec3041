//! The decoder of all architectures under any scheme, whether its weights were drawn here or read from files.
//!
//! Texts are read in two ways. Windows of one length at once ([`Decoder::hidden`]), which is how models are trained and
//! measured; and one text at a time, in pieces ([`Decoder::read`]), with a cache of keys and values.

mod adapt;
mod added;
mod aims;
mod architecture;
mod backward;
mod experts;
mod forward;
mod frozen;
pub mod generate;
mod given;
mod head;
mod latent;
mod norms;
pub(crate) mod parts;
mod prepared;
mod reading;
mod sinks;
mod tune;
mod weights;
mod windows;

pub(crate) use adapt::has_parameters;
pub use aims::{Aims, Taught};
pub use architecture::{
    Activation, Architecture, Biases, Clamped, Norm, QueryKeyNorm, Residual, Shape,
};
pub use backward::Backward;
pub(crate) use backward::Sums;
pub use experts::{Experts, Groups, Routing, Scores};
pub use latent::Latent;
pub use prepared::PreparedPlans;
pub use reading::Cache;
pub(crate) use tune::merged;
pub use weights::{Values, Weight, Weights, scheme_parameters};
pub(crate) use weights::{draw, tensors as weights_of};
pub(crate) use weights::{is_of_scheme, learned_shapes, scheme_name};

use crate::Result;
use crate::scheme::Apart;
use farspan_attention::ops::TokenScore;
use farspan_attention::plan::PositionIds;
use farspan_attention::{DType, Device, Tensor};
use farspan_datasets::Batch;
use farspan_pe::{AnyScheme, Len};
use forward::Forward;
use std::collections::BTreeMap;
use std::sync::Arc;
use weights::{initial, scheme_specs, taken};
use windows::Windows;

/// A decoder with its weights, under a scheme.
#[derive(Debug)]
pub struct Decoder {
    /// What it is.
    pub architecture: Architecture,
    /// The scheme that places its tokens.
    pub scheme: Arc<dyn AnyScheme>,
    /// Those of the layers that keep one of their own.
    apart: Apart,
    device: Device,
    /// Weights that stay as they are.
    frozen: Weights,
    /// Those that learn.
    learned: BTreeMap<String, Weight>,
    /// What adapters multiply their product by: alpha / rank.
    adapter_scale: f64,
    /// Whether activations are computed again on the way back, layer by layer, in place of being held.
    recompute: bool,
    /// Text of each token, for places that depend on it.
    texts: Arc<[String]>,
}

/// Whether a pass is recorded for gradients. Without, activations are freed as soon as they are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pass {
    /// Recorded.
    Train,
    /// Not recorded.
    Evaluate,
}

/// The residual stream after the last norm, one row per token.
#[derive(Debug)]
pub struct Hidden {
    /// (batch · len, width)
    pub rows: Tensor,
    /// Attention implementation that ran.
    pub implementation: &'static str,
}

impl Decoder {
    /// A decoder whose weights stay as they are.
    pub fn new(
        architecture: Architecture,
        scheme: Arc<dyn AnyScheme>,
        weights: Weights,
        device: &Device,
    ) -> Decoder {
        Decoder {
            architecture,
            scheme,
            apart: Apart::new(),
            device: device.clone(),
            frozen: weights,
            learned: BTreeMap::new(),
            adapter_scale: 0.0,
            recompute: false,
            texts: Arc::default(),
        }
    }

    /// A decoder whose weights all learn, with the parameters that its scheme learns for `context_len`
    /// positions. Weights are taken from `given` (an
    /// earlier [`values`](Decoder::values)) where it is there; parameters of the scheme that it lacks, and all weights
    /// without it, are drawn.
    pub fn drawn(
        architecture: Architecture,
        scheme: Arc<dyn AnyScheme>,
        context_len: Len,
        seed: u64,
        given: Option<&Values>,
        device: &Device,
    ) -> Result<Decoder> {
        let mut weights = Weights::new();
        for spec in parts::specs(&architecture) {
            let name = spec.name();
            let values = match given {
                Some(values) => taken(values, &name, &spec.shape)?,
                None => initial(&spec, seed),
            };
            weights.insert(name, Tensor::from_vec(values, spec.shape, device)?);
        }
        let plans = scheme.layer_plans(&architecture.geometry, context_len)?;
        for (name, spec) in scheme_specs(&plans) {
            if let Some(values) = given.filter(|values| values.contains_key(&name)) {
                let values = taken(values, &name, &spec.shape)?;
                weights.insert(name, Tensor::from_vec(values, spec.shape.clone(), device)?);
            }
        }
        Decoder::new(architecture, scheme, weights, device).tune(context_len, None, seed, None)
    }

    /// The same weights under another scheme; what has learned is left behind.
    pub fn with_scheme(&self, scheme: Arc<dyn AnyScheme>) -> Decoder {
        let weights = self.frozen.clone();
        let decoder = Decoder::new(self.architecture.clone(), scheme, weights, &self.device);
        let decoder = decoder.with_apart(self.apart.clone());
        decoder.with_texts(self.texts.clone())
    }

    /// Whether places depend on the texts of tokens.
    pub fn reads_texts(&self) -> Result<bool> {
        let geometry = &self.architecture.geometry;
        let plan = self.scheme.plan(geometry, Len(geometry.trained_length))?;
        Ok(plan.position_ids != PositionIds::Index)
    }

    /// Lets the layers that `architecture` says follow schemes of their own.
    pub fn with_apart(mut self, apart: Apart) -> Decoder {
        self.apart = apart;
        self
    }

    /// Tells the text of each token id, which plans need whose places depend on the text.
    pub fn with_texts(mut self, texts: Arc<[String]>) -> Decoder {
        self.texts = texts;
        self
    }

    /// Whether the text of token `id` is one of `separators`.
    fn closes(&self, id: u32, separators: &[String]) -> bool {
        let text = self.texts.get(id as usize);
        text.is_some_and(|text| separators.contains(text))
    }

    /// Lets [`backward`](Decoder::backward) hold the input of each layer, and the activations of one layer at a time, which are
    /// computed a second time (Chen et al. 2016, arXiv 1604.06174, section 4).
    pub fn recomputing(mut self, on: bool) -> Decoder {
        self.recompute = on;
        self
    }

    /// Where it computes.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Which sublayers of a layer run as one operation each, as far as the architecture decides it.
    pub fn fused_sublayers(&self) -> &'static str {
        let sublayers = (
            self.architecture.plain_attention(),
            (0..self.architecture.geometry.layers).all(|l| self.architecture.plain_mlp(l)),
        );
        match sublayers {
            _ if !self.device.is_cpu() => "none",
            (true, true) => "both",
            (true, false) => "attention",
            (false, true) => "feed-forward",
            (false, false) => "none",
        }
    }

    /// The weights that can learn, by name.
    pub fn weights(&self) -> &BTreeMap<String, Weight> {
        &self.learned
    }

    /// Copies out all weights that can learn.
    pub fn values(&self) -> Result<Values> {
        let copy = |(name, weight): (&String, &Weight)| {
            let tensor = weight.var.tensor();
            let values = (tensor.dims().to_vec(), tensor.to_flat::<f32>()?);
            Ok((name.clone(), values))
        };
        self.learned.iter().map(copy).collect()
    }

    /// What the scheme learned, by name, whether it goes on learning here or is only read.
    pub fn scheme_values(&self) -> Result<BTreeMap<String, Vec<f32>>> {
        let learned = self.learned.iter().map(|(name, w)| (name, w.var.tensor()));
        let all = learned.chain(&self.frozen);
        let own = all.filter(|(name, _)| is_of_scheme(name));
        own.map(|(name, tensor)| Ok((name.clone(), tensor.to_dtype(DType::F32)?.to_flat()?)))
            .collect()
    }

    /// Learned numbers, (all, the scheme's).
    pub fn parameters(&self) -> (u64, u64) {
        let frozen: u64 = self.frozen.values().map(|t| t.elem_count() as u64).sum();
        let count = |w: &Weight| w.var.tensor().elem_count() as u64;
        let weights = self.learned.values();
        let scheme = weights.clone().filter(|w| w.scheme).map(count).sum();
        (frozen + weights.map(count).sum::<u64>(), scheme)
    }

    /// Makes the plans for `context_len` positions ready for windows of `len` tokens starting at position 0.
    pub fn prepare(&self, context_len: Len, len: usize) -> Result<PreparedPlans> {
        self.prepare_under(self.scheme.as_ref(), context_len, len)
    }

    /// As [`prepare`](Decoder::prepare), under a scheme that learns the same parameters.
    pub fn prepare_under(
        &self,
        scheme: &dyn AnyScheme,
        context_len: Len,
        len: usize,
    ) -> Result<PreparedPlans> {
        let plans = self.plans_under(scheme, context_len)?;
        PreparedPlans::new(&self.architecture.geometry, &plans, len, &self.device)
    }

    /// Runs the stack over the windows of `batch`, of `ready`'s length.
    pub fn hidden(&self, batch: &Batch, ready: &PreparedPlans, pass: Pass) -> Result<Hidden> {
        let mut windows = Windows::new(self, batch, ready)?;
        let mut state = windows.start(pass)?;
        for layer in 0..self.architecture.geometry.layers {
            windows.step(&mut state, layer, pass)?;
        }
        Ok(Hidden {
            rows: windows.end(&state.x()?, pass)?,
            implementation: windows.implementation,
        })
    }

    /// Mean loss of a batch in nats per scored token, as a scalar that can be differentiated.
    pub fn loss(&self, batch: &Batch, ready: &PreparedPlans) -> Result<(Tensor, &'static str)> {
        self.loss_to(batch, ready, &Aims::default())
    }

    fn loss_to(
        &self,
        batch: &Batch,
        ready: &PreparedPlans,
        aims: &Aims,
    ) -> Result<(Tensor, &'static str)> {
        let hidden = self.hidden(batch, ready, Pass::Train)?;
        let loss = self.aimed(&hidden.rows, batch, aims)?;
        Ok((loss, hidden.implementation))
    }

    /// Loss and gradients of a batch.
    pub fn backward(&self, batch: &Batch, ready: &PreparedPlans) -> Result<Backward> {
        self.backward_to(batch, ready, &Aims::default())
    }

    /// As [`backward`](Decoder::backward), of a loss that goes by `aims`.
    pub fn backward_to(
        &self,
        batch: &Batch,
        ready: &PreparedPlans,
        aims: &Aims,
    ) -> Result<Backward> {
        match self.recompute {
            true => self.recomputed(batch, ready, aims),
            false => Backward::of(self.loss_to(batch, ready, aims)?),
        }
    }

    /// Negative log-likelihood and arg-max of every target of a batch, without gradients.
    pub fn scores(&self, batch: &Batch, ready: &PreparedPlans) -> Result<Vec<TokenScore>> {
        let hidden = self.hidden(batch, ready, Pass::Evaluate)?;
        self.row_scores(&hidden.rows, &batch.targets)
    }

    /// Negative log-likelihood of `targets` and the most likely token, row by row of `hidden` (tokens, width), the
    /// residual stream after the last norm.
    pub fn row_scores(&self, hidden: &Tensor, targets: &[u32]) -> Result<Vec<TokenScore>> {
        self.forward(Pass::Evaluate).scores(hidden, targets)
    }

    /// Logits of rows of the residual stream: (tokens, width) -> (tokens, vocab).
    pub fn logits(&self, hidden: &Tensor) -> Result<Tensor> {
        self.forward(Pass::Evaluate).logits(hidden)
    }

    fn forward(&self, pass: Pass) -> Forward<'_> {
        Forward {
            decoder: self,
            pass,
        }
    }
}

#[cfg(test)]
mod tests;
