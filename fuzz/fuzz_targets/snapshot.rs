//! A snapshot that see --json has printed, and every question to it.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| carboy_fuzz::run("snapshot", bytes));
