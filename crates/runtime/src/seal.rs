//! The caller's own program, out of reach of what runs in containers.
//!
//! Until it executes its command, a container's process runs the runtime's program, and /proc/PID/exe leads to that file
//! on the host, past every mount namespace. A command that leads back there (`#!/proc/self/exe`) lets a process of the
//! container open it, wait until nothing runs it any more, and overwrite it: CVE-2019-5736. So the program is executed
//! once more, before it does anything else, from a mount that cannot be written through: a detached read-only view of the
//! file, in no mount namespace, which goes with the process. It costs one execve(2), no memory and no copy.

use std::ffi::{CString, OsString};
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt as _;

use error::{Doing, Errno, Kernel, Refused, Result};
use procfs::Process;
use rustix::fs::{MemfdFlags, SealFlags, StatVfsMountFlags, fcntl_add_seals, fcntl_get_seals, fstatvfs, memfd_create};
use sys::mount::{Attributes, Change, Reach};
use sys::process::{Argument, Arguments};

/// Makes sure that the caller's own program cannot be written to by whoever finds it through /proc: comes back where that
/// is so, and else executes it once more, with the same arguments and environment.
///
/// # Errors
/// A kernel error where there is neither a mount nor memory to execute it from.
pub fn own_program(
    arguments: Vec<OsString>,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<()> {
    let program = Process::this()?.open_program()?;
    if is_sealed(program.as_fd())? {
        return Ok(());
    }
    let sealed = view(program.as_fd()).or_else(|_| copy(program))?;
    execute(sealed.as_fd(), arguments, environment)
}

/// Becomes the program that `file` is open on. Comes back only when it failed.
///
/// # Errors
/// A kernel error; refused for what cannot be an argument.
pub fn execute(
    program: BorrowedFd<'_>,
    arguments: Vec<OsString>,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<()> {
    let variables = environment.into_iter().map(|(name, value)| {
        let mut variable = name;
        variable.push("=");
        variable.push(value);
        variable
    });
    let (arguments, environment) = (texts(arguments.into_iter())?, texts(variables)?);
    let (argument_vector, environment_vector) = (vector(&arguments), vector(&environment));
    let missing = || Kernel::new("pass the arguments on", Errno::INVAL);
    let argument_vector = Arguments::new(&argument_vector).ok_or_else(missing)?;
    let environment_vector = Arguments::new(&environment_vector).ok_or_else(missing)?;
    let errno = sys::process::execute_file(program, argument_vector, environment_vector);
    Err(Kernel::new("execute this program once more", errno).into())
}

/// Whether the file lies on a read-only mount, or is a file in memory that is sealed.
fn is_sealed(program: BorrowedFd<'_>) -> Result<bool> {
    let mounted = fstatvfs(program).doing(|| "look at the mount of this program")?;
    let sealed = || fcntl_get_seals(program).is_ok_and(|seals| seals.contains(SealFlags::WRITE));
    Ok(mounted.f_flag.contains(StatVfsMountFlags::RDONLY) || sealed())
}

/// A read-only view of the file, in no mount namespace.
fn view(program: BorrowedFd<'_>) -> Result<OwnedFd> {
    let action = || "make a read-only view of this program";
    let mount = sys::mount::clone_tree(Some(program), c"", Reach::One).doing(action)?;
    let set = Attributes::READ_ONLY.with(Attributes::NOSUID).with(Attributes::NODEV);
    sys::mount::change(mount.as_fd(), Reach::One, &Change { set, ..Change::default() }).doing(action)?;
    Ok(mount)
}

/// A sealed copy in memory, for who may not make mounts.
fn copy(program: OwnedFd) -> Result<OwnedFd> {
    let action = || "copy this program to memory";
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    // MFD_EXEC is unknown before Linux 6.3.
    let memory = memfd_create("program", flags | MemfdFlags::EXEC).or_else(|_| memfd_create("program", flags));
    let mut memory = File::from(memory.doing(action)?);
    std::io::copy(&mut File::from(program), &mut memory).doing(action)?;
    let seals = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
    fcntl_add_seals(&memory, seals).doing(action)?;
    Ok(memory.into())
}

fn texts(words: impl Iterator<Item = OsString>) -> Result<Vec<CString>> {
    let ended = |word: OsString| {
        CString::new(word.into_vec()).map_err(|_| Refused::new("an argument", "", "holds a NUL character").into())
    };
    words.map(ended).collect()
}

fn vector(texts: &[CString]) -> Vec<Argument<'_>> {
    texts.iter().map(|text| Argument::new(text)).chain([Argument::END]).collect()
}
