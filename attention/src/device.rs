//! Where tensors live: `cpu`, `cuda[:i][+tf32|+bf16]`, `wgpu[:i]`, or `auto`, which says what it took and why.

use crate::gpu::Context;
use crate::{Error, Result};
use std::fmt;
use std::sync::Arc;

pub use crate::spec::{DeviceSpec, Precision, Traffic};

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
    /// The processor.
    Candle(candle_core::Device),
    /// A card of CUDA or an adapter of wgpu.
    Gpu(Context),
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
            DeviceSpec::Cuda(..) | DeviceSpec::Wgpu(_) => {
                let context = Context::shared(spec)?;
                let note = format!(
                    "{spec}: available; {}; {}",
                    context.describe(),
                    context.bounds()
                );
                Ok(Device::placed(Place::Gpu(context), spec, note))
            }
        }
    }

    fn best() -> Device {
        let spec = DeviceSpec::Cuda(0, Precision::F32);
        let passed = match Context::shared(spec) {
            Ok(context) => {
                let note = format!("auto → {spec}; {}", context.describe());
                return Device::placed(Place::Gpu(context), spec, note);
            }
            Err(Error::Device { why, .. }) => format!("{spec}: {why}"),
            Err(other) => other.to_string(),
        };
        let note = format!("auto → cpu ({passed})");
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

    /// Every card of CUDA, or every adapter of wgpu, whichever `kind` is, with what opens it: name, driver, limits, and
    /// whether it is software; in words what is missing where there are none, or where this build cannot open them.
    pub fn all(kind: DeviceSpec) -> Result<Vec<(DeviceSpec, String)>, String> {
        let found = crate::gpu::list(kind)?;
        let numbered = found.into_iter().enumerate();
        let of = |(i, text)| match kind {
            DeviceSpec::Cuda(_, precision) => (DeviceSpec::Cuda(i, precision), text),
            _ => (DeviceSpec::Wgpu(i), text),
        };
        Ok(numbered.map(of).collect())
    }

    /// The kind and ordinal; never `Auto`.
    pub fn spec(&self) -> DeviceSpec {
        self.spec
    }

    /// What was taken and why, one line for the log.
    pub fn note(&self) -> &str {
        &self.note
    }

    /// What computes, for the record: the device, on a GPU with its driver and what differs from run to run, whichever of
    /// several alike it is.
    pub fn described(&self) -> String {
        match &self.place {
            Place::Candle(_) => self.spec.to_string(),
            Place::Gpu(context) => {
                let spec = self.spec.to_string();
                let kind = spec.split(':').next().unwrap_or_default();
                format!(
                    "{kind}: {}; sums that several workgroups make come in any order",
                    context.describe()
                )
            }
        }
    }

    /// Whether this is the processor.
    pub fn is_cpu(&self) -> bool {
        self.spec == DeviceSpec::Cpu
    }

    /// Whether this is a card of CUDA or an adapter of wgpu.
    pub fn is_gpu(&self) -> bool {
        matches!(self.place, Place::Gpu(_))
    }

    /// Waits until all work given to the device is done.
    pub fn synchronize(&self) -> Result<()> {
        match &self.place {
            Place::Candle(engine) => Ok(engine.synchronize()?),
            Place::Gpu(context) => context.synchronize(),
        }
    }

    /// What was asked of it so far; `None` on the processor.
    pub fn traffic(&self) -> Option<Traffic> {
        match &self.place {
            Place::Candle(_) => None,
            Place::Gpu(context) => Some(context.traffic()),
        }
    }

    /// The device of the candle engine; `None` on a GPU.
    pub fn as_candle(&self) -> Option<&candle_core::Device> {
        match &self.place {
            Place::Candle(engine) => Some(engine),
            Place::Gpu(_) => None,
        }
    }

    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    /// The open GPU, if it is one.
    pub fn context(&self) -> Option<&Context> {
        match &self.place {
            Place::Candle(_) => None,
            Place::Gpu(context) => Some(context),
        }
    }

    /// Wraps an open GPU.
    pub fn from_context(context: &Context) -> Device {
        let spec = context.spec();
        let note = format!("{spec}: handed over open");
        Device::placed(Place::Gpu(context.clone()), spec, note)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_and_written_back() {
        for text in [
            "auto",
            "cpu",
            "cuda:0",
            "cuda:3+bf16",
            "cuda:1+tf32",
            "wgpu:1",
        ] {
            assert_eq!(text.parse::<DeviceSpec>().unwrap().to_string(), text);
        }
        for (text, precision) in [("cuda", Precision::F32), ("cuda+bf16", Precision::Bf16)] {
            let found = text.parse::<DeviceSpec>().unwrap();
            assert_eq!(found, DeviceSpec::Cuda(0, precision));
        }
        for text in [
            "",
            "gpu",
            "cpu:0",
            "cuda:x",
            "cuda:",
            "CPU",
            "metal",
            "cuda+f16",
            "cpu+bf16",
            "wgpu+bf16",
            "cuda+bf16:1",
        ] {
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
        let message = Device::open("metal:1").unwrap_err().to_string();
        assert!(message.contains("expected wgpu:1"), "{message}");
        #[cfg(not(feature = "cuda"))]
        assert!(
            Device::open("cuda")
                .unwrap_err()
                .to_string()
                .contains("--features cuda")
        );
    }
}
