//! A build without devices of wgpu.

use super::kind::{Driver, Lower};
use crate::spec::DeviceSpec;
use crate::{Error, Result};

/// Whether this build reaches devices of wgpu.
pub const BUILT: bool = false;

/// Never opens: says what to build with.
pub(crate) fn open(ordinal: usize, _lower: Lower<'_>) -> Result<Box<dyn Driver>> {
    Err(Error::Device {
        asked: DeviceSpec::Wgpu(ordinal).to_string(),
        why: "this build has no wgpu engine; build with --features wgpu".into(),
    })
}

/// None.
pub fn list() -> Vec<String> {
    Vec::new()
}

/// Never finds a kernel valid: says what to build with.
pub fn validate(_shader: &str) -> Result<()> {
    Err(Error::Argument {
        what: "a kernel",
        expected: "a build that can validate WGSL (--features wgpu)".into(),
        found: "one without the wgpu engine".into(),
    })
}
