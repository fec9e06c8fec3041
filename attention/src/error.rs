//! The error type of this crate.

use crate::expr::ParseError;

/// What can go wrong in this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A tensor has the wrong shape.
    #[error("{what}: expected shape {expected}, found {found:?}")]
    Shape {
        /// Which tensor, and in which call.
        what: String,
        /// The shape that would do, with axis names where they help.
        expected: String,
        /// Its shape.
        found: Vec<usize>,
    },
    /// A device cannot be opened.
    #[error("device {asked:?}: {why}")]
    Device {
        /// As it was written.
        asked: String,
        /// The reason.
        why: String,
    },
    /// A plan contradicts itself or the model.
    #[error("plan, {place}: {why}")]
    Plan {
        /// Field of the plan.
        place: String,
        /// What was expected and found.
        why: String,
    },
    /// An expression names something that was not given.
    #[error("expression: {why}")]
    Expr {
        /// What was expected and found.
        why: String,
    },
    /// Text that is not an expression.
    #[error(transparent)]
    Parse(#[from] ParseError),
    /// A parameter was not given.
    #[error("parameter {name:?} of shape {shape:?} is missing; given: {given}")]
    MissingParam {
        /// Its name in the plan.
        name: String,
        /// Its shape in the plan.
        shape: Vec<usize>,
        /// Names that were given.
        given: String,
    },
    /// A position lies outside of a table.
    #[error("{what}: position {position} is past the {rows} rows")]
    Position {
        /// Which table.
        what: String,
        /// The position.
        position: usize,
        /// Rows of the table.
        rows: usize,
    },
    /// An implementation was asked for by name and cannot run this.
    #[error("attention implementation {name:?} cannot run this plan here: {why}")]
    Unsupported {
        /// Name of the implementation.
        name: &'static str,
        /// The reason.
        why: String,
    },
    /// An argument is outside of its range.
    #[error("{what}: expected {expected}, found {found}")]
    Argument {
        /// Which argument of which call.
        what: &'static str,
        /// What would do.
        expected: String,
        /// What it is.
        found: String,
    },
    /// The tensor engine refused.
    #[error("tensor engine: {0}")]
    Engine(#[from] candle_core::Error),
}

/// A result with this crate's error.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    pub(crate) fn shape(
        what: impl Into<String>,
        expected: impl Into<String>,
        found: &[usize],
    ) -> Error {
        Error::Shape {
            what: what.into(),
            expected: expected.into(),
            found: found.to_vec(),
        }
    }

    pub(crate) fn plan(place: impl Into<String>, why: impl Into<String>) -> Error {
        Error::Plan {
            place: place.into(),
            why: why.into(),
        }
    }

    pub(crate) fn expr(why: impl Into<String>) -> Error {
        Error::Expr { why: why.into() }
    }
}
