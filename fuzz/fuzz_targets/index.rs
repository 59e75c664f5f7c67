//! An index of manifests, and the choice from it.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| carboy_fuzz::run("index", bytes));
