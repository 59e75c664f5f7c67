//! /proc/PID/stat: proc_pid_stat(5). Times are in clock ticks, of which sysconf(3) `_SC_CLK_TCK` (100) make a second.

use crate::HostPid;
use crate::lines::{fields, number, text};

/// The facts of one process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stat {
    /// The process.
    pub pid: HostPid,
    /// The name of its program, at most 15 bytes; any process can set its own.
    pub name: String,
    /// `R` running, `S` sleeping, `D` in uninterruptible sleep, `Z` zombie, `T` stopped, `t` traced, `X` dead, `I` idle.
    pub state: char,
    /// Its parent; `None` where that is in no pid namespace that the reader sees.
    pub parent: Option<HostPid>,
    /// The leader of its session, setsid(2); `None` where that was in no pid namespace that the reader sees.
    pub session: Option<HostPid>,
    /// The major and minor number of its terminal; `None` where it has none.
    pub terminal: Option<(u32, u32)>,
    /// Time that it ran its own code.
    pub user_ticks: u64,
    /// Time that the kernel ran for it.
    pub system_ticks: u64,
    /// When it began, since boot. With the PID and the boot id it names the process for all times.
    pub start_ticks: u64,
    /// Whether it runs a program of its own, and no longer is a copy of its parent: `PF_FORKNOEXEC` is not set.
    pub has_executed: bool,
    /// How a zombie ended, in the form of waitpid(2); `None` where the reader may not know.
    pub wait_status: Option<i32>,
}

/// <linux/sched.h>: forked, but did not exec.
const PF_FORKNOEXEC: u64 = 0x40;

impl Stat {
    /// Parses the file. The name stands unescaped in parentheses and may hold any character, parentheses and line ends too;
    /// what follows it holds none.
    #[must_use]
    pub fn parse(line: &[u8]) -> Option<Self> {
        let open = line.iter().position(|byte| *byte == b'(')?;
        let close = line.iter().rposition(|byte| *byte == b')')?;
        let mut rest = fields(line.get(close + 1..)?);
        let (state, parent) = (rest.next()?, number(rest.next()?)?);
        let session = number(rest.nth(1)?)?;
        let mut skip = |count| rest.nth(count).and_then(number);
        let (terminal, flags): (u64, u64) = (skip(0)?, skip(1)?);
        let (user_ticks, system_ticks, start_ticks) = (skip(4)?, skip(0)?, skip(6)?);
        let wait_status = rest.nth(29).and_then(number).filter(|_| state == b"Z");
        Some(Self {
            pid: HostPid(number(line.get(..open)?.trim_ascii())?),
            name: text(line.get(open + 1..close)?),
            state: char::from(*state.first()?),
            parent: HostPid::unless_zero(parent),
            session: HostPid::unless_zero(session),
            terminal: u32::try_from(terminal).ok().filter(|terminal| *terminal != 0).map(numbers_of),
            user_ticks,
            system_ticks,
            start_ticks,
            has_executed: flags & PF_FORKNOEXEC == 0,
            wait_status,
        })
    }
}

/// The halves of a device's number, as the kernel packs them here: <linux/kdev_t.h> `new_encode_dev`.
const fn numbers_of(device: u32) -> (u32, u32) {
    ((device >> 8) & 0xfff, (device & 0xff) | ((device >> 12) & 0xf_ff00))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const REST: &str = "S 1 41 40 0 -1 4194304 100 0 0 0 17 23 0 0 20 0 1 0 987654 2871296 431 18446744073709551615 1";

    #[test]
    fn the_fields_are_found() {
        let stat = Stat::parse(format!("42 (sleep) {REST}\n").as_bytes()).unwrap();
        assert_eq!((stat.pid, stat.name.as_str(), stat.state), (HostPid(42), "sleep", 'S'));
        assert_eq!(stat.parent, Some(HostPid(1)));
        assert_eq!(stat.session, Some(HostPid(40)));
        assert_eq!((stat.user_ticks, stat.system_ticks, stat.start_ticks), (17, 23, 987_654));
    }

    #[test]
    fn a_terminal_is_told_by_its_numbers() {
        let terminal = |number: &str| {
            let rest = REST.replacen("S 1 41 40 0", &format!("S 1 41 40 {number}"), 1);
            Stat::parse(format!("42 (sh) {rest}").as_bytes()).unwrap().terminal
        };
        assert_eq!((terminal("0"), terminal("34819"), terminal("1083393")), (None, Some((136, 3)), Some((136, 257))));
    }

    #[test]
    fn a_name_cannot_pass_for_other_fields() {
        for name in ["a) Z 7 (b", ")", "(", "", "a\n7 (x) R 1", ") R 1 1 1 1 1 1 1 1 1 1 1 1 1"] {
            let stat = Stat::parse(format!("42 ({name}) {REST}\n").as_bytes()).unwrap();
            assert_eq!((stat.pid, stat.name.as_str(), stat.state), (HostPid(42), name, 'S'));
            assert_eq!((stat.parent, stat.start_ticks), (Some(HostPid(1)), 987_654));
        }
    }

    #[test]
    fn a_parent_outside_is_none() {
        let stat = Stat::parse(format!("1 (init) {}", REST.replacen("S 1", "S 0", 1)).as_bytes()).unwrap();
        assert_eq!(stat.parent, None);
    }

    #[test]
    fn a_zombie_tells_how_it_ended_and_a_copy_that_it_has_no_program() {
        let line =
            |state: &str, flags: &str| format!("9 (a) {state} 1 9 9 0 -1 {flags} {} 1280", "0 ".repeat(42).trim());
        let parse = |state: &str, flags: &str| Stat::parse(line(state, flags).as_bytes()).unwrap();
        assert_eq!((parse("Z", "4194304").wait_status, parse("S", "4194304").wait_status), (Some(1280), None));
        assert_eq!((parse("S", "4194304").has_executed, parse("S", "4194368").has_executed), (true, false));
    }

    #[test]
    fn a_line_cut_short_is_nothing() {
        let line = format!("42 (sleep) {REST}");
        let end = line.find(" 987654").unwrap();
        assert!((0..end).all(|end| Stat::parse(&line.as_bytes()[..end]).is_none()));
    }

    proptest! {
        #[test]
        fn any_bytes_can_be_parsed(bytes: Vec<u8>) {
            let _ = Stat::parse(&bytes);
        }

        #[test]
        fn any_name_is_given_back(name in "\\PC{0,15}") {
            prop_assert_eq!(Stat::parse(format!("42 ({name}) {REST}").as_bytes()).unwrap().name, name);
        }
    }
}
