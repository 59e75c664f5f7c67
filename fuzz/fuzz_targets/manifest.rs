//! An image's manifest, and what a registry may say of it.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| carboy_fuzz::run("manifest", bytes));
