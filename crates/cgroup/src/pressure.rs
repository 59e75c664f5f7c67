//! Pressure stall information: how long the processes of a group waited for a resource while they wanted to run.
//!
//! Documentation/accounting/psi.rst, cgroup-v2.rst `cpu.pressure`, `memory.pressure`, `io.pressure`, `irq.pressure`. Only
//! v2 groups have it, whichever controllers they have: on a hybrid host a container's v2 group tells it too. Nothing is
//! known where the kernel was built without PSI or started with `psi=0`, or where the group's `cgroup.pressure` is 0.

/// The stalls for one resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pressure {
    /// At least one process waited. Interrupts have no such line.
    pub some: Option<Line>,
    /// All processes that wanted to run waited, so that nothing was done. For the CPU since Linux 5.13.
    pub full: Option<Line>,
}

/// The share of time that was lost, as an average over the last seconds, and in all. A share is in hundredths of a
/// percent: 10000 is all of the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Line {
    /// Over the last 10 seconds.
    pub avg10: u32,
    /// Over the last minute.
    pub avg60: u32,
    /// Over the last 5 minutes.
    pub avg300: u32,
    /// The time lost since the group was made, in microseconds.
    pub total_usec: u64,
}

/// A group's stalls. What could not be read is `None`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stats {
    /// Runnable processes that waited for a CPU, also because their quota had run out.
    pub cpu: Option<Pressure>,
    /// Processes that waited for memory to be reclaimed or read in again.
    pub memory: Option<Pressure>,
    /// Processes that waited for block devices.
    pub io: Option<Pressure>,
    /// Processes that were interrupted; Linux 6.1, and only a kernel that accounts the time of interrupts.
    pub irq: Option<Pressure>,
}

impl Pressure {
    /// Whether nobody has waited of late: the average over ten seconds takes more than a minute to fall to nothing.
    pub(crate) fn is_calm(self) -> bool {
        self.some.is_some_and(|line| line.avg10 == 0)
    }
}

const CPU: &str = "cpu.pressure";
const MEMORY: &str = "memory.pressure";
const IO: &str = "io.pressure";

/// The files behind a line of a table.
pub(crate) const OF_A_LINE: [&str; 3] = [CPU, MEMORY, IO];

/// Reads a v2 group; `read` gives a file's text. v1 has nothing of the kind.
pub fn stats_v2(read: impl Fn(&str) -> Option<String>) -> Stats {
    let of = |file: &str| parse(&read(file)?);
    Stats { cpu: of(CPU), memory: of(MEMORY), io: of(IO), irq: of("irq.pressure") }
}

/// Reads the text of a pressure file; `None` where it has neither line.
#[must_use]
pub fn parse(text: &str) -> Option<Pressure> {
    let of = |kind: &str| text.lines().find_map(|text| line(text.strip_prefix(kind)?.strip_prefix(' ')?));
    let pressure = Pressure { some: of("some"), full: of("full") };
    (pressure != Pressure::default()).then_some(pressure)
}

/// `avg10=0.00 avg60=0.00 avg300=0.00 total=0`; what a later kernel adds is passed over.
fn line(text: &str) -> Option<Line> {
    let value = |key: &str| text.split(' ').find_map(|word| word.strip_prefix(key)?.strip_prefix('='));
    Some(Line {
        avg10: hundredths(value("avg10")?)?,
        avg60: hundredths(value("avg60")?)?,
        avg300: hundredths(value("avg300")?)?,
        total_usec: number(value("total")?)?,
    })
}

/// `12.34` as 1234.
fn hundredths(percent: &str) -> Option<u32> {
    let (whole, part) = percent.split_once('.')?;
    let part = (part.len() == 2).then(|| number(part))??;
    u32::try_from(number(whole)?.checked_mul(100)?.checked_add(part)?).ok()
}

/// A number of digits alone: no sign.
fn number(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MEMORY: &str = "some avg10=12.34 avg60=0.05 avg300=100.00 total=18446744073709551615\n\
                          full avg10=0.00 avg60=0.00 avg300=0.00 total=0\n";

    #[test]
    fn shares_are_hundredths_of_a_percent_and_nothing_lost_is_a_zero() {
        let some = Line { avg10: 1234, avg60: 5, avg300: 10_000, total_usec: u64::MAX };
        assert_eq!(parse(MEMORY), Some(Pressure { some: Some(some), full: Some(Line::default()) }));
    }

    #[test]
    fn interrupts_have_one_line() {
        let stats = stats_v2(|file| match file {
            "irq.pressure" => Some("full avg10=0.00 avg60=0.00 avg300=0.00 total=7\n".into()),
            "memory.pressure" => Some(MEMORY.into()),
            _ => None,
        });
        assert_eq!(stats.irq, Some(Pressure { some: None, full: Some(Line { total_usec: 7, ..Line::default() }) }));
        assert!(stats.memory.is_some());
        assert_eq!((stats.cpu, stats.io), (None, None));
    }

    #[test]
    fn what_is_no_pressure_is_none() {
        for text in [
            "",
            "some",
            "some avg10=0.00 avg60=0.00 avg300=0.00",
            "some avg10=0.0 avg60=0.00 avg300=0.00 total=0",
            "some avg10=-0.01 avg60=0.00 avg300=0.00 total=0",
            "some avg10=0.+1 avg60=0.00 avg300=0.00 total=0",
            "some avg10=99999999999.00 avg60=0.00 avg300=0.00 total=0",
            "somewhat avg10=0.00 avg60=0.00 avg300=0.00 total=0",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn reading_never_fails_hard(text in "(some|full)?[ -~\n]{0,80}", any: Vec<u8>) {
            let _ = parse(&text);
            let _ = parse(&String::from_utf8_lossy(&any));
        }

        #[test]
        fn what_the_kernel_writes_is_read(whole in 0_u32..=100, part in 0_u32..100, total: u64) {
            let text = format!("full avg10={whole}.{part:02} avg60=0.00 avg300=0.00 total={total}\n");
            let full = parse(&text).unwrap().full.unwrap();
            prop_assert_eq!((full.avg10, full.total_usec), (whole * 100 + part, total));
        }
    }
}
