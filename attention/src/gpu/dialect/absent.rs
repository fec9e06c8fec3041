//! A build that cannot read WGSL.

use super::written::Cuda;
use crate::{Error, Result};

/// Never writes CUDA text: says what to build with.
pub fn cuda(_wgsl: &str) -> Result<Cuda> {
    Err(Error::Argument {
        what: "a kernel",
        expected: "a build that can read WGSL (--features wgpu or cuda)".into(),
        found: "one without either".into(),
    })
}
