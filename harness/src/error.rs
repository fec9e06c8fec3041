//! The harness's error: what went wrong, in a form that knows its exit code.

/// What can go wrong between a config and a page.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A config, an override or a flag is wrong. Nothing was started.
    #[error("{0}")]
    Config(String),
    /// Data or a model that cannot be used; trying again will not help.
    #[error("{0}")]
    Data(String),
    /// Text or task data.
    #[error(transparent)]
    Datasets(#[from] farspan_datasets::DataError),
    /// The run folder, or a result in it.
    #[error(transparent)]
    Store(#[from] farspan_reports::store::StoreError),
    /// A scheme's settings, or what it cannot do.
    #[error(transparent)]
    Plan(#[from] farspan_pe::PlanError),
    /// A tensor operation failed.
    #[error(transparent)]
    Attention(#[from] farspan_attention::Error),
    /// Reading or writing a file.
    #[error("{what}: {source}")]
    Io {
        /// What was being done to which file.
        what: String,
        /// The system's word.
        source: std::io::Error,
    },
    /// A condition that should be impossible.
    #[error("internal error: {0}")]
    Bug(String),
}

/// Short for a result with the harness's error.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// Process exit code: 2 usage or config, 65 data, 70 our bug, 74 input/output, 75 made by another worker.
    pub fn exit_code(&self) -> u8 {
        match self {
            Error::Config(_) | Error::Plan(_) => 2,
            Error::Data(_) | Error::Datasets(_) => 65,
            Error::Store(e) if e.is_lost() => 75,
            Error::Store(_) | Error::Io { .. } => 74,
            Error::Attention(_) | Error::Bug(_) => 70,
        }
    }

    /// An input/output error with its context.
    pub fn io(what: impl Into<String>, source: std::io::Error) -> Error {
        Error::Io {
            what: what.into(),
            source,
        }
    }
}
