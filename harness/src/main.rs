//! The program.

use farspan_pe::Registry;
use std::process::ExitCode;

/// Training frees and takes the same large buffers at every step; the system's allocator hands each back to the kernel.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    farspan::cli::main_with(Registry::builtin())
}
