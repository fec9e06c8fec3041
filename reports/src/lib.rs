//! What a result is, where it is kept, and how it is shown. Knows no tensor and no scheme: labels arrive in records.
#![forbid(unsafe_code)]

pub mod error;
pub mod export;
pub mod figure;
#[doc(hidden)]
pub mod fixture;
pub mod page;
pub mod record;
pub mod stats;
pub mod store;
pub mod summary;
pub mod table;
pub mod verdict;
