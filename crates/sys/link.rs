//! What the build scripts of the programs share: whether the linker may pack what is to be relocated.

use std::env::var;
use std::process::Command;

/// Packs it, a bit for an address in place of 24 bytes that each start reads, where the C library that is linked knows that
/// (`DT_RELR`): glibc does since 2.36. With an older one the program would not start.
pub(crate) fn pack_relocations() {
    if var("CARGO_CFG_TARGET_ENV").is_ok_and(|found| found == "gnu") && library_unpacks() {
        println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
}

fn library_unpacks() -> bool {
    let told = Command::new("getconf").arg("GNU_LIBC_VERSION").output();
    let text = told.map(|told| String::from_utf8_lossy(&told.stdout).into_owned()).unwrap_or_default();
    let version = text.trim().strip_prefix("glibc ").and_then(|version| version.split_once('.'));
    let number = |text: &str| text.parse().unwrap_or(0);
    version.is_some_and(|(major, minor)| (number(major), number(minor)) >= (2, 36))
}
