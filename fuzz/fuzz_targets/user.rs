//! /etc/passwd, /etc/group, and who is looked for there.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| carboy_fuzz::run("user", bytes));
