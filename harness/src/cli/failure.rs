//! Failed commands: which exit code and which words an error gets.

use super::{BUG, DATA, LATER, SYSTEM, USAGE};
use crate::Error;
use farspan_reports::error::{CompareError, ExportError};
use farspan_reports::page::PageError;
use farspan_reports::store::StoreError;

/// A failed command: its exit code and its words.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) code: u8,
    pub(super) text: String,
}

impl Failure {
    pub(super) fn usage(text: impl Into<String>) -> Failure {
        Failure {
            code: USAGE,
            text: text.into(),
        }
    }

    pub(super) fn new(code: u8, error: &dyn std::error::Error) -> Failure {
        Failure {
            code,
            text: chain(error),
        }
    }
}

/// An error and its causes on one line; a cause that the message quotes already is not repeated.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let words = error.to_string();
        if !text.contains(&words) {
            text = format!("{text}: {words}");
        }
        cause = error.source();
    }
    text
}

fn store_code(error: &StoreError) -> u8 {
    match error {
        lost if lost.is_lost() => LATER,
        StoreError::NotARun { .. } | StoreError::Occupied { .. } => USAGE,
        StoreError::Malformed { .. } | StoreError::Newer { .. } => DATA,
        _ => SYSTEM,
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        let code = match &error {
            Error::Store(e) => store_code(e),
            other => other.exit_code(),
        };
        Failure::new(code, &error)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Failure {
        Failure::new(store_code(&error), &error)
    }
}

impl From<PageError> for Failure {
    fn from(error: PageError) -> Failure {
        let code = match &error {
            PageError::Store(e) => store_code(e),
            PageError::Empty => USAGE,
            _ => BUG,
        };
        Failure::new(code, &error)
    }
}

impl From<ExportError> for Failure {
    fn from(error: ExportError) -> Failure {
        let code = match &error {
            ExportError::Store(e) => store_code(e),
            ExportError::UnknownFormat { .. } => USAGE,
            _ => BUG,
        };
        Failure::new(code, &error)
    }
}

impl From<CompareError> for Failure {
    fn from(error: CompareError) -> Failure {
        Failure::new(DATA, &error)
    }
}

impl From<farspan_pe::PlanError> for Failure {
    fn from(error: farspan_pe::PlanError) -> Failure {
        Failure::new(USAGE, &error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_stand_on_one_line_and_once() {
        #[derive(Debug, thiserror::Error)]
        #[error("reading a: {0}")]
        struct Quoting(#[source] std::io::Error);
        #[derive(Debug, thiserror::Error)]
        #[error("planning")]
        struct Silent(#[source] Quoting);
        let error = Silent(Quoting(std::io::Error::other("no such luck")));
        assert_eq!(chain(&error), "planning: reading a: no such luck");
    }
}
