//! /proc/PID/net/dev.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| carboy_fuzz::run("net_dev", bytes));
