//! What a program of Farspan does before anything else, whichever schemes it has.

#![expect(
    unsafe_code,
    reason = "the allocator's settings are reached through C; the environment is set before any thread"
)]

/// The allocator that a program should have: training frees and takes the same large buffers at every step, and the system's
/// allocator hands each back to the kernel.
///
/// ```
/// #[global_allocator]
/// static ALLOCATOR: farspan::Allocator = farspan::Allocator;
/// ```
pub use mimalloc::MiMalloc as Allocator;

/// Number of mimalloc's option `purge_delay` (mimalloc.h), which its bindings do not name.
const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;

/// Milliseconds for which free pages are kept while a model trains: longer than a training step, also of a large model on few
/// cores, so that every step finds those of the one before. Giving them back and faulting them in again takes a tenth of a
/// step.
const KEEP: std::ffi::c_long = 600_000;

/// Switches off a layer of Mesa that looks for a display, and complains on stderr where there is none.
const NO_DISPLAY: &str = "NODEVICE_SELECT";

/// A process that only reads gives pages back at once: with a large checkpoint that is a third of a GiB.
fn keep_pages() {
    // SAFETY: a number into a table of options, which the allocator reads as it likes; a program with another allocator
    // does not read it.
    unsafe { libmimalloc_sys::mi_option_set(PURGE_DELAY, KEEP) };
}

/// To be called at the beginning of `main`, before any thread is started.
pub(crate) fn settle() {
    if std::env::var_os(NO_DISPLAY).is_none() {
        // SAFETY: no other thread runs yet.
        unsafe { std::env::set_var(NO_DISPLAY, "1") };
    }
    crate::train::before_training(keep_pages);
    farspan_attention::gpu::keep_kernels(crate::machine::cache_dir().join("kernels"));
}
