//! A policy of signatures, policy.json.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| carboy_fuzz::run("policy", bytes));
