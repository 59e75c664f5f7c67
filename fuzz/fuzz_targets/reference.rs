//! An image's name, and where it leads.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| carboy_fuzz::run("reference", bytes));
