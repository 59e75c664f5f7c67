//! The rules that read Rust code token by token.

use std::collections::BTreeMap;
use std::ops::Range;

use error::Result;

use super::source::{Kind, Source, Token, string};
use super::{Finding, Tree};

/// `unsafe` stands in `sys` only, and in one block of `child`; each block has its SAFETY comment.
pub(super) fn unsafe_stays_in_sys(tree: &Tree) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    let mut blocks_of_child = 0;
    for source in &tree.sources {
        for (index, token) in source.tokens.iter().enumerate() {
            if token.text != "unsafe" || token.kind != Kind::Ident {
                continue;
            }
            let block = source.at(index + 1) == "{";
            let mut found = |what: &str| findings.push(Finding::new(&source.path, token.line, what));
            match source.krate.as_str() {
                "sys" => {}
                "child" if block => {
                    blocks_of_child += 1;
                    if blocks_of_child > 1 {
                        found("a second unsafe block in child");
                    }
                }
                _ => found("unsafe outside crates/sys"),
            }
            if (block || source.at(index + 1) == "impl") && !has_safety_comment(&source.text, token.line) {
                found("no SAFETY comment above");
            }
        }
    }
    Ok(findings)
}

/// Looks upwards from the line for the comment, no further than the end of the statement before.
fn has_safety_comment(text: &str, line: usize) -> bool {
    let above: Vec<&str> = text.lines().take(line.saturating_sub(1)).map(str::trim).collect();
    let mut lines = above.iter().rev().take_while(|line| {
        let ends = line.is_empty() || line.ends_with(';') || line.ends_with('}');
        line.starts_with("//") || !ends
    });
    lines.any(|line| line.starts_with("//") && line.contains("SAFETY:"))
}

/// Functions of the kernel crates that only compute.
const PURE: &[&str] = &["makedev", "major", "minor"];

/// Modules of the standard library that reach the kernel.
const KERNEL_MODULES: &[&str] = &["fs", "process", "env", "net", "thread", "os"];

/// What is in `plan*.rs`, and every function called `plan*`, calls nothing that reaches the kernel.
pub(super) fn plans_are_pure(tree: &Tree) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for source in tree.product() {
        let imports = imports(source);
        let mut ranges: Vec<Range<usize>> = Vec::new();
        if source.file().starts_with("plan") {
            ranges.push(0..source.tokens.len());
        } else {
            let plans = source.functions().into_iter().filter(|function| function.name.starts_with("plan"));
            ranges.extend(plans.map(|function| function.body));
        }
        for (index, token) in source.code().filter(|(index, _)| ranges.iter().any(|range| range.contains(index))) {
            let Some(path) = called_path(source, index, &imports) else { continue };
            if reaches_kernel(&path) {
                findings.push(Finding::new(&source.path, token.line, format!("a plan calls {}", path.join("::"))));
            }
        }
    }
    Ok(findings)
}

/// The path called at `index`, its first name replaced by what the file imports under it; `None` for methods.
fn called_path(source: &Source, index: usize, imports: &BTreeMap<String, Vec<String>>) -> Option<Vec<String>> {
    let starts = source.tokens.get(index)?.kind == Kind::Ident && !matches!(source.before(index, 1), "." | "fn" | ":");
    if !starts {
        return None;
    }
    let mut path = vec![source.at(index).to_owned()];
    let mut next = index + 1;
    while source.reads(next, &[":", ":"]) && source.tokens.get(next + 2)?.kind == Kind::Ident {
        path.push(source.at(next + 2).to_owned());
        next += 3;
    }
    if source.at(next) != "(" {
        return None;
    }
    if let Some(full) = path.first().and_then(|first| imports.get(first)) {
        path.splice(0..1, full.iter().cloned());
    }
    Some(path)
}

fn reaches_kernel(path: &[String]) -> bool {
    let names: Vec<&str> = path.iter().map(String::as_str).collect();
    let Some((last, before)) = names.split_last() else { return false };
    let is_type = |name: &&str| name.starts_with(|letter: char| letter.is_ascii_uppercase());
    let function = !is_type(last) && !before.iter().any(is_type) && !PURE.contains(last);
    match names.as_slice() {
        ["rustix" | "sys" | "libc" | "nix", ..] => function,
        ["std", module, ..] => KERNEL_MODULES.contains(module) && !is_type(last),
        ["File" | "OpenOptions" | "Command", ..] => true,
        _ => {
            let verb = last.split('_').next().unwrap_or_default();
            !before.is_empty() && matches!(verb, "read" | "open" | "apply" | "undo") && *last != "read_only"
        }
    }
}

/// What the file's `use` items bring in: the name and its full path.
fn imports(source: &Source) -> BTreeMap<String, Vec<String>> {
    let mut found = BTreeMap::new();
    for (index, _) in source.code().filter(|(_, token)| token.text == "use" && token.kind == Kind::Ident) {
        import(source, index + 1, &[], &mut found);
    }
    found
}

/// Reads one use tree from `index` on; returns the place after it.
fn import(source: &Source, index: usize, prefix: &[String], found: &mut BTreeMap<String, Vec<String>>) -> usize {
    let mut path = prefix.to_vec();
    let mut next = index;
    loop {
        match source.at(next) {
            ":" => next += 1,
            "{" => {
                let close = source.closing(next);
                next += 1;
                while next < close {
                    next = import(source, next, &path, found) + 1;
                }
                return close + 1;
            }
            "as" => {
                found.insert(source.at(next + 1).to_owned(), path);
                return next + 2;
            }
            "self" if !prefix.is_empty() || !path.is_empty() => next += 1,
            name if source.tokens.get(next).is_some_and(|token| token.kind == Kind::Ident) => {
                path.push(name.to_owned());
                next += 1;
            }
            _ => {
                if let Some(last) = path.last() {
                    found.insert(last.clone(), path.clone());
                }
                return next;
            }
        }
    }
}

/// The first words of cgroup file names: controllers, and the core's own.
const CGROUP_PREFIXES: &[&str] = &[
    "memory",
    "cpu",
    "cpuset",
    "cpuacct",
    "blkio",
    "io",
    "pids",
    "devices",
    "freezer",
    "net_cls",
    "net_prio",
    "hugetlb",
    "perf_event",
    "rdma",
    "misc",
    "cgroup",
];

/// The second words of io's file names: other names that start with "io." are identifiers in reversed domain order.
const IO_FILES: &[&str] = &["max", "stat", "weight", "latency", "bfq", "cost", "pressure", "prio"];

/// Endings of files that are not the kernel's.
const ENDINGS: &[&str] = &["rs", "json", "toml", "md", "slice", "scope", "service"];

/// The cgroup file that a string names, alone or as the last part of a path; prose names none.
fn cgroup_file(text: &str) -> Option<&str> {
    let name = text.rsplit('/').next()?;
    let (prefix, rest) = name.split_once('.')?;
    let plain = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '.' | '{' | '}');
    let named = CGROUP_PREFIXES.contains(&prefix) && !rest.is_empty() && rest.chars().all(plain);
    let foreign = ENDINGS.contains(&rest) || (prefix == "io" && !IO_FILES.contains(&rest.split('.').next()?));
    (named && !foreign && !text.contains(' ')).then_some(name)
}

/// A cgroup file's name stands in one source file.
pub(super) fn cgroup_file_names_stand_once(tree: &Tree) -> Result<Vec<Finding>> {
    let mut places: BTreeMap<&str, Vec<(&Source, &Token)>> = BTreeMap::new();
    for source in tree.product() {
        for (_, token) in source.code() {
            if let Some(name) = string(token).and_then(cgroup_file) {
                places.entry(name).or_default().push((source, token));
            }
        }
    }
    let mut findings = Vec::new();
    for (name, places) in places {
        let mut elsewhere = places.iter().filter(|(source, _)| source.krate != "cgroup");
        let first = places.iter().find(|(source, _)| source.krate == "cgroup").or_else(|| elsewhere.next());
        let Some((home, _)) = first else { continue };
        for (source, token) in places.iter().filter(|(source, _)| source.path != home.path) {
            let what = format!("\"{name}\" stands in {} too", home.path);
            findings.push(Finding::new(&source.path, token.line, what));
        }
    }
    Ok(findings)
}

const CGROUP_MOUNT: &str = "/sys/fs/cgroup";

/// The host's mount point stands in cgroup's hierarchy.rs only; the container's in one constant.
pub(super) fn cgroup_mount_point_is_discovered(tree: &Tree) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    let mut constants = 0;
    for source in tree.product().filter(|source| source.path != "crates/cgroup/src/hierarchy.rs") {
        for (index, token) in source.code() {
            let Some(text) = string(token).filter(|text| text.contains(CGROUP_MOUNT) && !text.contains(' ')) else {
                continue;
            };
            let statement = (0..index).rev().map(|before| source.at(before)).take_while(|text| *text != ";").take(12);
            let constant = statement.into_iter().any(|word| word == "CONTAINER_CGROUP_MOUNT");
            constants += usize::from(constant);
            if !constant {
                findings.push(Finding::new(&source.path, token.line, format!("the path \"{text}\"")));
            } else if constants > 1 {
                findings.push(Finding::new(&source.path, token.line, "a second CONTAINER_CGROUP_MOUNT"));
            }
        }
    }
    Ok(findings)
}

const INTEGERS: &[&str] =
    &["u8", "u16", "u32", "u64", "usize", "i8", "i16", "i32", "i64", "isize", "pid_t", "uid_t", "gid_t"];

/// No public function of these crates takes an id as a bare integer; the id types' own functions may.
pub(super) fn ids_are_types(tree: &Tree) -> Result<Vec<Finding>> {
    let id = |name: &str| ["pid", "uid", "gid"].iter().any(|id| name == *id || name.ends_with(&format!("_{id}")));
    let of_id_type = |name: &str| ["Pid", "Uid", "Gid"].iter().any(|id| name.ends_with(id));
    let mut findings = Vec::new();
    for source in &tree.sources {
        if !matches!(source.krate.as_str(), "procfs" | "namespace" | "runtime" | "engine") {
            continue;
        }
        for function in source.functions() {
            let exempt = function.test || !function.public || function.implements.as_deref().is_some_and(of_id_type);
            let mut depth = 0_usize;
            for index in function.parameters.filter(|_| !exempt) {
                match source.tokens.get(index).map(|token| token.kind) {
                    Some(Kind::Open) => depth += 1,
                    Some(Kind::Close) => depth = depth.saturating_sub(1),
                    _ => {}
                }
                let name = source.at(index);
                if depth > 0 || !id(name) || source.at(index + 1) != ":" {
                    continue;
                }
                let kind = match source.at(index + 2) {
                    "Option" | "&" => {
                        [3, 4].map(|ahead| source.at(index + ahead)).into_iter().find(|text| *text != "<")
                    }
                    plain => Some(plain),
                };
                if let Some(kind) = kind.filter(|kind| INTEGERS.contains(kind)) {
                    let what = format!("{} takes `{name}: {kind}`", function.name);
                    findings.push(Finding::new(&source.path, function.line, what));
                }
            }
        }
    }
    Ok(findings)
}

/// The crates that are commands.
const COMMANDS: [&str; 2] = ["cli", "oci-runtime"];

/// No crate but those of commands prints, and none writes a log.
pub(super) fn libraries_are_silent(tree: &Tree) -> Result<Vec<Finding>> {
    let prints = ["println", "eprintln", "print", "eprint", "dbg"];
    let mut findings = Vec::new();
    for source in tree.product() {
        for (index, token) in source.code().filter(|(_, token)| token.kind == Kind::Ident) {
            let name = token.text.as_str();
            let macro_call = source.at(index + 1) == "!";
            let in_path = source.reads(index + 1, &[":", ":"]) && source.before(index, 1) != ":";
            let stream =
                matches!(name, "stdout" | "stderr") && source.before(index, 3) == "io" && writes(source, index);
            let what = match name {
                _ if !COMMANDS.contains(&source.krate.as_str())
                    && (stream || (macro_call && prints.contains(&name))) =>
                {
                    "prints"
                }
                "log" | "tracing" if in_path => "logs",
                _ => continue,
            };
            findings.push(Finding::new(&source.path, token.line, format!("`{name}` {what}")));
        }
    }
    Ok(findings)
}

/// Whether the stream named at `index` is written to, and not only taken for its descriptor.
fn writes(source: &Source, index: usize) -> bool {
    let method = if source.reads(index + 1, &["(", ")", "."]) { source.at(index + 4) } else { "" };
    calling(source, index) == "!" || method == "lock" || method == "flush" || method.starts_with("write")
}

/// What opens, reads or writes by a path.
const OPENERS: &[&str] = &[
    "open",
    "openat",
    "openat2",
    "read",
    "read_to_string",
    "read_link",
    "readlink",
    "readlinkat",
    "read_dir",
    "write",
    "create",
    "metadata",
    "stat",
    "exists",
];

/// No path under /proc is opened by its name, or put together, outside `procfs` and `sys` below it.
pub(super) fn kernel_files_through_handles(tree: &Tree) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for source in tree.product() {
        if matches!(source.krate.as_str(), "procfs" | "sys") || source.path == "crates/cgroup/src/hierarchy.rs" {
            continue;
        }
        for (index, token) in source.code() {
            let Some(text) = string(token).filter(|text| text.starts_with("/proc") && !text.contains(' ')) else {
                continue;
            };
            let caller = calling(source, index);
            if text.contains('{') {
                findings.push(Finding::new(&source.path, token.line, format!("the path \"{text}\" is put together")));
            } else if OPENERS.contains(&caller) {
                findings.push(Finding::new(&source.path, token.line, format!("{caller} by the path \"{text}\"")));
            }
        }
    }
    Ok(findings)
}

/// The name before the innermost open parenthesis around `index`.
fn calling(source: &Source, index: usize) -> &str {
    let mut depth = 0_usize;
    for place in (0..index).rev() {
        match source.at(place) {
            ")" => depth += 1,
            "(" if depth == 0 => return source.before(place, 1),
            "(" => depth -= 1,
            "{" | "}" | ";" => break,
            _ => {}
        }
    }
    ""
}

/// No `#[allow(…)]`, in tests neither.
pub(super) fn lints_are_expected_not_allowed(tree: &Tree) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for source in &tree.sources {
        for (index, token) in source.tokens.iter().enumerate() {
            let inner = source.reads(index, &["#", "!", "[", "allow"]);
            if inner || source.reads(index, &["#", "[", "allow"]) {
                findings.push(Finding::new(&source.path, token.line, "a lint is allowed"));
            }
        }
    }
    Ok(findings)
}

#[cfg(test)]
mod tests;
