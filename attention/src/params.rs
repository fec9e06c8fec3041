//! What a plan asks for by name: parameters as it specifies them, and the tensors that a call of attention is given.

use crate::Tensor;
use std::collections::BTreeMap;

/// A parameter of a scheme.
#[derive(Clone, Debug, PartialEq)]
pub struct ParamSpec {
    /// Name, as the expressions use it.
    pub name: String,
    /// Shape: \[heads\], \[heads, rows\], \[rows\] or \[rows, width\].
    pub shape: Vec<usize>,
    /// Value before training.
    pub init: Init,
    /// Whether training changes it; a table of constants otherwise.
    pub learned: bool,
    /// Whether each layer has its own.
    pub per_layer: bool,
    /// The value is clamped into this range after each step (a projected step: the gradient is that of the
    /// unclamped formula).
    pub clamp: Option<(f64, f64)>,
}

impl ParamSpec {
    /// Number of values.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether it has no values.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Its values if they belong to the plan itself: not learned and not drawn. Every implementation reads these
    /// from the plan, so that no caller can pass others.
    pub fn constant(&self) -> Option<Vec<f64>> {
        match (&self.init, self.learned) {
            (Init::Constant(x), false) => Some(vec![*x; self.len()]),
            (Init::Values(values), false) => Some(values.clone()),
            _ => None,
        }
    }
}

/// Initial values. The draws come from the scheme's own random stream.
#[derive(Clone, Debug, PartialEq)]
pub enum Init {
    /// All the same.
    Constant(f64),
    /// Given, row-major.
    Values(Vec<f64>),
    /// Uniform in \[low, high).
    Uniform(f64, f64),
    /// Normal with this mean and standard deviation.
    Normal(f64, f64),
}

/// What attention reads besides q, k and v, by name: one layer's parameters in the shapes that the plan gives, the
/// layer's input as [`INPUT`] where [`Plan::reads_input`](crate::plan::Plan::reads_input), what the feed-forward part
/// before it added as [`FEED_FORWARD`] where [`Plan::reads_feed_forward`](crate::plan::Plan::reads_feed_forward), and
/// what the layer before carried over ([`Attended::carried`](crate::attend::Attended::carried)).
pub type Params = BTreeMap<String, Tensor>;

/// Name of the layer's input after its norm, (batch, tokens, width), among [`Params`].
pub const INPUT: &str = "@input";

/// Name of what the feed-forward part of the layer before added to the residual stream, (batch, tokens, width), among
/// [`Params`].
pub const FEED_FORWARD: &str = "@feed_forward";

/// What names of carried tensors start with.
pub(crate) const CARRIED: &str = "@carried.";

/// Names for an error message.
pub(crate) fn names(params: &Params) -> String {
    params
        .keys()
        .map(String::as_str)
        .collect::<Vec<_>>()
        .join(", ")
}
