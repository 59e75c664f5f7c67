//! What the linker is told of the program: to start where a monitor that sleeps waits (crates/sys/src/rest.rs), and to pack
//! what is to be relocated.

use std::env::var;

#[path = "../sys/link.rs"]
mod link;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if var("CARGO_CFG_TARGET_ARCH").is_ok_and(|found| found == "x86_64") {
        println!("cargo::rustc-link-arg-bins=-Wl,--entry=carboy_rest_entry");
        link::pack_relocations();
    }
}
