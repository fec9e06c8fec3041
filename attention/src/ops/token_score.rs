//! What is known of a token after a pass.

/// What a model said about one token.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TokenScore {
    /// Negative log-likelihood of the target in nats; NaN if any logit is.
    pub nll: f32,
    /// The most likely token; of equal ones the lowest id.
    pub argmax: u32,
}
