//! Where tensors live: `cpu`, `cuda[:i]`, `metal[:i]`, `wgpu[:i]`, or `auto`, which says what it took and why.

use crate::gpu::Context;
use crate::{Error, Result};
use std::fmt;
use std::sync::Arc;

pub use crate::spec::{DeviceSpec, Traffic};

/// An open device. Displays as the [`DeviceSpec`] that opens it again.
#[derive(Clone, Debug)]
pub struct Device {
    place: Place,
    spec: DeviceSpec,
    note: Arc<str>,
}

/// The device of the engine that computes.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    /// The processor, CUDA or Metal.
    Candle(candle_core::Device),
    /// An adapter of wgpu.
    Wgpu(Context),
}

impl Device {
    /// The processor, always there.
    pub fn cpu() -> Device {
        Device::opened(
            candle_core::Device::Cpu,
            DeviceSpec::Cpu,
            "cpu: available".into(),
        )
    }

    /// Opens the device that `spec` names (see [`DeviceSpec`]). Fails where this build or machine lacks it: only
    /// `auto` chooses, and [`note`](Device::note) tells what it chose.
    pub fn open(spec: &str) -> Result<Device> {
        let spec: DeviceSpec = spec.parse()?;
        match spec {
            DeviceSpec::Auto => Ok(Device::best()),
            DeviceSpec::Cpu => Ok(Device::cpu()),
            DeviceSpec::Cuda(ordinal) => {
                if !cfg!(feature = "cuda") {
                    return Err(absent(spec, "CUDA", "cuda"));
                }
                let engine =
                    candle_core::Device::new_cuda(ordinal).map_err(|e| refused(spec, &e))?;
                Ok(Device::opened(engine, spec, format!("{spec}: available")))
            }
            DeviceSpec::Metal(ordinal) => {
                if !cfg!(feature = "metal") {
                    return Err(absent(spec, "Metal", "metal"));
                }
                let engine =
                    candle_core::Device::new_metal(ordinal).map_err(|e| refused(spec, &e))?;
                Ok(Device::opened(engine, spec, format!("{spec}: available")))
            }
            DeviceSpec::Wgpu(ordinal) => {
                let context = Context::shared(ordinal)?;
                let note = format!(
                    "{spec}: available; {}; {}",
                    context.describe(),
                    context.bounds()
                );
                Ok(Device::placed(Place::Wgpu(context), spec, note))
            }
        }
    }

    fn best() -> Device {
        let mut passed = Vec::new();
        for spec in [DeviceSpec::Cuda(0), DeviceSpec::Metal(0)] {
            match Device::open(&spec.to_string()) {
                Ok(found) => {
                    let note = format!("auto → {spec}{}", because(&passed));
                    return Device::placed(found.place, spec, note);
                }
                Err(Error::Device { why, .. }) => passed.push(format!("{spec}: {why}")),
                Err(other) => passed.push(other.to_string()),
            }
        }
        let note = format!("auto → cpu{}", because(&passed));
        Device::opened(candle_core::Device::Cpu, DeviceSpec::Cpu, note)
    }

    fn opened(engine: candle_core::Device, spec: DeviceSpec, note: String) -> Device {
        Device::placed(Place::Candle(engine), spec, note)
    }

    fn placed(place: Place, spec: DeviceSpec, note: String) -> Device {
        Device {
            place,
            spec,
            note: note.into(),
        }
    }

    /// Every adapter of wgpu on this machine with what opens it: name, backend, driver, limits, and whether it is
    /// software. None where this build has no wgpu engine.
    pub fn adapters() -> Vec<(DeviceSpec, String)> {
        let found = crate::gpu::list();
        let numbered = found.into_iter().enumerate();
        numbered
            .map(|(i, text)| (DeviceSpec::Wgpu(i), text))
            .collect()
    }

    /// The kind and ordinal; never `Auto`.
    pub fn spec(&self) -> DeviceSpec {
        self.spec
    }

    /// What was taken and why, one line for the log.
    pub fn note(&self) -> &str {
        &self.note
    }

    /// What computes, for the record: the device, and on wgpu the adapter with its driver, whichever of several alike it is.
    pub fn described(&self) -> String {
        match &self.place {
            Place::Candle(_) => self.spec.to_string(),
            Place::Wgpu(context) => format!("wgpu: {}", context.describe()),
        }
    }

    /// Whether this is the processor.
    pub fn is_cpu(&self) -> bool {
        self.spec == DeviceSpec::Cpu
    }

    /// Whether this is an adapter of wgpu.
    pub fn is_wgpu(&self) -> bool {
        matches!(self.spec, DeviceSpec::Wgpu(_))
    }

    /// Waits until all work given to the device is done.
    pub fn synchronize(&self) -> Result<()> {
        match &self.place {
            Place::Candle(engine) => Ok(engine.synchronize()?),
            Place::Wgpu(context) => context.synchronize(),
        }
    }

    /// What was asked of it so far; `None` if it is not one of wgpu.
    pub fn traffic(&self) -> Option<Traffic> {
        match &self.place {
            Place::Candle(_) => None,
            Place::Wgpu(context) => Some(context.traffic()),
        }
    }

    /// The device of the candle engine; `None` if it is one of wgpu.
    pub fn as_candle(&self) -> Option<&candle_core::Device> {
        match &self.place {
            Place::Candle(engine) => Some(engine),
            Place::Wgpu(_) => None,
        }
    }

    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    /// The open adapter of wgpu, if it is one.
    pub fn context(&self) -> Option<&Context> {
        match &self.place {
            Place::Candle(_) => None,
            Place::Wgpu(context) => Some(context),
        }
    }

    /// Wraps an open adapter of wgpu.
    pub fn from_context(context: &Context) -> Device {
        let spec = context.spec();
        let note = format!("{spec}: handed over open");
        Device::placed(Place::Wgpu(context.clone()), spec, note)
    }

    /// Wraps a candle device.
    pub fn from_candle(engine: &candle_core::Device) -> Device {
        let spec = match engine.location() {
            candle_core::DeviceLocation::Cpu => DeviceSpec::Cpu,
            candle_core::DeviceLocation::Cuda { gpu_id } => DeviceSpec::Cuda(gpu_id),
            candle_core::DeviceLocation::Metal { gpu_id } => DeviceSpec::Metal(gpu_id),
        };
        Device::opened(engine.clone(), spec, format!("{spec}: handed over open"))
    }
}

impl PartialEq for Device {
    fn eq(&self, other: &Device) -> bool {
        self.spec == other.spec
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.spec.fmt(f)
    }
}

fn because(passed: &[String]) -> String {
    if passed.is_empty() {
        String::new()
    } else {
        format!(" ({})", passed.join("; "))
    }
}

fn absent(spec: DeviceSpec, engine: &str, feature: &str) -> Error {
    let why = format!("this build has no {engine} engine; build with --features {feature}");
    Error::Device {
        asked: spec.to_string(),
        why,
    }
}

fn refused(spec: DeviceSpec, error: &candle_core::Error) -> Error {
    Error::Device {
        asked: spec.to_string(),
        why: error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_and_written_back() {
        for text in ["auto", "cpu", "cuda:0", "cuda:3", "metal:0", "wgpu:1"] {
            assert_eq!(text.parse::<DeviceSpec>().unwrap().to_string(), text);
        }
        assert_eq!("cuda".parse::<DeviceSpec>().unwrap(), DeviceSpec::Cuda(0));
        for text in ["", "gpu", "cpu:0", "cuda:x", "cuda:", "CPU"] {
            let message = text.parse::<DeviceSpec>().unwrap_err().to_string();
            assert!(message.contains(&format!("{text:?}")), "{message}");
        }
    }

    #[test]
    fn auto_tells_its_choice_and_absent_engines_are_errors() {
        let auto = Device::open("auto").unwrap();
        assert!(
            auto.note().starts_with(&format!("auto → {auto}")),
            "{}",
            auto.note()
        );
        let message = Device::open("wgpu:99").unwrap_err().to_string();
        assert!(message.contains("wgpu:99"), "{message}");
        #[cfg(not(feature = "cuda"))]
        assert!(
            Device::open("cuda")
                .unwrap_err()
                .to_string()
                .contains("--features cuda")
        );
    }
}
