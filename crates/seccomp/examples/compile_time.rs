//! Prints the median CPU time, in microseconds, of building and compiling Docker's default profile.
#![expect(clippy::print_stdout, clippy::expect_used, reason = "it is a measurement for people to read")]

use carboy_seccomp::{Arch, compile, docker_default};
use rustix::time::{ClockId, clock_gettime};

const ROUNDS: usize = 501;

/// Docker's default capabilities that matter to the profile.
const CAPABILITIES: [&str; 3] = ["CAP_CHOWN", "CAP_SYS_CHROOT", "CAP_MKNOD"];

fn main() {
    let capabilities = CAPABILITIES.map(str::to_owned);
    let round = || {
        let start = cpu_nanoseconds();
        let program =
            compile(&docker_default(&capabilities, Arch::NATIVE, (6, 18)), Arch::NATIVE).expect("it is valid");
        (cpu_nanoseconds() - start, program.instructions.len())
    };
    let (first, length) = round();
    let mut times: Vec<i64> = (0..ROUNDS).map(|_| round().0).collect();
    times.sort_unstable();
    let median = times.get(ROUNDS / 2).copied().unwrap_or_default();
    println!("first {} µs, median {} µs CPU, {length} instructions", first / 1000, median / 1000);
}

/// CPU time of this process so far.
fn cpu_nanoseconds() -> i64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}
