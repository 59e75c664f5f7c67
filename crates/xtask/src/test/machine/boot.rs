//! The machine while it runs: qemu(1) in software emulation, and what comes out of its serial console.
//!
//! Not with KVM: a nested one hangs now and then, and where there is none the result must be the same.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use error::{Doing, Refused, Result};

use super::Flavour;
use super::base::Base;
use crate::program;

/// A machine that has not ended by then hangs.
const LIMIT: Duration = Duration::from_secs(40 * 60);

/// What the job prints first.
pub(super) const STARTED: &str = "machine: started";

/// What the job prints last, before its exit code. The machine has no other way to tell it: isa-debug-exit needs a port
/// that user space may write to.
pub(super) const ENDED: &str = "machine: ended with ";

/// What becomes of what a machine writes on the disk with its job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Changes {
    Forgotten,
    Kept,
}

/// A machine with two disks: the base, whose changes are forgotten, and `disk` with the job.
pub(super) fn qemu(base: &Base, flavour: Flavour, (disk, changes): (&Path, Changes)) -> Command {
    let mut qemu = Command::new("qemu-system-x86_64");
    qemu.args(["-M", "q35", "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", processors(flavour), "-m", "2048"]);
    qemu.args(["-nodefaults", "-no-user-config", "-no-reboot", "-display", "none"]);
    for (disk, changes) in [(base.disk.as_path(), Changes::Forgotten), (disk, changes)] {
        // In an option's value, a comma is written twice.
        let file = disk.display().to_string().replace(',', ",,");
        let snapshot = if changes == Changes::Kept { "off" } else { "on" };
        qemu.arg("-drive").arg(format!("if=virtio,format=raw,discard=unmap,snapshot={snapshot},file={file}"));
    }
    qemu.arg("-kernel").arg(&base.kernel).arg("-initrd").arg(&base.initrd);
    qemu.arg("-append").arg(command_line(flavour));
    qemu
}

/// How many processors a machine has. Two that are emulated wait for each other at every change of a page table: the same work
/// takes half as long again. The tests of the groups' processors have two where systemd is, and on v1.
fn processors(flavour: Flavour) -> &'static str {
    match flavour {
        Flavour::V2 => "1",
        Flavour::V1 | Flavour::Systemd => "2",
    }
}

/// The kernel's command line: words with "=" that it does not know become PID 1's environment.
fn command_line(flavour: Flavour) -> String {
    // The kernel mistrusts the emulated TSC, and without it every look at the clock is a system call, seen by strace.
    let common = "console=ttyS0 quiet loglevel=2 panic=-1 clocksource=tsc tsc=reliable";
    let name = flavour.name();
    match flavour {
        Flavour::V1 => format!("{common} HOST={name} FIRST_INIT=/carboy/init"),
        Flavour::V2 => format!("{common} cgroup_no_v1=all HOST={name} FIRST_INIT=/carboy/init"),
        Flavour::Systemd => format!(
            "{common} cgroup_no_v1=all HOST={name} FIRST_INIT=/sbin/init systemd.unified_cgroup_hierarchy=1 \
             systemd.show_status=false systemd.mask=serial-getty@ttyS0.service \
             systemd.wants=job.service"
        ),
    }
}

/// Runs a machine, passes on what its job prints, and gives the job's exit code.
///
/// # Errors
/// When qemu cannot be started, the machine does not boot, hangs, or dies before its job ends.
pub(super) fn watch(qemu: &mut Command) -> Result<i32> {
    let Console { qemu: mut child, lines } = Console::start(qemu)?;
    let deadline = Instant::now() + LIMIT;
    let (mut started, mut code) = (false, None);
    let hangs = loop {
        match lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(line) => {
                started |= line == STARTED;
                code = line.strip_prefix(ENDED).and_then(|code| code.parse().ok()).or(code);
                println!("{line}");
            }
            Err(RecvTimeoutError::Disconnected) => break false,
            Err(RecvTimeoutError::Timeout) => break true,
        }
    };
    if hangs {
        child.kill().doing(|| "kill qemu-system-x86_64")?;
    }
    let status = child.wait().doing(|| "wait for qemu-system-x86_64")?;
    let reason = match code {
        Some(code) if !hangs => return Ok(code),
        _ if hangs => format!("had not ended after {} minutes and was killed", LIMIT.as_secs() / 60),
        _ if started => format!("ended before its job told its exit code (qemu: {status})"),
        _ => format!("did not boot (qemu: {status})"),
    };
    Err(Refused::new("machine", "", reason).into())
}

/// Runs a machine and cuts it off as soon as its job prints this line.
///
/// # Errors
/// When qemu cannot be started, or the machine ends before that, or does not come to it.
pub(super) fn cut_off(qemu: &mut Command, last: &str) -> Result<()> {
    let mut child = Console::start(qemu)?;
    let deadline = Instant::now() + LIMIT;
    let came = loop {
        match child.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(line) => {
                println!("{line}");
                if line == last {
                    break true;
                }
            }
            Err(_) => break false,
        }
    };
    child.qemu.kill().doing(|| "kill qemu-system-x86_64")?;
    child.qemu.wait().doing(|| "wait for qemu-system-x86_64")?;
    if came { Ok(()) } else { Err(Refused::new("machine", "", format!("did not come to {last:?}")).into()) }
}

/// A machine that runs, and the lines that come out of its serial console.
struct Console {
    qemu: Child,
    lines: mpsc::Receiver<String>,
}

impl Console {
    fn start(qemu: &mut Command) -> Result<Self> {
        qemu.args(["-serial", "stdio"]).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut qemu = qemu.spawn().doing(|| "start qemu-system-x86_64")?;
        let console = qemu.stdout.take();
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in console.into_iter().flat_map(|console| BufReader::new(console).split(b'\n')).flatten() {
                if sender.send(String::from_utf8_lossy(&line).replace('\r', "")).is_err() {
                    return;
                }
            }
        });
        Ok(Self { qemu, lines })
    }
}

/// Runs a machine whose console is this terminal.
///
/// # Errors
/// When qemu fails.
pub(super) fn attach(qemu: &mut Command) -> Result<()> {
    // Through the monitor, so that Ctrl-C is the machine's; Ctrl-A X ends it.
    program::run(qemu.args(["-serial", "mon:stdio"]))
}
