//! WWW-Authenticate.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| carboy_fuzz::run("challenge", bytes));
