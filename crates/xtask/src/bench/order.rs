//! `cargo xtask order`: which functions of carboy-runtime a container's life goes through, for the linker.
//!
//! The kernel maps a program's code by windows of 64 KiB around what is run. Functions that are run lie all over a program
//! in the order of its crates, and so all of it comes into memory at each start. Here `run` and `exec` go through the
//! program in single steps (ptrace(2)), and what they went through is written to a linker script, by names without what
//! changes from compiler to compiler. A function that is missing there costs a window, and no more: once in a while the
//! script is made anew.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use error::{Corrupt, Doing, Refused, Result};
use nix::sys::ptrace::{self, Event, Options};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use object::read::archive::ArchiveFile;
use object::{Object, ObjectSymbol, SymbolKind};

use super::bundle::{Bundle, Content};
use crate::program;

/// The script, which the build of carboy-runtime gives to the linker.
const SCRIPT: &str = "crates/oci-runtime/hot.ld";

/// Makes the script.
///
/// # Errors
/// When the program cannot be built or traced.
pub(crate) fn run(root: &Path) -> Result<()> {
    let runtime = build(root)?;
    let functions = Functions::read(&runtime)?;
    let mut hot = BTreeSet::new();
    for (content, commands) in LIVES {
        let bundle = Bundle::make(content)?;
        for words in commands {
            let command = bundle.command("order", &runtime, words);
            hot.extend(steps(&command)?.iter().filter_map(|place| functions.at(*place).map(str::to_owned)));
        }
    }
    let text = script(&hot)?;
    let path = root.join(SCRIPT);
    fs::write(&path, text).doing(|| format!("write {}", path.display()))?;
    println!("{} functions stand together: {SCRIPT}", hot.len());
    Ok(())
}

type Life = (Content, &'static [&'static [&'static str]]);

const LIVES: [Life; 2] = [
    (Content::Docker, &[&["run", "--bundle", "BUNDLE", "ID"]]),
    (
        Content::Staying,
        &[
            &["run", "--detach", "--bundle", "BUNDLE", "ID"],
            &["exec", "ID", "/bin/true"],
            &["state", "ID"],
            &["delete", "--force", "ID"],
        ],
    ),
];

/// The program as it is released, with its symbols.
fn build(root: &Path) -> Result<PathBuf> {
    let mut command = program::cargo(root);
    command.args(["build", "--release", "--package", "carboy-oci-runtime", "--target-dir", "target/order"]);
    command.env("CARGO_PROFILE_RELEASE_STRIP", "none");
    let built = program::executables(&mut command)?.pop();
    built.map(|built| built.path).ok_or_else(|| Refused::new("carboy-runtime", "", "is not built").into())
}

/// Runs a command in single steps, with the processes that it makes up to what they execute: the addresses that were gone
/// through, counted from where the program is loaded.
fn steps(words: &[String]) -> Result<BTreeSet<u64>> {
    let action = || format!("step through {}", words.join(" "));
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
    let (mut start, mut places) = (None, BTreeSet::new());
    while let Ok(status) = waitpid(None, Some(WaitPidFlag::__WALL)) {
        let (pid, signal) = match status {
            WaitStatus::PtraceEvent(pid, _, event) if event == Event::PTRACE_EVENT_EXEC as i32 => {
                if pid != command {
                    let _ = ptrace::detach(pid, None);
                    continue;
                }
                start = Some(loaded_at(pid)?);
                (pid, None)
            }
            WaitStatus::Stopped(pid, Signal::SIGTRAP) => {
                places.extend(start.and_then(|start| instruction(pid)?.checked_sub(start)));
                (pid, None)
            }
            WaitStatus::Stopped(pid, signal) => (pid, Some(signal)),
            WaitStatus::PtraceEvent(pid, ..) => (pid, None),
            WaitStatus::Exited(pid, code) if pid == command && code != 0 => {
                return Err(Refused::new(words.join(" "), "", format!("it ended with {code}")).into());
            }
            _ => continue,
        };
        // The shell is no part of it; who is gone meanwhile tells so itself.
        let _ = if start.is_some() { ptrace::step(pid, signal) } else { ptrace::cont(pid, signal) };
    }
    Ok(places)
}

#[cfg(target_arch = "x86_64")]
fn instruction(pid: Pid) -> Option<u64> {
    ptrace::getregs(pid).ok().map(|registers| registers.rip)
}

#[cfg(not(target_arch = "x86_64"))]
fn instruction(_: Pid) -> Option<u64> {
    None
}

/// Where the kernel has loaded a process's program: its headers follow the 64 bytes of the first, proc_pid_auxv(5).
fn loaded_at(pid: Pid) -> Result<u64> {
    const AT_PHDR: u64 = 3;
    const HEADER: u64 = 64;
    let path = format!("/proc/{pid}/auxv");
    let text = fs::read(&path).doing(|| format!("read {path}"))?;
    let numbers: Vec<u64> = text.as_chunks().0.iter().map(|number| u64::from_ne_bytes(*number)).collect();
    let pairs = numbers.as_chunks::<2>().0.iter();
    let headers = { pairs }.find_map(|[kind, value]| (*kind == AT_PHDR).then_some(*value));
    let start = headers.and_then(|headers| headers.checked_sub(HEADER));
    Ok(start.ok_or_else(|| Corrupt::new(path, "tells of no program headers"))?)
}

/// The program's functions by their addresses: the end, the name.
struct Functions(BTreeMap<u64, (u64, String)>);

impl Functions {
    fn read(path: &Path) -> Result<Self> {
        let bytes = fs::read(path).doing(|| format!("read {}", path.display()))?;
        let file = object::File::parse(&*bytes)
            .map_err(|error| Corrupt::new(path.display().to_string(), error.to_string()))?;
        let functions = file.symbols().filter(|symbol| symbol.kind() == SymbolKind::Text && symbol.size() > 0);
        let named = functions.filter_map(|symbol| {
            let name = symbol.name().ok()?.to_owned();
            Some((symbol.address(), (symbol.address() + symbol.size(), name)))
        });
        Ok(Self(named.collect()))
    }

    fn at(&self, place: u64) -> Option<&str> {
        let (_, (end, name)) = self.0.range(..=place).next_back()?;
        (place < *end).then_some(name)
    }
}

/// The script for these functions. Generic ones of the same name come along: to leave them out costs more.
fn script(hot: &BTreeSet<String>) -> Result<String> {
    let patterns: BTreeSet<String> = hot.iter().filter_map(|name| pattern(name)).collect();
    let own = patterns.into_iter().map(|pattern| format!("        *(.text.{pattern})\n"));
    let library = library_members(hot)?.into_iter().map(|member| format!("        *libc.a:{member}(.text .text.*)\n"));
    let lines: String = own.chain(library).collect();
    Ok(format!("{HEAD}{lines}    }}\n}}\nINSERT BEFORE .text;\n"))
}

const HEAD: &str = "\
/* The functions that a container's life goes through stand together, so that the others need not come into memory.
   Made by `cargo xtask order`. */
SECTIONS {
    .text.hot : {
";

/// A Rust function's name as a pattern: without the hashes, which are others with each compiler.
fn pattern(name: &str) -> Option<String> {
    let name = name.split(".llvm.").next().unwrap_or(name);
    // What a linker script might understand otherwise.
    let plain = name.replace('$', "?");
    if name.starts_with("_ZN") {
        let (path, _) = plain.rsplit_once("17h")?;
        return Some(format!("{path}17h*"));
    }
    if !name.starts_with("_R") {
        return None;
    }
    // The disambiguator of a crate: `Cs`, digits of base 62, `_`.
    let mut parts = plain.split("Cs");
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
    Some(pattern + "*")
}

/// The members of the C library that alone define one of these functions.
fn library_members(hot: &BTreeSet<String>) -> Result<BTreeSet<String>> {
    let found = program::read(Command::new("cc").arg("-print-file-name=libc.a"))?;
    let path = PathBuf::from(String::from_utf8_lossy(&found.stdout).trim_end());
    let corrupt = |error: object::read::Error| Corrupt::new(path.display().to_string(), error.to_string());
    let bytes = fs::read(&path).doing(|| format!("read {}", path.display()))?;
    let archive = ArchiveFile::parse(&*bytes).map_err(corrupt)?;
    let mut homes: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for member in archive.members() {
        let member = member.map_err(corrupt)?;
        let Ok(file) = object::File::parse(member.data(&*bytes).map_err(corrupt)?) else { continue };
        let home = String::from_utf8_lossy(member.name()).into_owned();
        for symbol in file.symbols().filter(|symbol| symbol.is_definition() && symbol.kind() == SymbolKind::Text) {
            let name = symbol.name().map_err(corrupt)?;
            if hot.contains(name) {
                homes.entry(name.to_owned()).or_default().insert(home.clone());
            }
        }
    }
    Ok(homes.into_values().filter(|homes| homes.len() == 1).flatten().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lose_what_changes_with_the_compiler() {
        let of = |name: &str| pattern(name).unwrap_or_default();
        assert_eq!(of("_ZN12carboy_child4walk17hf2429b396370598dE"), "_ZN12carboy_child4walk17h*");
        assert_eq!(of("_ZN4core3ptr8drop$LT$T$GT$17h0123456789abcdefE.llvm.77"), "_ZN4core3ptr8drop?LT?T?GT?17h*");
        assert_eq!(of("_RNvNtCsjrHSEGnQ3l9_3std2io4Csv_"), "_RNvNtCs*_3std2io4Csv_*");
        assert_eq!(pattern("memcpy"), None);
    }

    #[test]
    fn a_function_is_found_by_an_address_within_it_and_named_once() {
        let function = |start, name: &str| (start, (start + 10, name.to_owned()));
        let functions = Functions(BTreeMap::from([function(0, "_ZN1a17h0E"), function(20, "_ZN1a17h1E")]));
        assert_eq!((functions.at(9), functions.at(10)), (Some("_ZN1a17h0E"), None));
        let script = script(&functions.0.values().map(|(_, name)| name.clone()).collect()).unwrap();
        assert_eq!(script.matches("*(.text._ZN1a17h*)\n").count(), 1, "{script}");
    }
}
