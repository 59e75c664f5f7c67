//! What carboy keeps on disk of a container.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| carboy_fuzz::run("record", bytes));
