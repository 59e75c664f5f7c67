//! `cargo xtask order`: which functions of carboy-runtime a container's life goes through, for the linker.
//!
//! The kernel maps a program's file by windows of 64 KiB around what is touched. Functions that are run lie all over a program
//! in the order of its crates, and so all of it comes into memory at each start. Here `run`, `exec` and others are traced
//! (ptrace(2)), and the sections of the linker's map that they came by are written to a linker script, by names without what changes from compiler to compiler. A function that is missing there costs a
//! window, and no more: once in a while the script is made anew.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use error::{Corrupt, Doing, Refused, Result};
use nix::sys::ptrace::{self, Event, Options};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::bundle::{Bundle, Content};
use crate::program;

/// The script, which the build of carboy-runtime gives to the linker.
const SCRIPT: &str = "crates/oci-runtime/hot.ld";

/// Makes the script.
///
/// # Errors
/// When the program cannot be built or traced.
pub(crate) fn run(root: &Path) -> Result<()> {
    let (runtime, map) = build(root)?;
    let map = Map::read(&map)?;
    let mut lives: BTreeMap<&str, BTreeSet<Life>> = BTreeMap::new();
    for (content, commands) in COMMANDS {
        let bundle = Bundle::make(content)?;
        for (life, words) in commands {
            let command = bundle.command("order", &runtime, words);
            for pattern in reached(&command, &map)?.iter().filter_map(|place| map.at(*place)) {
                lives.entry(pattern).or_default().insert(*life);
            }
        }
    }
    let path = root.join(SCRIPT);
    fs::write(&path, script(&lives, &map)).doing(|| format!("write {}", path.display()))?;
    println!("{} pieces of the program stand together: {SCRIPT}", lives.len());
    Ok(())
}

/// What a command is to the order: those whose memory is compared with others' are each to have all of theirs in one piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Life {
    Exec,
    Run,
    Rest,
}

type Commands = (Content, &'static [(Life, &'static [&'static str])]);

const RUN: &[&str] = &["run", "--bundle", "BUNDLE", "ID"];

const COMMANDS: [Commands; 3] = [
    // The second time it finds its folder there.
    (Content::Bare, &[(Life::Run, RUN), (Life::Run, RUN)]),
    (Content::Docker, &[(Life::Rest, RUN)]),
    (
        Content::Staying,
        &[
            (Life::Rest, &["run", "--detach", "--bundle", "BUNDLE", "ID"]),
            (Life::Exec, &["exec", "ID", "/bin/true"]),
            (Life::Rest, &["state", "ID"]),
            (Life::Rest, &["delete", "--force", "ID"]),
        ],
    ),
];

/// The program as it is released, and the linker's map of it.
fn build(root: &Path) -> Result<(PathBuf, PathBuf)> {
    let map = root.join("target/order/map");
    let flags = format!("target.'cfg(target_os = \"linux\")'.rustflags=['-Clink-arg=-Wl,-Map={}']", map.display());
    let mut command = program::cargo(root);
    command.args(["build", "--release", "--package", "carboy-oci-runtime", "--target-dir", "target/order"]);
    let built = program::executables(command.args(["--config", &flags]))?;
    let runtime = built.into_iter().next_back();
    let runtime = runtime.ok_or_else(|| Refused::new("carboy-runtime", "", "is not built"))?;
    Ok((runtime.path, map))
}

/// Runs a command with a breakpoint at each function, and the processes that it makes up to what they execute: the functions
/// that they came by, as the map counts addresses.
fn reached(words: &[String], map: &Map) -> Result<BTreeSet<u64>> {
    let action = || format!("trace {}", words.join(" "));
    let mut shell = Command::new("sh");
    shell.args(["-c", "kill -STOP $$; exec \"$@\"", "sh"]).args(words);
    let child = shell.stdin(Stdio::null()).stdout(Stdio::null()).spawn().doing(action)?;
    let command = Pid::from_raw(child.id().cast_signed());
    let os = |errno: nix::errno::Errno| std::io::Error::from(errno);
    waitpid(command, Some(WaitPidFlag::WUNTRACED)).map_err(os).doing(action)?;
    let births = Options::PTRACE_O_TRACEFORK | Options::PTRACE_O_TRACEVFORK | Options::PTRACE_O_TRACECLONE;
    let options = births | Options::PTRACE_O_TRACEEXEC | Options::PTRACE_O_EXITKILL;
    ptrace::seize(command, options).map_err(os).doing(action)?;
    kill(command, Signal::SIGCONT).map_err(os).doing(action)?;
    let (mut breakpoints, mut places) = (Breakpoints::default(), BTreeSet::new());
    while let Ok(status) = waitpid(None, Some(WaitPidFlag::__WALL)) {
        let (pid, signal) = match status {
            WaitStatus::PtraceEvent(pid, _, event) if event == Event::PTRACE_EVENT_EXEC as i32 => {
                if pid != command {
                    let _ = ptrace::detach(pid, None);
                    continue;
                }
                breakpoints = Breakpoints::set(pid, map).doing(action)?;
                (pid, None)
            }
            WaitStatus::Stopped(pid, Signal::SIGTRAP) => {
                places.extend(breakpoints.take(pid).doing(action)?);
                (pid, None)
            }
            WaitStatus::Stopped(pid, signal) => (pid, Some(signal)),
            WaitStatus::PtraceEvent(pid, ..) => (pid, None),
            WaitStatus::Exited(pid, code) if pid == command && code != 0 => {
                return Err(Refused::new(words.join(" "), "", format!("it ended with {code}")).into());
            }
            _ => continue,
        };
        // Who is gone meanwhile tells so itself.
        let _ = ptrace::cont(pid, signal);
    }
    Ok(places)
}

/// The breakpoints in a program's memory. Whoever comes to one takes it away.
#[derive(Default)]
struct Breakpoints {
    start: u64,
    /// What stood in their place.
    bytes: BTreeMap<u64, u8>,
}

impl Breakpoints {
    /// `int3`.
    const TRAP: u8 = 0xcc;

    fn set(pid: Pid, map: &Map) -> io::Result<Self> {
        let memory = memory(pid)?;
        let mut set = Self { start: loaded_at(pid)?, bytes: BTreeMap::new() };
        for place in &map.functions {
            let mut byte = [0];
            memory.read_exact_at(&mut byte, set.start + place)?;
            memory.write_all_at(&[Self::TRAP], set.start + place)?;
            set.bytes.insert(*place, byte[0]);
        }
        Ok(set)
    }

    /// The one that a process has just come to.
    fn take(&self, pid: Pid) -> io::Result<Option<u64>> {
        let Some(address) = instruction(pid)?.checked_sub(1) else { return Ok(None) };
        let Some(place) = address.checked_sub(self.start) else { return Ok(None) };
        let Some(byte) = self.bytes.get(&place) else { return Ok(None) };
        memory(pid)?.write_all_at(&[*byte], address)?;
        go_to(pid, address)?;
        Ok(Some(place))
    }
}

fn memory(pid: Pid) -> io::Result<File> {
    File::options().read(true).write(true).open(format!("/proc/{pid}/mem"))
}

#[cfg(target_arch = "x86_64")]
fn instruction(pid: Pid) -> io::Result<u64> {
    Ok(ptrace::getregs(pid)?.rip)
}

#[cfg(target_arch = "x86_64")]
fn go_to(pid: Pid, address: u64) -> io::Result<()> {
    let mut registers = ptrace::getregs(pid)?;
    registers.rip = address;
    Ok(ptrace::setregs(pid, registers)?)
}

#[cfg(not(target_arch = "x86_64"))]
fn instruction(_: Pid) -> io::Result<u64> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(not(target_arch = "x86_64"))]
fn go_to(_: Pid, _: u64) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Where the kernel has loaded a process's program: its headers follow the 64 bytes of the first, proc_pid_auxv(5).
fn loaded_at(pid: Pid) -> io::Result<u64> {
    const AT_PHDR: u64 = 3;
    const HEADER: u64 = 64;
    let text = fs::read(format!("/proc/{pid}/auxv"))?;
    let numbers: Vec<u64> = text.as_chunks().0.iter().map(|number| u64::from_ne_bytes(*number)).collect();
    let pairs = numbers.as_chunks::<2>().0.iter();
    let headers = { pairs }.find_map(|[kind, value]| (*kind == AT_PHDR).then_some(*value));
    let start = headers.and_then(|headers| headers.checked_sub(HEADER));
    start.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "no program headers"))
}

/// What the linker's map says of where things are.
struct Map {
    /// The code's pieces by their addresses: the end, the pattern.
    code: BTreeMap<u64, (u64, String)>,
    /// The addresses of its functions.
    functions: BTreeSet<u64>,
    /// The patterns of the pieces of constant data that belong to a function: its tables of jumps.
    tables: BTreeSet<String>,
}

impl Map {
    fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).doing(|| format!("read {}", path.display()))?;
        let map = Self::parse(&text);
        if map.code.is_empty() {
            return Err(Corrupt::new(path.display().to_string(), "tells of no code").into());
        }
        Ok(map)
    }

    /// Lines of lld: the address, the address when loaded, the size, the alignment, `FILE:(SECTION)` or a function.
    fn parse(text: &str) -> Self {
        let mut map = Self { code: BTreeMap::new(), functions: BTreeSet::new(), tables: BTreeSet::new() };
        for line in text.lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            let [address, _, size, _, input, ..] = *words.as_slice() else { continue };
            let number = |text: &str| u64::from_str_radix(text, 16).ok();
            let (Some(address), Some(size)) = (number(address), number(size)) else { continue };
            let Some((file, section)) = input.strip_suffix(')').and_then(|input| input.split_once(":(")) else {
                if map.at(address).is_some() {
                    map.functions.insert(address);
                }
                continue;
            };
            let pattern = pattern(file, section);
            if section.starts_with(".text") && size > 0 {
                map.code.insert(address, (address + size, pattern));
            } else if section.starts_with(".rodata._R") {
                map.tables.insert(pattern);
            }
        }
        map
    }

    fn at(&self, place: u64) -> Option<&str> {
        let (_, (end, pattern)) = self.code.range(..=place).next_back()?;
        (place < *end).then_some(pattern)
    }
}

/// A section of a file as a linker script has it: by the library and its member, or a Rust function by its name alone.
fn pattern(file: &str, section: &str) -> String {
    let name = file.rsplit('/').next().unwrap_or(file);
    if let Some((library, member)) = name.strip_suffix(')').and_then(|name| name.split_once(".a(")) {
        return format!("*{library}.a:{member}({section})");
    }
    if section == ".text" {
        return format!("*{name}({section})");
    }
    format!("*({})", without_hashes(section))
}

/// A Rust function's name without what is another with each compiler: the disambiguator of a crate (`Cs`, digits of base
/// 62, `_`), and what LLVM appends.
fn without_hashes(name: &str) -> String {
    let name = name.split(".llvm.").next().unwrap_or(name);
    let mut parts = name.split("Cs");
    let mut pattern = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let hash = part
            .split_once('_')
            .filter(|(hash, _)| hash.len() > 6 && hash.bytes().all(|byte| byte.is_ascii_alphanumeric()));
        match hash {
            Some((_, rest)) => pattern.extend(["Cs*_", rest]),
            None => pattern.extend(["Cs", part]),
        }
    }
    if name.contains("._R") { pattern + "*" } else { pattern }
}

/// The script: what `exec` alone needs, what `exec` and `run` need, what `run` alone needs, then the rest. Before it comes what
/// every program runs first (`.init`).
fn script(lives: &BTreeMap<&str, BTreeSet<Life>>, map: &Map) -> String {
    let rank = |lives: &BTreeSet<Life>| match (lives.contains(&Life::Exec), lives.contains(&Life::Run)) {
        (true, false) => 0,
        (true, true) => 1,
        (false, true) => 2,
        (false, false) => 3,
    };
    let mut code: Vec<(u8, &str)> = lives.iter().map(|(pattern, lives)| (rank(lives), *pattern)).collect();
    code.sort_unstable();
    let lines = |patterns: &mut dyn Iterator<Item = &str>| -> String {
        patterns.map(|pattern| format!("        {pattern}\n")).collect()
    };
    let tables = code.iter().map(|(_, pattern)| pattern.replacen("*(.text.", "*(.rodata.", 1));
    let tables: Vec<String> = tables.filter(|pattern| map.tables.contains(pattern)).collect();
    let data = lines(&mut tables.iter().map(String::as_str).chain(NAMELESS));
    let code = lines(&mut code.iter().map(|(_, pattern)| *pattern));
    format!(
        "{HEAD}SECTIONS {{\n    .rodata.hot : {{\n{data}    }}\n}}\nINSERT BEFORE .rodata;\n\
         SECTIONS {{\n    .text.hot : {{\n{code}    }}\n}}\nINSERT BEFORE .text;\n"
    )
}

/// Constants and texts of Rust code, whose names do not tell whose they are. The C library's come after them.
const NAMELESS: [&str; 3] = ["*(.rodata..L*)", "*(.rodata.cst*)", "*(.rodata.str*)"];

const HEAD: &str = "\
/* The functions that a container's life goes through stand together, so that the others need not come into memory.
   Made by `cargo xtask order`. */
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lose_what_changes_with_the_compiler() {
        let of = without_hashes;
        assert_eq!(of(".text._RNvNtCsjrHSEGnQ3l9_3std2io4Csv_"), ".text._RNvNtCs*_3std2io4Csv_*");
        assert_eq!(of(".text._RNvCsjrHSEGnQ3l9_3std4exit.llvm.77"), ".text._RNvCs*_3std4exit*");
        assert_eq!(of(".text.main"), ".text.main");
    }

    #[test]
    fn a_piece_of_a_library_is_named_by_its_member() {
        assert_eq!(pattern("/usr/lib/libc.a(brk.o)", ".text"), "*libc.a:brk.o(.text)");
        assert_eq!(pattern("/usr/lib/rcrt1.o", ".text"), "*rcrt1.o(.text)");
        assert_eq!(pattern("/target/x.rcgu.o", ".text.main"), "*(.text.main)");
    }

    const MAP: &str = "\
             VMA              LMA     Size Align Out     In      Symbol
             100              100       10     1 .text
             100              100       10     1         /x.o:(.text._RNvCsjrHSEGnQ3l9_3std4exit)
             100              100       10     1                 exit
             120              120       10     1         /x.o:(.text._RNvCsjrHSEGnQ3l9_3std4init)
             200              200        8     4         /x.o:(.rodata._RNvCsjrHSEGnQ3l9_3std4init)
";

    #[test]
    fn a_piece_is_found_by_an_address_within_it() {
        let map = Map::parse(MAP);
        assert_eq!((map.at(0x10f), map.at(0x110)), (Some("*(.text._RNvCs*_3std4exit*)"), None));
    }

    #[test]
    fn what_exec_and_run_need_is_in_one_piece_each() {
        let map = Map::parse(MAP);
        let lives = [
            ("a", BTreeSet::from([Life::Rest])),
            ("b", BTreeSet::from([Life::Run, Life::Rest])),
            ("c", BTreeSet::from([Life::Exec, Life::Run])),
            ("d", BTreeSet::from([Life::Exec])),
            ("*(.text._RNvCs*_3std4init*)", BTreeSet::from([Life::Rest])),
        ];
        let script = script(&BTreeMap::from(lives), &map);
        assert!(
            script.contains("        d\n        c\n        b\n        *(.text._RNvCs*_3std4init*)\n        a\n"),
            "{script}"
        );
        assert!(script.contains("        *(.rodata._RNvCs*_3std4init*)\n        *(.rodata..L*)\n"), "{script}");
    }
}
