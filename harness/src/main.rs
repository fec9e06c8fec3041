//! The program.

use farspan_pe::Registry;
use std::process::ExitCode;

fn main() -> ExitCode {
    farspan::cli::main_with(Registry::builtin())
}
