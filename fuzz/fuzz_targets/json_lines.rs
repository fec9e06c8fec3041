//! Fuzzes the reader of text in lines of JSON.
#![no_main]

#[path = "../entries.rs"]
mod entries;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| entries::json_lines(bytes));
