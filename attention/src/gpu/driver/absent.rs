//! A build without wgpu, whose parser of WGSL judges kernels.

use crate::{Error, Result};

/// Never finds a kernel valid: says what to build with.
pub fn validate(_shader: &str) -> Result<()> {
    Err(Error::Argument {
        what: "a kernel",
        expected: "a build that can validate WGSL (--features wgpu)".into(),
        found: "one without the wgpu engine".into(),
    })
}
