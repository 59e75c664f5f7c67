//! A bundle of sigstore's.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| carboy_fuzz::run("bundle", bytes));
