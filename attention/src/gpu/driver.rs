//! What the engine asks of a device: memory, copies, and kernels from text. One file for each kind of device; which kinds
//! a build has is known here and nowhere else.

#[cfg(not(feature = "wgpu"))]
mod absent;
#[cfg(feature = "cuda")]
mod cuda;
#[cfg_attr(
    not(any(feature = "cuda", feature = "wgpu")),
    allow(dead_code, reason = "no device is opened whose limits would be read")
)]
mod kind;
mod noted;
#[cfg(feature = "wgpu")]
mod wgpu;

#[cfg(not(feature = "wgpu"))]
pub use self::absent::validate;
#[cfg(feature = "wgpu")]
pub use self::wgpu::validate;
use crate::spec::DeviceSpec;
use crate::{Error, Result};
pub(crate) use kind::{Driver, Handle, Lower, Product, Side};
pub(crate) use noted::Noted;

/// Opens a device. Fails where this build or machine lacks it, or where its driver refuses.
pub(crate) fn open(spec: DeviceSpec, lower: Lower<'_>) -> Result<Box<dyn Driver>> {
    // In a build without devices nobody lowers what they have.
    let _ = lower;
    match spec {
        #[cfg(feature = "cuda")]
        DeviceSpec::Cuda(ordinal, precision) => cuda::open(ordinal, precision, lower),
        #[cfg(feature = "wgpu")]
        DeviceSpec::Wgpu(ordinal) => wgpu::open(ordinal, lower),
        absent => Err(Error::Device {
            asked: spec.to_string(),
            why: without(absent),
        }),
    }
}

fn without(spec: DeviceSpec) -> String {
    let (engine, feature) = match spec {
        DeviceSpec::Cuda(..) => ("CUDA", "cuda"),
        DeviceSpec::Wgpu(_) => ("wgpu", "wgpu"),
        DeviceSpec::Auto | DeviceSpec::Cpu => {
            return "the processor has an engine of its own".into();
        }
    };
    format!("this build has no {engine} engine; build with --features {feature}")
}

/// Devices of a kind on this machine, by ordinal, one line each; what is missing where there are none, in words.
pub fn list(kind: DeviceSpec) -> Result<Vec<String>, String> {
    match kind {
        #[cfg(feature = "cuda")]
        DeviceSpec::Cuda(..) => cuda::list(),
        #[cfg(feature = "wgpu")]
        DeviceSpec::Wgpu(_) => wgpu::list(),
        absent => Err(without(absent)),
    }
}

/// Where compiled kernels are kept for later processes; without a call, nowhere. The first call counts.
pub fn keep_kernels(folder: std::path::PathBuf) {
    #[cfg(feature = "cuda")]
    cuda::keep_kernels(folder);
    #[cfg(not(feature = "cuda"))]
    let _ = folder;
}
