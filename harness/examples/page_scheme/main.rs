//! The program with the scheme of CONTRIBUTING.md, whose file lies beside this one as the page shows it. A test holds the
//! two against each other and trains it.

#![expect(
    unreachable_pub,
    reason = "the file of the scheme is written for a library"
)]

mod log_alibi;

/// What the file finds in `farspan-pe`, where it would stand.
mod card {
    pub use farspan::pe::{Card, Family, Paper};
}
mod error {
    pub use farspan::pe::{PlanError, check};
}
mod scheme {
    pub use farspan::pe::{Len, Scheme};
}

fn main() -> std::process::ExitCode {
    farspan::cli::main_with(farspan::pe::Registry::builtin().with::<log_alibi::LogAlibi>())
}
