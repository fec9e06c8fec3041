//! What of CUDA this machine has: the driver, its cards, and the libraries.

use super::cublas::Cublas;
use super::nvrtc::Nvrtc;
use crate::spec::Precision;
use cudarc::driver::DriverError;
use cudarc::driver::result::{self, device};
use cudarc::driver::sys::{self, CUdevice, CUdevice_attribute as Attribute, CUresult};
use std::ffi::c_int;

/// The oldest version of CUDA whose drivers serve, and the driver that came with it.
const OLDEST: (c_int, &str) = (12, "525");

/// The oldest generation whose kernels take their info by value.
const OLDEST_CARD: (c_int, c_int) = (7, 0);

/// The oldest generation whose tensor cores take tf32 and bf16.
const ROUNDING_CARD: (c_int, c_int) = (8, 0);

/// Most bytes of one array: kernels count its elements and the threads of all its groups in 32 bits.
pub(super) const ARRAY_BYTES: u64 = 1 << 33;

/// What is needed to open cards.
pub(super) struct System {
    /// Major and minor version of CUDA that the driver knows.
    version: (c_int, c_int),
    pub(super) nvrtc: Nvrtc,
    /// Or why there is none.
    pub(super) cublas: Result<Cublas, String>,
}

/// A card that the driver shows.
pub(super) struct Found {
    pub(super) device: CUdevice,
    name: String,
    /// Major and minor number of the architecture.
    pub(super) capability: (c_int, c_int),
    /// Bytes.
    pub(super) memory: u64,
    /// Bytes that the threads of a group may share.
    shared: c_int,
}

/// What the driver calls an error, and its words.
pub(super) fn words(e: DriverError) -> String {
    let name = e.error_name().map(|x| x.to_string_lossy().into_owned());
    let text = e.error_string().map(|x| x.to_string_lossy().into_owned());
    match (name, text) {
        (Ok(name), Ok(text)) => format!("{name}: {text}"),
        _ => format!(
            "error {} of the driver, which has no name for it",
            e.0 as u32
        ),
    }
}

/// Whether a card goes on after an error: the call alone was refused.
pub(super) fn recovers(e: DriverError) -> bool {
    matches!(
        e.0,
        CUresult::CUDA_ERROR_INVALID_VALUE
            | CUresult::CUDA_ERROR_OUT_OF_MEMORY
            | CUresult::CUDA_ERROR_INVALID_IMAGE
            | CUresult::CUDA_ERROR_NO_BINARY_FOR_GPU
            | CUresult::CUDA_ERROR_UNSUPPORTED_PTX_VERSION
            | CUresult::CUDA_ERROR_NOT_FOUND
            | CUresult::CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES
    )
}

/// Loads the driver and tells its version.
fn driver() -> Result<(c_int, c_int), String> {
    // SAFETY: it loads the driver's library, which does nothing before it is called.
    if !unsafe { sys::is_culib_present() } {
        let names = if cfg!(windows) {
            "nvcuda.dll"
        } else {
            "libcuda.so and libcuda.so.1"
        };
        return Err(format!(
            "no driver of NVIDIA was found; looked for {names} in the loader's path"
        ));
    }
    let failed = |e| format!("the driver of NVIDIA does not start: {}", words(e));
    result::init().map_err(failed)?;
    let mut version = 0;
    // SAFETY: it writes a number.
    unsafe { sys::cuDriverGetVersion(&mut version) }
        .result()
        .map_err(failed)?;
    let (major, minor) = (version / 1000, version % 1000 / 10);
    let (oldest, came_with) = OLDEST;
    if major < oldest {
        return Err(format!(
            "expected a driver for CUDA {oldest}.0 or newer ({came_with}), found one for CUDA {major}.{minor}"
        ));
    }
    Ok((major, minor))
}

/// Cards of this machine, by ordinal, one line each; what is missing where there are none.
pub(in crate::gpu::driver) fn list() -> Result<Vec<String>, String> {
    let system = System::find()?;
    let count = system.count()?;
    let lines = (0..count).map(|ordinal| {
        let card = system.card(ordinal)?;
        Ok(match system.nvrtc.architecture(card.capability) {
            Ok(_) => format!(
                "{}; {}; NVRTC at {}",
                system.label(&card, Precision::F32),
                card.bounds(ARRAY_BYTES.min(card.memory)),
                system.nvrtc.path().display()
            ),
            Err(why) => format!("{}; cannot be used: {why}", card.name),
        })
    });
    lines.collect()
}

impl System {
    /// Fails where there is no driver or no NVRTC, and says where it looked.
    pub(super) fn find() -> Result<System, String> {
        let version = driver()?;
        Ok(System {
            version,
            nvrtc: Nvrtc::find(version.0)?,
            cublas: Cublas::find(version.0)?,
        })
    }

    fn count(&self) -> Result<usize, String> {
        match device::get_count().map_err(words)? {
            0 => Err("the driver shows no card".into()),
            count => Ok(usize::try_from(count).unwrap_or(0)),
        }
    }

    /// Fails where there is no such card, or where it is too old.
    pub(super) fn card(&self, ordinal: usize) -> Result<Found, String> {
        let count = self.count()?;
        let number = c_int::try_from(ordinal).ok().filter(|_| ordinal < count);
        let number = number.ok_or_else(|| {
            format!("expected a card below {count}, the number that the driver shows")
        })?;
        let found = look_at(number).map_err(words)?;
        let (major, minor) = found.capability;
        if found.capability < OLDEST_CARD {
            let (a, b) = OLDEST_CARD;
            return Err(format!(
                "expected a card of architecture sm_{a}{b} or newer, found {}, sm_{major}{minor}",
                found.name
            ));
        }
        Ok(found)
    }

    /// Fails where the card, or what there is beside it, cannot round as asked.
    pub(super) fn rounds(&self, card: &Found, precision: Precision) -> Result<(), String> {
        if precision == Precision::F32 {
            return Ok(());
        }
        let (a, b) = ROUNDING_CARD;
        let (major, minor) = card.capability;
        if card.capability < ROUNDING_CARD {
            return Err(format!(
                "tensor cores take tf32 and bf16 from sm_{a}{b} on, and {} is sm_{major}{minor}; without either everything \
                 is computed in f32",
                card.name
            ));
        }
        match &self.cublas {
            Ok(_) => Ok(()),
            Err(why) => Err(format!(
                "matrix products in tf32 and bf16 are those of cuBLAS: {why}"
            )),
        }
    }

    /// The card with what compiles and computes for it, for the record.
    pub(super) fn label(&self, card: &Found, precision: Precision) -> String {
        let (major, minor) = card.capability;
        let (cuda, cuda_minor) = self.version;
        let (nvrtc, nvrtc_minor) = self.nvrtc.version;
        let rounded = match precision {
            Precision::F32 => "",
            Precision::Tf32 => ", matrix products in tf32",
            Precision::Bf16 => ", matrix products and attention in bf16",
        };
        let products = match &self.cublas {
            Ok(cublas) => cublas.label(),
            Err(_) => "no cuBLAS: matrix products by generated kernels".into(),
        };
        format!(
            "{} (sm_{major}{minor}, driver of CUDA {cuda}.{cuda_minor}, NVRTC {nvrtc}.{nvrtc_minor}, {products}{rounded})",
            card.name
        )
    }
}

fn look_at(number: c_int) -> Result<Found, DriverError> {
    let device = device::get(number)?;
    // SAFETY: the device is the driver's.
    let attribute = |which| unsafe { device::get_attribute(device, which) };
    Ok(Found {
        device,
        name: device::get_name(device)?,
        capability: (
            attribute(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?,
            attribute(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?,
        ),
        // SAFETY: as above.
        memory: unsafe { device::total_mem(device) }? as u64,
        shared: attribute(Attribute::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK)?,
    })
}

impl Found {
    /// The limits that matter, in words.
    pub(super) fn bounds(&self, array: u64) -> String {
        format!(
            "{} MiB of memory, arrays up to {} MiB, {} KiB of shared memory per kernel, subgroups",
            self.memory >> 20,
            array >> 20,
            self.shared >> 10
        )
    }
}
