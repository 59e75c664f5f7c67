//! Layers of an image over one another.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| carboy_fuzz::run("layer", bytes));
