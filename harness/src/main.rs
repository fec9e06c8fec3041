//! The program.

use farspan_pe::Registry;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: farspan::Allocator = farspan::Allocator;

fn main() -> ExitCode {
    farspan::cli::main_with(Registry::builtin())
}
