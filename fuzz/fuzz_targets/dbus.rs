//! A D-Bus message of systemd.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| carboy_fuzz::run("dbus", bytes));
