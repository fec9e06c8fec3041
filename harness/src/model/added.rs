//! What a scheme adds to the loss of training, of its own learned parameters.

use super::{Backward, Decoder, Pass};
use crate::Result;
use farspan_pe::Len;
use farspan_pe::recipe::{AddedRef, Learned, Uniform};

impl Decoder {
    /// What the scheme adds to the loss of every batch, if it does and its parameters learn.
    pub fn added_loss(&self) -> Result<Option<AddedRef>> {
        let added = self.scheme.recipe(&self.architecture.geometry)?.added;
        Ok(added.filter(|_| self.learned.values().any(|weight| weight.scheme)))
    }

    /// That loss and its gradients; `chance` draws what it is taken over.
    pub fn backward_added(&self, added: &AddedRef, chance: Uniform<'_>) -> Result<Backward> {
        let geometry = &self.architecture.geometry;
        let mut plan = self.scheme.plan(geometry, Len(geometry.trained_length))?;
        plan.params.retain(|spec| !spec.per_layer);
        let params = self.forward(Pass::Train).scheme_params(&plan, 0)?;
        let learned = Learned {
            params: &params,
            geometry,
            device: &self.device,
        };
        Backward::of((added.loss(&learned, chance)?, "none"))
    }
}
