//! System call numbers as the installed kernel headers give them, read through the C preprocessor.
//!
//! x86_64, x32, i386 and aarch64 come from linux-libc-dev (aarch64 through the generic table, with the choices of
//! arch/arm64/include/uapi/asm/unistd.h); arm needs its own headers (linux-libc-dev-armhf-cross).
#![expect(clippy::expect_used, clippy::panic, reason = "a missing header ends the test or the generator")]

use std::collections::BTreeMap;
use std::process::Command;

use carboy_seccomp::Arch;

/// What the preprocessor is given for one architecture.
struct Source {
    header: &'static str,
    options: &'static [&'static str],
    install: &'static str,
}

fn source(arch: Arch) -> Source {
    let x86 = |header| Source { header, options: &[], install: "linux-libc-dev" };
    match arch {
        Arch::X86_64 => x86("asm/unistd_64.h"),
        Arch::X32 => x86("asm/unistd_x32.h"),
        Arch::X86 => x86("asm/unistd_32.h"),
        Arch::Aarch64 => Source {
            header: "asm-generic/unistd.h",
            options: &[
                "-D__ARCH_WANT_RENAMEAT",
                "-D__ARCH_WANT_NEW_STAT",
                "-D__ARCH_WANT_SET_GET_RLIMIT",
                "-D__ARCH_WANT_TIME32_SYSCALLS",
                "-D__ARCH_WANT_SYS_CLONE3",
                "-D__ARCH_WANT_MEMFD_SECRET",
            ],
            install: "linux-libc-dev",
        },
        Arch::Arm => Source {
            header: "asm/unistd.h",
            options: &["-nostdinc", "-D__ARM_EABI__", "-I/usr/arm-linux-gnueabihf/include"],
            install: "linux-libc-dev-armhf-cross",
        },
    }
}

/// The names and numbers of `arch`; x32's without their bit 30.
///
/// # Panics
/// Where the C compiler or the headers are missing; the message says what to install.
pub(crate) fn numbers(arch: Arch) -> BTreeMap<String, u32> {
    let Source { header, options, install } = source(arch);
    let output = Command::new("cc")
        .args(["-E", "-dM", "-x", "c", "-include", header])
        .args(options)
        .arg("/dev/null")
        .output()
        .expect("cannot run cc: install gcc");
    assert!(
        output.status.success(),
        "{header} is not there: install {install}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8(output.stdout).expect("headers are UTF-8");
    let defines: BTreeMap<&str, &str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("#define ")?.split_once(' '))
        .map(|(name, value)| (name, value.trim()))
        .collect();
    defines
        .iter()
        .filter_map(|(define, value)| {
            let name = define.strip_prefix("__NR_").or_else(|| define.strip_prefix("__ARM_NR_"))?;
            let bookkeeping = ["syscalls", "SYSCALL_BASE", "SYSCALL_MASK", "OABI_SYSCALL_BASE", "BASE"];
            let arch_specific = name == "arch_specific_syscall";
            (!bookkeeping.contains(&name) && !arch_specific).then(|| (name.to_owned(), evaluate(value, &defines)))
        })
        .collect()
}

/// The value of `7`, `0xf0000`, `NAME` or `(NAME + 7)`; `__X32_SYSCALL_BIT` counts as 0.
fn evaluate(expression: &str, defines: &BTreeMap<&str, &str>) -> u32 {
    let expression = expression.trim_start_matches('(').trim_end_matches(')');
    if let Some((left, right)) = expression.split_once('+') {
        return evaluate(left.trim(), defines) + evaluate(right.trim(), defines);
    }
    if expression == "__X32_SYSCALL_BIT" {
        return 0;
    }
    if let Some(hexadecimal) = expression.strip_prefix("0x") {
        return u32::from_str_radix(hexadecimal, 16).expect("a hexadecimal number");
    }
    expression.parse().unwrap_or_else(|_| {
        let value = defines.get(expression).unwrap_or_else(|| panic!("{expression} is not defined"));
        evaluate(value, defines)
    })
}
