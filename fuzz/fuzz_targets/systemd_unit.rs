//! The name of a systemd unit.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| carboy_fuzz::run("systemd_unit", bytes));
