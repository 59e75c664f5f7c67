//! What the code of `child` can reach, read from object files.
//!
//! `child`, `sys` and `rustix` are built as in a release but without link-time optimisation, so that each function is a
//! section of its own and each call a relocation (System V ABI, chapter 4). From every function of `child` the
//! relocations are followed through `sys`, `rustix` and `core`; what else is reached, or what panics or formats, is a
//! finding, with the way to it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use error::{Corrupt, Doing, Result};
use object::read::archive::ArchiveFile;
use object::{Object, ObjectSection, ObjectSymbol, RelocationTarget, SectionIndex, SectionKind};

use super::{Finding, Tree};
use crate::program;

/// The packages whose code may run between clone3 and execve, `child` first.
const INSIDE: &[&str] = &["carboy_child", "carboy_sys", "rustix"];

/// Functions that the compiler itself calls, which do nothing but move and compare bytes.
const INTRINSICS: &[&str] = &["memcpy", "memmove", "memset", "memcmp", "bcmp", "strlen", "_GLOBAL_OFFSET_TABLE_"];

/// Parts of `core` that must not be reached; the rest of it neither panics nor allocates by itself.
const FORBIDDEN: &[&str] = &["core::panicking::", "core::fmt::"];

/// Files whose assertions may be reached, by how their path ends, because they cannot fail in `child`.
///
/// rustix's owned.rs asserts that a descriptor is not -1 when the kernel has just returned it: there -1 would be an errno.
/// Its errno.rs asserts that a number is 1 to 4095, which `errno` of sys's raw.rs, the only caller, has just checked.
const CANNOT_FAIL: &[&str] = &["src/maybe_polyfill/no_std/os/fd/owned.rs", "src/backend/linux_raw/io/errno.rs"];

/// Nothing that runs between clone3 and execve panics, formats or reaches code outside `child`, `sys`, `rustix`, `core`.
pub(super) fn child_reaches_sys_only(tree: &Tree) -> Result<Vec<Finding>> {
    let mut command = program::cargo(&tree.root);
    command.args(["build", "--package", "carboy-child", "--profile", "child-object", "--message-format=json"]);
    for setting in ["inherits='release'", "lto=false", "codegen-units=1"] {
        command.args(["--config", &format!("profile.child-object.{setting}")]);
    }
    let output = program::read(&mut command)?;
    let text = String::from_utf8_lossy(&output.stdout);
    let mut graph = Graph::default();
    let mut roots = Vec::new();
    for name in INSIDE {
        if let Some(library) = text.lines().find_map(|line| library(line, name)) {
            let code = graph.add_library(&library)?;
            if *name == "carboy_child" {
                roots = code;
            }
        }
    }
    graph.add_library(&core_library()?)?;
    let ways = graph.ways_out(&roots);
    Ok(ways.into_iter().map(|way| Finding::new("crates/child/src/lib.rs", 1, way)).collect())
}

/// The rlib of the crate `name`, if this message of cargo's tells of it.
fn library(message: &str, name: &str) -> Option<PathBuf> {
    let message: serde_json::Value = serde_json::from_str(message).ok()?;
    if message.get("target")?.get("name")?.as_str()?.replace('-', "_") != name {
        return None;
    }
    let files = message.get("filenames")?.as_array()?;
    files.iter().filter_map(serde_json::Value::as_str).find(|file| file.ends_with(".rlib")).map(PathBuf::from)
}

/// The rlib of `core` that came with the compiler.
fn core_library() -> Result<PathBuf> {
    let mut rustc = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    let output = program::read(rustc.args(["--print", "target-libdir"]))?;
    let folder = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim_end());
    let entries = fs::read_dir(&folder).doing(|| format!("list {}", folder.display()))?;
    let mut names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
    let core = names.find(|name| name.starts_with("libcore-") && name.ends_with(".rlib"));
    let missing = || Corrupt::new(folder.display().to_string(), "it holds no libcore").into();
    core.map(|name| folder.join(name)).ok_or_else(missing)
}

/// The place of a section: the number of its object file, and its own.
type Place = (usize, usize);

/// Sections, and what each refers to.
#[derive(Default)]
struct Graph {
    objects: usize,
    /// Where a global symbol is defined.
    defined: BTreeMap<String, Place>,
    /// A section's name for people: the first symbol in it.
    names: BTreeMap<Place, String>,
    /// The references of a section: to a place in the same file, or to a symbol by name.
    references: BTreeMap<Place, Vec<Reference>>,
    /// The sections that are a `core::panic::Location`: which one.
    locations: BTreeMap<Place, Location>,
}

/// Where in the source a panic is raised.
#[derive(Debug)]
struct Location {
    file: String,
    line: u32,
}

enum Reference {
    Section(Place),
    Symbol(String),
}

impl Graph {
    /// Adds the object files of an rlib; returns where its code is.
    fn add_library(&mut self, path: &Path) -> Result<Vec<Place>> {
        let unreadable = |error: object::Error| Corrupt::new(path.display().to_string(), error.to_string());
        let bytes = fs::read(path).doing(|| format!("read {}", path.display()))?;
        let archive = ArchiveFile::parse(bytes.as_slice()).map_err(unreadable)?;
        let mut code = Vec::new();
        for member in archive.members() {
            let member = member.map_err(unreadable)?;
            if member.name().ends_with(b".o") {
                let data = member.data(bytes.as_slice()).map_err(unreadable)?;
                let file = object::File::parse(data).map_err(unreadable)?;
                code.extend(self.add_object(&file));
            }
        }
        Ok(code)
    }

    fn add_object(&mut self, file: &object::File<'_>) -> Vec<Place> {
        let number = self.objects;
        self.objects += 1;
        for symbol in file.symbols() {
            let (Some(SectionIndex(section)), Ok(name)) = (symbol.section_index(), symbol.name()) else { continue };
            if name.is_empty() {
                continue;
            }
            self.names.entry((number, section)).or_insert_with(|| name.to_owned());
            if symbol.is_global() {
                self.defined.insert(name.to_owned(), (number, section));
            }
        }
        let mut code = Vec::new();
        for section in file.sections() {
            let place = (number, section.index().0);
            if section.kind() == SectionKind::Text && section.size() > 0 {
                code.push(place);
            }
            let targets = section.relocations().map(|(_, relocation)| relocation.target());
            let references = targets.filter_map(|target| reference(file, number, target)).collect();
            self.references.insert(place, references);
            self.locations.extend(location(file, &section).map(|location| (place, location)));
        }
        code
    }

    /// What is reached outside, each with the way to it: "a -> b -> core::panicking::panic".
    fn ways_out(&self, roots: &[Place]) -> Vec<String> {
        let mut from: BTreeMap<Place, Option<Place>> = roots.iter().map(|root| (*root, None)).collect();
        let mut next: VecDeque<Place> = roots.iter().copied().collect();
        let mut outside = BTreeSet::new();
        let mut ways = Vec::new();
        while let Some(place) = next.pop_front() {
            for reference in self.references.get(&place).into_iter().flatten() {
                let target = match reference {
                    Reference::Section(target) => *target,
                    Reference::Symbol(name) => match self.defined.get(name).filter(|_| !is_forbidden(name)) {
                        Some(target) => *target,
                        None => {
                            let harmless = INTRINSICS.contains(&name.as_str()) || self.cannot_fail(place, name);
                            if !harmless && outside.insert((place, name)) {
                                ways.push(self.way(place, &from, name));
                            }
                            continue;
                        }
                    },
                };
                from.entry(target).or_insert_with(|| {
                    next.push_back(target);
                    Some(place)
                });
            }
        }
        ways
    }

    /// The places in the source that the panics of this section tell.
    fn told(&self, place: Place) -> impl Iterator<Item = &Location> {
        let references = self.references.get(&place).into_iter().flatten();
        references.filter_map(|reference| match reference {
            Reference::Section(target) => self.locations.get(target),
            Reference::Symbol(_) => None,
        })
    }

    /// Whether `name` is a panic that only assertions of [`CANNOT_FAIL`] raise here.
    fn cannot_fail(&self, place: Place, name: &str) -> bool {
        let mut told = self.told(place).peekable();
        is_forbidden(name)
            && told.peek().is_some()
            && told.all(|location| CANNOT_FAIL.iter().any(|file| location.file.ends_with(file)))
    }

    fn way(&self, last: Place, from: &BTreeMap<Place, Option<Place>>, outside: &str) -> String {
        let mut names = vec![readable(outside)];
        let mut place = Some(last);
        while let Some(here) = place {
            names.push(self.names.get(&here).map_or_else(|| "?".to_owned(), |name| readable(name)));
            place = from.get(&here).copied().flatten();
        }
        names.reverse();
        let told: BTreeSet<String> = self.told(last).map(|Location { file, line }| format!("{file}:{line}")).collect();
        let told = told.into_iter().collect::<Vec<_>>().join(", ");
        format!("{}{}{told}", names.join(" -> "), if told.is_empty() { "" } else { " at " })
    }
}

fn reference(file: &object::File<'_>, number: usize, target: RelocationTarget) -> Option<Reference> {
    match target {
        RelocationTarget::Section(SectionIndex(section)) => Some(Reference::Section((number, section))),
        RelocationTarget::Symbol(index) => {
            let symbol = file.symbol_by_index(index).ok()?;
            match symbol.section_index() {
                Some(SectionIndex(section)) => Some(Reference::Section((number, section))),
                None => {
                    symbol.name().ok().filter(|name| !name.is_empty()).map(|name| Reference::Symbol(name.to_owned()))
                }
            }
        }
        _ => None,
    }
}

/// Reads a section as a `core::panic::Location`: a pointer to the file's name, its length, line and column.
fn location(file: &object::File<'_>, section: &object::Section<'_, '_>) -> Option<Location> {
    let data = section.data().ok().filter(|data| data.len() == 24)?;
    let (_, relocation) = section.relocations().next()?;
    let (text, start) = match relocation.target() {
        RelocationTarget::Section(index) => (file.section_by_index(index).ok()?, 0),
        RelocationTarget::Symbol(index) => {
            let symbol = file.symbol_by_index(index).ok()?;
            (file.section_by_index(symbol.section_index()?).ok()?, symbol.address())
        }
        _ => return None,
    };
    let start = usize::try_from(start.checked_add_signed(relocation.addend())?).ok()?;
    let length = usize::try_from(u64::from_ne_bytes(data.get(8..16)?.try_into().ok()?)).ok()?;
    let name = text.data().ok()?.get(start..start.checked_add(length)?)?;
    let file = std::str::from_utf8(name).ok().filter(|name| name.ends_with(".rs"))?.to_owned();
    Some(Location { file, line: u32::from_ne_bytes(data.get(16..20)?.try_into().ok()?) })
}

fn is_forbidden(symbol: &str) -> bool {
    let name = readable(symbol);
    FORBIDDEN.iter().any(|part| name.contains(part))
}

/// A symbol's name as it is written in Rust, without the compiler's hash.
fn readable(symbol: &str) -> String {
    format!("{:#}", rustc_demangle::demangle(symbol))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What code outside is reached from a library with this source.
    fn reached(name: &str, source: &str) -> Vec<String> {
        reached_from(name, "sample.rs", source)
    }

    /// The same for a source file of this name.
    fn reached_from(name: &str, file: &str, source: &str) -> Vec<String> {
        let folder = std::env::temp_dir().join(format!("tidy-object-{}-{name}", std::process::id()));
        let (file, library) = (folder.join(file), folder.join("libsample.rlib"));
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, format!("#![no_std]\n{source}")).unwrap();
        let mut rustc = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
        rustc.args([
            "--crate-type=rlib",
            "--edition=2024",
            "-Copt-level=3",
            "-Cpanic=abort",
            "-Ccodegen-units=1",
            "-o",
        ]);
        program::run(rustc.arg(&library).arg(&file)).unwrap();
        let mut graph = Graph::default();
        let code = graph.add_library(&library).unwrap();
        graph.add_library(&core_library().unwrap()).unwrap();
        assert!(!code.is_empty(), "the sample has no code");
        fs::remove_dir_all(&folder).unwrap();
        graph.ways_out(&code)
    }

    #[test]
    fn an_index_that_can_panic_is_found_through_the_function_in_between() {
        let ways = reached(
            "panics",
            "#[inline(never)] fn pick(x: &[u8], i: usize) -> u8 { x[i] }\n\
             #[unsafe(no_mangle)] pub extern \"C\" fn outer(i: usize) -> u8 { pick(core::hint::black_box(&[1, 2]), i) }",
        );
        assert_eq!(ways.len(), 1, "{ways:?}");
        let way = ways.first().unwrap();
        assert!(way.contains("pick -> core::panicking::panic_bounds_check at "), "{way}");
        assert!(way.ends_with("sample.rs:2"), "{way}");
    }

    #[test]
    fn an_assertion_that_cannot_fail_is_known_by_its_file() {
        let source = "#[unsafe(no_mangle)] pub extern \"C\" fn outer(fd: i32) { assert!(fd != -1); }";
        assert_eq!(reached_from("asserts", "src/maybe_polyfill/no_std/os/fd/owned.rs", source), Vec::<String>::new());
        assert_eq!(reached_from("other", "src/os/fd/owned.rs", source).len(), 1);
    }

    #[test]
    fn formatting_is_found() {
        let source = "use core::fmt::Write;\nstruct Quiet;\n\
                      impl Write for Quiet { fn write_str(&mut self, _: &str) -> core::fmt::Result { Ok(()) } }\n\
                      #[unsafe(no_mangle)] pub extern \"C\" fn outer(i: usize) -> bool { write!(Quiet, \"{i}\").is_ok() }";
        assert!(reached("formats", source).iter().any(|way| way.contains("core::fmt::")));
    }

    #[test]
    fn an_allocation_is_found() {
        let source = "extern crate alloc;\n\
                      #[unsafe(no_mangle)] pub extern \"C\" fn outer() { drop(core::hint::black_box(alloc::boxed::Box::new(7))); }";
        assert!(reached("allocates", source).iter().any(|way| way.contains("__rust_alloc")));
    }

    #[test]
    fn code_that_cannot_fail_reaches_nothing() {
        let source = "#[unsafe(no_mangle)] pub extern \"C\" fn outer(x: &[u8; 64], i: usize) -> u8 {\n\
                      let y = core::hint::black_box(*x); y.get(i).copied().unwrap_or(0) }";
        assert_eq!(reached("quiet", source), Vec::<String>::new());
        let source = "#[unsafe(no_mangle)] pub extern \"C\" fn outer(x: &[u8; 64]) -> bool {\n\
                      core::ffi::CStr::from_bytes_until_nul(x).is_ok() }";
        assert_eq!(reached("core", source), Vec::<String>::new(), "core may be used where it cannot panic");
    }
}
