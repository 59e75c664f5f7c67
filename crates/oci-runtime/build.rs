//! Has the program start at `carboy_entry`: crates/sys/src/entry.rs.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_ARCH").is_ok_and(|name| name == "x86_64") {
        println!("cargo::rustc-link-arg-bins=-Wl,--entry=carboy_entry");
    }
}
