//! The table of system call numbers against the installed kernel headers.

use carboy_seccomp::{Arch, call_number};

mod headers;

const X32_BIT: u32 = 1 << 30;

#[test]
fn every_number_in_the_installed_headers_is_the_tables_number() {
    for arch in [Arch::X86_64, Arch::X32, Arch::X86, Arch::Aarch64] {
        let installed = headers::numbers(arch);
        assert!(installed.len() > 300, "{arch:?} has {} names", installed.len());
        let bit = if arch == Arch::X32 { X32_BIT } else { 0 };
        let mut missing = Vec::new();
        for (name, number) in installed {
            match call_number(&name, arch) {
                Some(known) => assert_eq!(known, number | bit, "{name} on {arch:?}"),
                None => missing.push((name, number)),
            }
        }
        // Headers newer than the table may know calls newer than it; older calls must be there.
        assert!(missing.iter().all(|(_, number)| *number > 469), "{arch:?} lacks {missing:?}");
    }
}
