//! A query of a container, and a resolv.conf.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| carboy_fuzz::run("resolver", bytes));
