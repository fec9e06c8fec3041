//! Fuzzes the reader of expressions of the score language.
#![no_main]

#[path = "../entries.rs"]
mod entries;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| entries::expression(bytes));
