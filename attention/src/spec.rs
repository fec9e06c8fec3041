//! Names of devices, and what is asked of one.

use crate::{Error, Result};
use serde::Serialize;
use std::fmt;
use std::ops::Sub;
use std::str::FromStr;

/// A device as a user writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DeviceSpec {
    /// The best that this build and machine have.
    Auto,
    /// The processor.
    Cpu,
    /// An NVIDIA card by ordinal.
    Cuda(usize),
    /// An adapter of wgpu by ordinal.
    Wgpu(usize),
}

impl FromStr for DeviceSpec {
    type Err = Error;

    fn from_str(text: &str) -> Result<DeviceSpec> {
        let fail = |why: String| Error::Device {
            asked: text.to_string(),
            why,
        };
        let (kind, ordinal) = match text.split_once(':') {
            Some((kind, ordinal)) => (kind, Some(ordinal)),
            None => (text, None),
        };
        let number = || match ordinal {
            None => Ok(0),
            Some(digits) => digits.parse().map_err(|_| {
                fail(format!(
                    "expected a whole number after the colon, found {digits:?}"
                ))
            }),
        };
        match (kind, ordinal) {
            ("auto", None) => Ok(DeviceSpec::Auto),
            ("cpu", None) => Ok(DeviceSpec::Cpu),
            ("auto" | "cpu", Some(_)) => Err(fail(format!("{kind} takes no number"))),
            ("cuda", _) => Ok(DeviceSpec::Cuda(number()?)),
            ("metal", _) => Err(fail(format!(
                "cards of Apple are served by wgpu: expected wgpu{}",
                ordinal.map_or(String::new(), |i| format!(":{i}"))
            ))),
            ("wgpu", _) => Ok(DeviceSpec::Wgpu(number()?)),
            _ => Err(fail("expected auto, cpu, cuda[:i] or wgpu[:i]".into())),
        }
    }
}

impl fmt::Display for DeviceSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DeviceSpec::Auto => f.write_str("auto"),
            DeviceSpec::Cpu => f.write_str("cpu"),
            DeviceSpec::Cuda(i) => write!(f, "cuda:{i}"),
            DeviceSpec::Wgpu(i) => write!(f, "wgpu:{i}"),
        }
    }
}

/// What a program asked of a device of the gpu engine since it was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Traffic {
    /// Kernels that were to run.
    pub kernels: u64,
    /// Times that commands were handed over.
    pub submissions: u64,
    /// Copies to the device.
    pub uploads: u64,
    /// Copies back, each of which waits for the device.
    pub read_backs: u64,
}

impl Sub for Traffic {
    type Output = Traffic;

    fn sub(self, before: Traffic) -> Traffic {
        Traffic {
            kernels: self.kernels - before.kernels,
            submissions: self.submissions - before.submissions,
            uploads: self.uploads - before.uploads,
            read_backs: self.read_backs - before.read_backs,
        }
    }
}
