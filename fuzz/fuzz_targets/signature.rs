//! What a signature of an image says: cosign's payload, in-toto's statement.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| carboy_fuzz::run("signature", bytes));
