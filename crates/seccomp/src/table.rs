//! System call names and numbers of the architectures that an x86 or ARM kernel runs.
//!
//! `headers` is generated from the kernel's own headers, `newer` adds by hand what they do not have yet.
//! Sources: arch/x86/entry/syscalls/*.tbl, include/uapi/asm-generic/unistd.h, arch/arm/tools/syscall.tbl.

mod headers;
mod newer;

/// An architecture as seccomp sees it: a value of `seccomp_data.arch`, and for x32 a bit in the number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Arch {
    /// 64-bit x86.
    X86_64,
    /// 32-bit pointers on 64-bit x86: `AUDIT_ARCH_X86_64` with bit 30 set in the number.
    X32,
    /// 32-bit x86.
    X86,
    /// 64-bit ARM.
    Aarch64,
    /// 32-bit ARM (EABI).
    Arm,
}

/// Bit 30 of the number marks an x32 call (`__X32_SYSCALL_BIT`).
pub(crate) const X32_BIT: u32 = 1 << 30;

impl Arch {
    /// Every architecture, in the order of the tables' columns.
    pub const ALL: [Self; 5] = [Self::X86_64, Self::X32, Self::X86, Self::Aarch64, Self::Arm];

    /// The architecture that this program was built for.
    #[cfg(target_arch = "x86_64")]
    pub const NATIVE: Self = Self::X86_64;
    /// The architecture that this program was built for.
    #[cfg(target_arch = "x86")]
    pub const NATIVE: Self = Self::X86;
    /// The architecture that this program was built for.
    #[cfg(target_arch = "aarch64")]
    pub const NATIVE: Self = Self::Aarch64;
    /// The architecture that this program was built for.
    #[cfg(target_arch = "arm")]
    pub const NATIVE: Self = Self::Arm;

    /// `AUDIT_ARCH_*` of <linux/audit.h>.
    pub(crate) const fn audit(self) -> u32 {
        match self {
            Self::X86_64 | Self::X32 => 0xc000_003e,
            Self::X86 => 0x4000_0003,
            Self::Aarch64 => 0xc000_00b7,
            Self::Arm => 0x4000_0028,
        }
    }

    /// What the number of every call of this architecture has set.
    const fn bits(self) -> u32 {
        match self {
            Self::X32 => X32_BIT,
            Self::X86_64 | Self::X86 | Self::Aarch64 | Self::Arm => 0,
        }
    }

    const fn column(self) -> usize {
        match self {
            Self::X86_64 => 0,
            Self::X32 => 1,
            Self::X86 => 2,
            Self::Aarch64 => 3,
            Self::Arm => 4,
        }
    }
}

/// One system call and its number in each column of [`Arch::ALL`].
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) name: &'static str,
    numbers: [Option<u32>; Arch::ALL.len()],
}

impl Call {
    /// The number that the kernel sees, x32's bit included.
    pub(crate) fn number(&self, arch: Arch) -> Option<u32> {
        self.numbers.get(arch.column()).copied().flatten().map(|number| number | arch.bits())
    }
}

/// The call of that name on any architecture.
pub(crate) fn find(name: &str) -> Option<&'static Call> {
    [headers::HEADERS, newer::NEWER]
        .into_iter()
        .find_map(|calls| calls.binary_search_by(|call| call.name.cmp(name)).ok().and_then(|index| calls.get(index)))
}

/// The number of the system call `name` as the kernel sees it (x32: with bit 30), where `arch` has it.
#[must_use]
pub fn call_number(name: &str, arch: Arch) -> Option<u32> {
    find(name)?.number(arch)
}

/// The name of the system call with that number on `arch`.
#[must_use]
pub fn call_name(number: u32, arch: Arch) -> Option<&'static str> {
    headers::HEADERS.iter().chain(newer::NEWER).find(|call| call.number(arch) == Some(number)).map(|call| call.name)
}

/// The numbers of every known system call of `arch`, in no order.
pub(crate) fn numbers(arch: Arch) -> impl Iterator<Item = u32> {
    headers::HEADERS.iter().chain(newer::NEWER).filter_map(move |call| call.number(arch))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_tables_are_sorted_and_share_no_name() {
        assert!(headers::HEADERS.is_sorted_by(|a, b| a.name < b.name));
        assert!(newer::NEWER.is_sorted_by(|a, b| a.name < b.name));
        for call in newer::NEWER {
            assert!(headers::HEADERS.iter().all(|known| known.name != call.name), "{} is in both tables", call.name);
        }
    }

    #[test]
    fn a_name_gives_the_number_of_each_architecture() {
        assert_eq!(
            Arch::ALL.map(|arch| call_number("openat", arch)),
            [Some(257), Some(X32_BIT | 257), Some(295), Some(56), Some(322)]
        );
        assert_eq!(call_number("open", Arch::Aarch64), None);
        assert_eq!(call_number("no_such_call", Arch::X86_64), None);
        assert_eq!(call_name(59, Arch::X86_64), Some("execve"));
        assert_eq!(call_name(468, Arch::Arm), Some("file_getattr"));
    }
}
