//! A tar archive, compressed or not.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| carboy_fuzz::run("archive", bytes));
