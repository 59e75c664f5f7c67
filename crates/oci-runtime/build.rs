//! What the linker is told of the program: to start at `carboy_entry` (crates/sys/src/entry.rs), to pack what is to be
//! relocated, and in a release to put the functions together that a container's life goes through (hot.ld, made by
//! `cargo xtask order`).

use std::env::var;

#[path = "../sys/link.rs"]
mod link;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=hot.ld");
    let is = |name: &str, value: &str| var(name).is_ok_and(|found| found == value);
    if !is("CARGO_CFG_TARGET_ARCH", "x86_64") {
        return;
    }
    println!("cargo::rustc-link-arg-bins=-Wl,--entry=carboy_entry");
    link::pack_relocations();
    if let (true, Ok(folder)) = (is("PROFILE", "release"), var("CARGO_MANIFEST_DIR")) {
        println!("cargo::rustc-link-arg-bins=-Wl,-T,{folder}/hot.ld");
    }
}
