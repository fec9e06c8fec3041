//! Whether text is WGSL that every adapter must take: parsed and validated without a device.

use crate::{Error, Result};
use wgpu::naga;

/// Fails with naga's words if `shader` is not valid WGSL without optional features.
pub fn validate(shader: &str) -> Result<()> {
    let refused = |found: String| Error::Argument {
        what: "a kernel",
        expected: "valid WGSL".into(),
        found,
    };
    let module =
        naga::front::wgsl::parse_str(shader).map_err(|e| refused(e.emit_to_string(shader)))?;
    let flags = naga::valid::ValidationFlags::all();
    let mut validator = naga::valid::Validator::new(flags, naga::valid::Capabilities::empty());
    match validator.validate(&module) {
        Ok(_) => Ok(()),
        Err(error) => Err(refused(error.emit_to_string(shader))),
    }
}
