//! What a scheme adds to the loss of training, of its own learned parameters.

use super::Uniform;
use farspan_attention::attend::Params;
use farspan_attention::plan::Geometry;
use farspan_attention::{Device, Error, Result, Tensor};
use std::fmt;
use std::sync::Arc;

/// A loss that is added to that of every batch in training.
pub trait AddedLoss: fmt::Debug + Send + Sync {
    /// Everything that it depends on, in one line: two that say the same are the same.
    fn describe(&self) -> String;

    /// The loss, a scalar. What it is taken over is drawn by `chance`, anew for each batch.
    fn loss(&self, learned: &Learned<'_>, chance: Uniform<'_>) -> Result<Tensor>;
}

/// What an [`AddedLoss`] may look at.
#[derive(Clone, Copy, Debug)]
pub struct Learned<'a> {
    /// The learned parameters that all layers share, with gradients.
    pub params: &'a Params,
    /// The model's sizes.
    pub geometry: &'a Geometry,
    /// Where they lie.
    pub device: &'a Device,
}

impl Learned<'_> {
    /// One of the parameters.
    pub fn param(&self, name: &str) -> Result<Tensor> {
        self.params
            .get(name)
            .cloned()
            .ok_or_else(|| Error::MissingParam {
                name: name.into(),
                shape: Vec::new(),
                given: self.params.keys().cloned().collect::<Vec<_>>().join(", "),
            })
    }
}

/// A shared [`AddedLoss`], compared by what it says of itself.
#[derive(Clone, Debug)]
pub struct AddedRef(Arc<dyn AddedLoss>);

impl AddedRef {
    /// Shares `loss`.
    pub fn new(loss: impl AddedLoss + 'static) -> AddedRef {
        AddedRef(Arc::new(loss))
    }
}

impl std::ops::Deref for AddedRef {
    type Target = dyn AddedLoss;

    fn deref(&self) -> &Self::Target {
        &*self.0
    }
}

impl PartialEq for AddedRef {
    fn eq(&self, other: &AddedRef) -> bool {
        self.describe() == other.describe()
    }
}
