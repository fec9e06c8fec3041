//! Fuzzes the reader of run folders and the page.
#![no_main]

#[path = "../entries.rs"]
mod entries;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| entries::run_folder(bytes));
