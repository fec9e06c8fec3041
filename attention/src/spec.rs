//! Names of devices, and what is asked of one.

use crate::{Error, Result};
use serde::Serialize;
use std::fmt;
use std::ops::Sub;
use std::str::FromStr;

/// What a card of CUDA rounds to before it multiplies matrices, and queries, keys, values and weights in attention. Sums,
/// and all else, are f32.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Precision {
    /// Nothing is rounded.
    #[default]
    F32,
    /// Matrices are, to 10 bits of mantissa; attention is not.
    Tf32,
    /// Both are, to 7 bits of mantissa.
    Bf16,
}

/// A device as a user writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DeviceSpec {
    /// The best that this build and machine have.
    Auto,
    /// The processor.
    Cpu,
    /// An NVIDIA card by ordinal, and what it rounds to.
    Cuda(usize, Precision),
    /// An adapter of wgpu by ordinal.
    Wgpu(usize),
}

impl DeviceSpec {
    /// How devices are written.
    pub const FORMS: &str = "auto, cpu, cuda[:i][+tf32|+bf16] or wgpu[:i]";

    /// What is rounded to there before it is multiplied.
    pub fn precision(&self) -> Precision {
        match self {
            DeviceSpec::Cuda(_, precision) => *precision,
            DeviceSpec::Auto | DeviceSpec::Cpu | DeviceSpec::Wgpu(_) => Precision::F32,
        }
    }
}

impl FromStr for DeviceSpec {
    type Err = Error;

    fn from_str(text: &str) -> Result<DeviceSpec> {
        let fail = |why: String| Error::Device {
            asked: text.to_string(),
            why,
        };
        let (place, precision) = match text.split_once('+') {
            Some((place, precision)) => (place, Some(precision)),
            None => (text, None),
        };
        let (kind, ordinal) = match place.split_once(':') {
            Some((kind, ordinal)) => (kind, Some(ordinal)),
            None => (place, None),
        };
        if precision.is_some() && kind != "cuda" {
            return Err(fail(format!(
                "only cards of CUDA round what they multiply: expected {place}"
            )));
        }
        let precision = || match precision {
            None => Ok(Precision::F32),
            Some("tf32") => Ok(Precision::Tf32),
            Some("bf16") => Ok(Precision::Bf16),
            Some(_) => Err(fail("expected tf32 or bf16 after the plus sign".into())),
        };
        let number = || match ordinal {
            None => Ok(0),
            Some(digits) => digits
                .parse()
                .map_err(|_| fail("expected a whole number after the colon".into())),
        };
        match (kind, ordinal) {
            ("auto", None) => Ok(DeviceSpec::Auto),
            ("cpu", None) => Ok(DeviceSpec::Cpu),
            ("auto" | "cpu", Some(_)) => Err(fail(format!("{kind} takes no number"))),
            ("cuda", _) => Ok(DeviceSpec::Cuda(number()?, precision()?)),
            ("metal", _) => Err(fail(format!(
                "cards of Apple are served by wgpu: expected wgpu{}",
                ordinal.map_or(String::new(), |i| format!(":{i}"))
            ))),
            ("wgpu", _) => Ok(DeviceSpec::Wgpu(number()?)),
            _ => Err(fail(format!("expected {}", DeviceSpec::FORMS))),
        }
    }
}

impl fmt::Display for DeviceSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DeviceSpec::Auto => f.write_str("auto"),
            DeviceSpec::Cpu => f.write_str("cpu"),
            DeviceSpec::Cuda(i, precision) => {
                let rounded = match precision {
                    Precision::F32 => "",
                    Precision::Tf32 => "+tf32",
                    Precision::Bf16 => "+bf16",
                };
                write!(f, "cuda:{i}{rounded}")
            }
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
