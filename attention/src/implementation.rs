//! Which implementation of attention is asked for, and what any of them gives.

use crate::params::Params;
use crate::{Error, Result, Tensor};
use std::fmt;
use std::str::FromStr;

/// Which implementation is to run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Implementation {
    /// The fastest one that can; [`Attended::implementation`] tells which.
    #[default]
    Auto,
    /// Triple loop in f64.
    Naive,
    /// Tensor operations by query block, on any device.
    Composed,
    /// One fused kernel.
    Fused,
}

impl FromStr for Implementation {
    type Err = Error;

    fn from_str(text: &str) -> Result<Implementation> {
        match text {
            "auto" => Ok(Implementation::Auto),
            "naive" => Ok(Implementation::Naive),
            "composed" => Ok(Implementation::Composed),
            "fused" => Ok(Implementation::Fused),
            _ => Err(Error::Argument {
                what: "attention implementation",
                expected: "auto, naive, composed or fused".into(),
                found: format!("{text:?}"),
            }),
        }
    }
}

impl fmt::Display for Implementation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Implementation::Auto => "auto",
            Implementation::Naive => "naive",
            Implementation::Composed => "composed",
            Implementation::Fused => "fused",
        })
    }
}

/// What [`attend`](crate::attend::attend) returns.
#[derive(Clone, Debug)]
pub struct Attended {
    /// (batch, heads, queries, head_dim)
    pub output: Tensor,
    /// Name of the implementation that ran.
    pub implementation: &'static str,
    /// What hooks leave for the next layer: to be added to its [`Params`].
    pub carried: Params,
}
