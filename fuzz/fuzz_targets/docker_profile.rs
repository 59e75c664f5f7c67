//! A seccomp profile as Docker has them.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| carboy_fuzz::run("docker_profile", bytes));
