//! `cargo xtask tidy`: the invariants of ARCHITECTURE.md and the rules of CONTRIBUTING.md, each a function that can fail.
//!
//! A rule is one entry of [`RULES`]: its name, why it is there, what to do about a finding, and the function that
//! looks for findings. Its tests show it a sample that is wrong and one that is right.

mod files;
pub(crate) mod graph;
mod layers;
mod object;
mod source;
mod text;

use std::fs;
use std::path::{Path, PathBuf};

use error::{Doing, Refused, Result};

use source::Source;

/// One thing that is wrong.
#[derive(Debug, PartialEq, Eq)]
struct Finding {
    /// Below the workspace's folder.
    path: String,
    /// Counted from 1.
    line: usize,
    what: String,
}

impl Finding {
    fn new(path: &str, line: usize, what: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, what: what.into() }
    }
}

struct Rule {
    name: &'static str,
    why: &'static str,
    todo: &'static str,
    check: fn(&Tree) -> Result<Vec<Finding>>,
}

/// The workspace as the rules see it.
#[derive(Debug, Default)]
struct Tree {
    root: PathBuf,
    files: Vec<File>,
    sources: Vec<Source>,
    packages: Vec<graph::Package>,
}

/// A file of any kind.
#[derive(Debug)]
struct File {
    /// Below the workspace's folder.
    path: String,
    bytes: u64,
    /// Absent where it is not UTF-8.
    text: Option<String>,
}

const RULES: &[Rule] = &[
    Rule {
        name: "unsafe-stays-in-sys",
        why: "memory safety is argued in one place; a reader of any other crate need not think about it",
        todo: "add a safe function to crates/sys, and say in a SAFETY comment why it holds there",
        check: text::unsafe_stays_in_sys,
    },
    Rule {
        name: "child-reaches-sys-only",
        why: "after clone3 another thread's lock may be held forever: allocating, formatting or panicking can hang",
        todo: "prepare the value before clone3, or use a form that cannot panic (get, checked_*, try_into, an errno)",
        check: object::child_reaches_sys_only,
    },
    Rule {
        name: "plans-are-pure",
        why: "explain prints the plan that run applies; it cannot lie only if planning touches nothing",
        todo: "take the fact as a parameter and read it in the caller, or rename the function if it does apply",
        check: text::plans_are_pure,
    },
    Rule {
        name: "cgroup-file-names-stand-once",
        why: "what a cgroup file means on v1 and v2 is learned, and changed, by reading one file",
        todo: "call the controller's file of crates/cgroup that has the name already",
        check: text::cgroup_file_names_stand_once,
    },
    Rule {
        name: "cgroup-mount-point-is-discovered",
        why: "hierarchies are where mountinfo says; only hierarchy.rs may know where they usually are",
        todo: "ask cgroup's hierarchy.rs on the host; for a path inside use the constant CONTAINER_CGROUP_MOUNT",
        check: text::cgroup_mount_point_is_discovered,
    },
    Rule {
        name: "runtime-knows-no-images",
        why: "an OCI runtime serves every engine alike; what it does not know cannot be attacked through it",
        todo: "do it in image, engine or api, and hand the runtime a configuration",
        check: graph::runtime_knows_no_images,
    },
    Rule {
        name: "ids-are-types",
        why: "the same number is another process inside than outside; a mixed-up id kills a stranger",
        todo: "take procfs's HostPid or ContainerPid (Uid, Gid alike) instead of an integer",
        check: text::ids_are_types,
    },
    Rule {
        name: "libraries-are-silent",
        why: "an error is reported once, by the face that knows where to; a library that prints breaks --json",
        todo: "return the value or the error and let cli or api show it",
        check: text::libraries_are_silent,
    },
    Rule {
        name: "kernel-files-through-handles",
        why: "a path under /proc can be another process's, or a container's making, by the time it is opened",
        todo: "open the process once through procfs's verified handle and read below its descriptor",
        check: text::kernel_files_through_handles,
    },
    Rule {
        name: "layers-go-down",
        why: "a crate can be understood, tested and fuzzed without what is above or beside it",
        todo: "move the shared part down a layer, or hand the value in from above",
        check: layers::layers_go_down,
    },
    Rule {
        name: "every-crate-has-a-layer",
        why: "a crate outside the table would be outside every rule",
        todo: "give it its place in ARCHITECTURE.md and in crates/xtask/src/tidy/layers.rs",
        check: layers::every_crate_has_a_layer,
    },
    Rule {
        name: "files-say-what-they-are-for",
        why: "a newcomer decides by the first line whether to read on",
        todo: "start the file with a `//!` line: what it is for, its units, the kernel document or specification section",
        check: files::files_say_what_they_are_for,
    },
    Rule {
        name: "files-have-a-subject",
        why: "a drawer without a subject is filled by everybody and searched by nobody",
        todo: "name the file after the kernel's or the specification's word for what is in it",
        check: files::files_have_a_subject,
    },
    Rule {
        name: "lints-are-inherited",
        why: "one table of lints holds everywhere",
        todo: "write [lints] workspace = true; sys and child, which need unsafe, repeat the other lints of the table",
        check: files::lints_are_inherited,
    },
    Rule {
        name: "lints-are-expected-not-allowed",
        why: "an allow outlives its cause unseen; an expect warns once the cause is gone",
        todo: "write #[expect(lint, reason = \"…\")] on the smallest item, or satisfy the lint",
        check: text::lints_are_expected_not_allowed,
    },
    Rule {
        name: "project-speaks-of-itself",
        why: "a reader elsewhere has neither this machine's folders nor this tracker's numbers",
        todo: "say what is meant instead of where it was discussed",
        check: files::project_speaks_of_itself,
    },
    Rule {
        name: "documents-are-there",
        why: "they are what a user, a contributor, a packager and a reporter of a hole look for first",
        todo: "write or commit the file",
        check: files::documents_are_there,
    },
    Rule {
        name: "limits-document-is-current",
        why: "the table of limits is made from the code that writes them, and a stale copy lies",
        todo: "carboy explain limits --markdown > docs/limits.md",
        check: files::limits_document_is_current,
    },
    Rule {
        name: "files-are-small",
        why: "every clone carries every file's every version for ever",
        todo: "generate it, or keep it out of the repository",
        check: files::files_are_small,
    },
];

/// Prints what is wrong in the workspace at `root`.
///
/// # Errors
/// When anything is wrong, or the workspace cannot be read.
pub(crate) fn run(root: &Path) -> Result<()> {
    let tree = Tree::read(root)?;
    let mut count = 0;
    for rule in RULES {
        let findings = (rule.check)(&tree)?;
        for Finding { path, line, what } in &findings {
            println!("{path}:{line}: {what}\n    {}: {}\n    to do: {}", rule.name, rule.why, rule.todo);
        }
        count += findings.len();
    }
    if count == 0 {
        println!("tidy: {} rules hold in {} files", RULES.len(), tree.files.len());
        return Ok(());
    }
    Err(Refused::new("tidy", "", format!("{count} findings")).into())
}

impl Tree {
    fn read(root: &Path) -> Result<Self> {
        let mut files = Vec::new();
        collect(root, "", &mut files)?;
        files.sort_by(|one, other| one.path.cmp(&other.path));
        let mut tree = Self { root: root.to_path_buf(), packages: graph::read(root)?, ..Self::default() };
        for File { path, text, .. } in &files {
            if let Some(text) = text.as_ref().filter(|_| path.ends_with(".rs")) {
                tree.sources.push(Source::new(path, text));
            }
        }
        tree.files = files;
        tree.mark_test_files();
        Ok(tree)
    }

    /// Marks the files that another file declares as `#[cfg(test)] mod name;`.
    fn mark_test_files(&mut self) {
        let mut of_tests = Vec::new();
        for source in &self.sources {
            let (folder, file) = source.path.rsplit_once('/').unwrap_or_default();
            let stem = file.trim_end_matches(".rs");
            let below = match stem {
                "lib" | "main" | "mod" => folder.to_owned(),
                _ => format!("{folder}/{stem}"),
            };
            of_tests.extend(source.test_modules.iter().map(|name| format!("{below}/{name}")));
        }
        for source in &mut self.sources {
            let stem = source.path.trim_end_matches(".rs");
            if of_tests.iter().any(|module| stem == module || stem.starts_with(&format!("{module}/"))) {
                source::mark_all(&mut source.tokens);
            }
        }
    }

    fn file(&self, path: &str) -> Option<&File> {
        self.files.iter().find(|file| file.path == path)
    }

    /// The sources whose code ends up in carboy: those in `src` of the crates in the layer table.
    fn product(&self) -> impl Iterator<Item = &Source> {
        let own =
            |source: &&Source| layers::of(&source.krate).is_some() && source.path.split('/').nth(2) == Some("src");
        self.sources.iter().filter(own)
    }

    /// A workspace of these files, for a rule's test.
    #[cfg(test)]
    fn sample(files: &[(&str, &str)]) -> Self {
        let mut tree = Self::default();
        for (path, text) in files {
            let bytes = u64::try_from(text.len()).unwrap();
            tree.files.push(File { path: (*path).to_owned(), bytes, text: Some((*text).to_owned()) });
            if path.ends_with(".rs") {
                tree.sources.push(Source::new(path, text));
            }
        }
        tree.mark_test_files();
        tree
    }
}

/// Every file below `folder`, without what git and cargo keep there.
fn collect(root: &Path, folder: &str, files: &mut Vec<File>) -> Result<()> {
    let here = root.join(folder);
    for entry in fs::read_dir(&here).doing(|| format!("list {}", here.display()))? {
        let entry = entry.doing(|| format!("list {}", here.display()))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = if folder.is_empty() { name } else { format!("{folder}/{name}") };
        let kind = entry.file_type().doing(|| format!("look at {path}"))?;
        if matches!(path.as_str(), ".git" | "target" | "fuzz/target") {
            continue;
        }
        if kind.is_dir() {
            collect(root, &path, files)?;
        } else if kind.is_file() {
            let content = fs::read(entry.path()).doing(|| format!("read {path}"))?;
            let bytes = u64::try_from(content.len()).unwrap_or(u64::MAX);
            files.push(File { path, bytes, text: String::from_utf8(content).ok() });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_has_a_name_of_its_own() {
        let mut names: Vec<&str> = RULES.iter().map(|rule| rule.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), RULES.len());
    }

    #[test]
    fn architecture_and_contributing_name_every_rule() {
        let root = crate::root();
        let documents = ["ARCHITECTURE.md", "CONTRIBUTING.md"].map(|name| fs::read_to_string(root.join(name)).unwrap());
        for rule in RULES {
            assert!(documents.iter().any(|text| text.contains(rule.name)), "no document names {}", rule.name);
        }
    }

    #[test]
    fn a_module_declared_for_tests_is_a_test_file() {
        let tree = Tree::sample(&[
            ("crates/runtime/src/lib.rs", "#[cfg(test)]\nmod kernel;"),
            ("crates/runtime/src/kernel.rs", "fn a() {}"),
            ("crates/runtime/src/kernel/deep.rs", "fn a() {}"),
            ("crates/runtime/src/plan.rs", "fn a() {}"),
        ]);
        let code: Vec<&str> =
            tree.sources.iter().filter(|source| source.code().next().is_some()).map(Source::file).collect();
        assert_eq!(code, ["plan.rs"]);
    }
}
