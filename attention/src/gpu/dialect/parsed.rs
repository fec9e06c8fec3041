//! WGSL as naga understands it.

use crate::{Error, Result};
use naga::valid::{Capabilities, ModuleInfo, ValidationFlags, Validator};

/// The module that a text says, and what validation found of it. Fails with naga's words if `wgsl` is not valid, or needs
/// what is not `allowed`.
pub(super) fn parsed(wgsl: &str, allowed: Capabilities) -> Result<(naga::Module, ModuleInfo)> {
    let refused = |found: String| Error::Argument {
        what: "a kernel",
        expected: "valid WGSL".into(),
        found,
    };
    let module = naga::front::wgsl::parse_str(wgsl);
    let module = module.map_err(|e| refused(e.emit_to_string(wgsl)))?;
    let mut validator = Validator::new(ValidationFlags::all(), allowed);
    match validator.validate(&module) {
        Ok(info) => Ok((module, info)),
        Err(error) => Err(refused(error.emit_to_string(wgsl))),
    }
}
