//! What the linker is told of the program: to start at `carboy_entry` (crates/sys/src/entry.rs), to pack what is to be
//! relocated, and in a release to put the functions together that a container's life goes through (hot.ld, made by
//! `cargo xtask order`).

use std::env::var;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=hot.ld");
    let is = |name: &str, value: &str| var(name).is_ok_and(|found| found == value);
    if !is("CARGO_CFG_TARGET_ARCH", "x86_64") {
        return;
    }
    println!("cargo::rustc-link-arg-bins=-Wl,--entry=carboy_entry");
    if is("CARGO_CFG_TARGET_ENV", "gnu") && library_unpacks() {
        println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
    if let (true, Ok(folder)) = (is("PROFILE", "release"), var("CARGO_MANIFEST_DIR")) {
        println!("cargo::rustc-link-arg-bins=-Wl,-T,{folder}/hot.ld");
    }
}

/// Whether the C library that is linked knows packed relocations (`DT_RELR`): glibc does since 2.36. With an older one the
/// program would not start.
fn library_unpacks() -> bool {
    let told = Command::new("getconf").arg("GNU_LIBC_VERSION").output();
    let text = told.map(|told| String::from_utf8_lossy(&told.stdout).into_owned()).unwrap_or_default();
    let version = text.trim().strip_prefix("glibc ").and_then(|version| version.split_once('.'));
    let number = |text: &str| text.parse().unwrap_or(0);
    version.is_some_and(|(major, minor)| (number(major), number(minor)) >= (2, 36))
}
