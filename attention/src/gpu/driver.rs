//! What the engine asks of a device: memory, copies, and kernels from text. One file for each kind of device; which kinds
//! a build has is known here and nowhere else.

#[cfg(not(feature = "wgpu"))]
mod absent;
#[cfg_attr(
    not(feature = "wgpu"),
    allow(dead_code, reason = "no device is opened whose limits would be read")
)]
mod kind;
mod noted;
#[cfg(feature = "wgpu")]
mod wgpu;

#[cfg(not(feature = "wgpu"))]
use self::absent as adapter;
#[cfg(feature = "wgpu")]
use self::wgpu as adapter;

pub(crate) use adapter::open;
pub use adapter::{BUILT, list, validate};
pub(crate) use kind::{Driver, Handle, Lower};
pub(crate) use noted::Noted;
