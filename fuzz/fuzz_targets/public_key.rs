//! A public key in PEM.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| carboy_fuzz::run("public_key", bytes));
