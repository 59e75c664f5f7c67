//! /proc/PID/uid_map.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| carboy_fuzz::run("id_map", bytes));
