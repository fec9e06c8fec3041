//! Gradients of a batch, and sums of them.

use super::Weight;
use crate::Result;
use farspan_attention::{Gradients, Tensor};
use std::collections::BTreeMap;

/// A loss and its gradients.
#[derive(Debug)]
pub struct Backward {
    /// Mean loss of a batch in nats per scored token.
    pub loss: f64,
    /// Gradients of the weights that learn; none if the loss is no number.
    pub gradients: Option<Gradients>,
    /// Attention implementation that ran.
    pub implementation: &'static str,
}

impl Backward {
    /// Those of a loss that was recorded.
    pub(crate) fn of((loss, implementation): (Tensor, &'static str)) -> Result<Backward> {
        let value = f64::from(loss.to_scalar::<f32>()?);
        let gradients = match value.is_finite() {
            true => Some(loss.backward()?),
            false => None,
        };
        Ok(Backward {
            loss: value,
            gradients,
            implementation,
        })
    }
}

/// Gradients of several batches, added up, so that only one batch's activations are held at a time.
#[derive(Default)]
pub(crate) struct Sums(BTreeMap<String, Tensor>);

impl Sums {
    /// Adds `share` times `gradients`.
    pub(crate) fn add(
        &mut self,
        weights: &BTreeMap<String, Weight>,
        gradients: &Gradients,
        share: f64,
    ) -> Result<()> {
        for (name, weight) in weights {
            let Some(gradient) = gradients.get(&weight.var) else {
                continue;
            };
            let gradient = gradient.affine(share, 0.0)?;
            let sum = match self.0.get(name) {
                Some(sum) => sum.add(&gradient)?,
                None => gradient,
            };
            self.0.insert(name.clone(), sum);
        }
        Ok(())
    }

    /// The sums in the form that the optimizer takes: as the gradients of Σ weight · sum.
    pub(crate) fn gradients(
        &self,
        weights: &BTreeMap<String, Weight>,
    ) -> Result<Option<Gradients>> {
        let mut total: Option<Tensor> = None;
        for (name, sum) in &self.0 {
            let part = weights[name].var.tensor().mul(sum)?.sum_all()?;
            total = Some(match total {
                Some(total) => total.add(&part)?,
                None => part,
            });
        }
        Ok(total.map(|total| total.backward()).transpose()?)
    }
}
