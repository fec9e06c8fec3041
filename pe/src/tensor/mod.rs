//! Operations on tensors that several schemes with hooks share. Everything is differentiable.

pub(crate) mod digit_losses;
pub(crate) mod encoder;
pub(crate) mod householder;
pub(crate) mod ops;
pub(crate) mod rotation;
