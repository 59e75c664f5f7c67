//! The rules on files as a whole: headers, names, manifests, documents, sizes.

use std::process::{Command, Stdio};

use error::{Doing, Result};

use super::{Finding, Tree};

/// Every Rust file starts with a `//!` line, and is Rust.
pub(super) fn files_say_what_they_are_for(tree: &Tree) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for source in &tree.sources {
        if !source.text.starts_with("//! ") {
            findings.push(Finding::new(&source.path, 1, "no `//!` header on the first line"));
        }
        if let Some(reason) = &source.broken {
            findings.push(Finding::new(&source.path, 1, format!("not readable as Rust: {reason}")));
        }
    }
    Ok(findings)
}

const DRAWERS: &[&str] = &["util", "utils", "common", "helper", "helpers", "types", "manager"];

/// No file or folder is a drawer.
pub(super) fn files_have_a_subject(tree: &Tree) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for source in &tree.sources {
        let drawer = source.path.split('/').find(|part| DRAWERS.contains(&part.trim_end_matches(".rs")));
        findings.extend(drawer.map(|part| Finding::new(&source.path, 1, format!("`{part}` names no subject"))));
    }
    Ok(findings)
}

/// Every crate has the workspace's lints; those with unsafe repeat all others.
pub(super) fn lints_are_inherited(tree: &Tree) -> Result<Vec<Finding>> {
    let workspace = tree.file("Cargo.toml").and_then(|file| file.text.as_deref()).unwrap_or_default();
    let table = lint_lines(workspace);
    let mut findings = Vec::new();
    for file in &tree.files {
        let Some(krate) = file.path.strip_prefix("crates/").and_then(|path| path.strip_suffix("/Cargo.toml")) else {
            continue;
        };
        let text = file.text.as_deref().unwrap_or_default();
        if text.contains("[lints]\nworkspace = true") {
            continue;
        }
        if !matches!(krate, "sys" | "child") {
            findings.push(Finding::new(&file.path, 1, format!("{krate} does not inherit the workspace's lints")));
            continue;
        }
        let own = lint_lines(text);
        for line in table.iter().filter(|line| !line.starts_with("unsafe_code") && !own.contains(line)) {
            findings.push(Finding::new(&file.path, 1, format!("{krate} lacks the lint {line}")));
        }
    }
    Ok(findings)
}

/// The lines of a manifest's tables of lints.
fn lint_lines(manifest: &str) -> Vec<&str> {
    let mut inside = false;
    let mut lines = Vec::new();
    for line in manifest.lines().map(str::trim) {
        if line.starts_with('[') {
            inside = line.contains("lints.");
        } else if inside && line.contains('=') && !line.starts_with('#') {
            lines.push(line);
        }
    }
    lines
}

/// This rule's own file: it has to name what it looks for.
const OWN: &str = "crates/xtask/src/tidy/files.rs";

/// No file tells of the place where it was written.
pub(super) fn project_speaks_of_itself(tree: &Tree) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for file in tree.files.iter().filter(|file| file.path != OWN) {
        for (index, line) in file.text.iter().flat_map(|text| text.lines()).enumerate() {
            let folder =
                ["/work/main", "/work/shared", "/work/.", "/farm/"].into_iter().find(|folder| line.contains(folder));
            if let Some(what) = folder.map(str::to_owned).or_else(|| issue_number(line)) {
                findings.push(Finding::new(&file.path, index + 1, format!("tells of \"{what}\"")));
            }
        }
    }
    Ok(findings)
}

/// "issue 7", "Issue #7": the word and what follows, if that is a number.
fn issue_number(line: &str) -> Option<String> {
    let lower = line.to_lowercase();
    let mut words = lower.split_whitespace().skip_while(|word| word.trim_start_matches('(') != "issue");
    let (word, number) = (words.next()?, words.next()?);
    number.trim_start_matches('#').starts_with(|digit: char| digit.is_ascii_digit()).then(|| format!("{word} {number}"))
}

const DOCUMENTS: &[&str] = &[
    "README.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "CHANGELOG.md",
    "LICENSE-MIT",
    "LICENSE-APACHE",
    "Cargo.lock",
];

/// The documents are there and not empty, and git has Cargo.lock.
pub(super) fn documents_are_there(tree: &Tree) -> Result<Vec<Finding>> {
    let missing = DOCUMENTS.iter().filter(|name| tree.file(name).is_none_or(|file| file.bytes == 0));
    let mut findings: Vec<Finding> = missing.map(|name| Finding::new(name, 1, "is not there")).collect();
    if tree.root.join(".git").exists() {
        let mut git = Command::new("git");
        git.args(["ls-files", "--error-unmatch", "Cargo.lock"]).current_dir(&tree.root);
        let status = git.stdout(Stdio::null()).stderr(Stdio::null()).status().doing(|| "start git ls-files")?;
        if !status.success() {
            findings.push(Finding::new("Cargo.lock", 1, "is not committed"));
        }
    }
    Ok(findings)
}

const LIMITS: &str = "docs/limits.md";

/// The document of limits is what the code says.
pub(super) fn limits_document_is_current(tree: &Tree) -> Result<Vec<Finding>> {
    let (written, made) = (tree.file(LIMITS).and_then(|file| file.text.as_deref()), cgroup::setting::markdown());
    let Some(written) = written else { return Ok(vec![Finding::new(LIMITS, 1, "is not there")]) };
    let mut lines = written.lines().zip(made.lines());
    let differs = lines.position(|(written, made)| written != made).map(|before| (before, "is not what the code says"));
    let short = || {
        let (has, needs) = (written.lines().count(), made.lines().count());
        (has != needs).then(|| (has.min(needs), "ends where the code does not"))
    };
    Ok(differs.or_else(short).map(|(before, what)| Finding::new(LIMITS, before + 1, what)).into_iter().collect())
}

/// One MiB.
const LARGEST_BYTES: u64 = 1 << 20;

/// No file is larger than one MiB.
pub(super) fn files_are_small(tree: &Tree) -> Result<Vec<Finding>> {
    let large = tree.files.iter().filter(|file| file.bytes > LARGEST_BYTES);
    Ok(large.map(|file| Finding::new(&file.path, 1, format!("{} bytes, more than 1 MiB", file.bytes))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::File;

    fn found(rule: fn(&Tree) -> Result<Vec<Finding>>, files: &[(&str, &str)]) -> Vec<String> {
        let findings = rule(&Tree::sample(files)).unwrap();
        findings.iter().map(|finding| format!("{}:{} {}", finding.path, finding.line, finding.what)).collect()
    }

    #[test]
    fn a_file_without_its_header_is_found() {
        let files = [("a.rs", "fn a() {}"), ("b.rs", "//! B.\nfn b() {}"), ("c.rs", "//! C.\nfn c( {}")];
        let findings = found(files_say_what_they_are_for, &files);
        assert_eq!(findings.first().unwrap(), "a.rs:1 no `//!` header on the first line");
        assert!(findings.last().unwrap().starts_with("c.rs:1 not readable as Rust"));
        assert_eq!(findings.len(), 2);
    }

    #[test]
    fn a_drawer_is_found() {
        let files =
            [("crates/sys/src/utils.rs", ""), ("crates/sys/src/common/a.rs", ""), ("crates/cgroup/src/misc.rs", "")];
        let expected = [
            "crates/sys/src/utils.rs:1 `utils.rs` names no subject",
            "crates/sys/src/common/a.rs:1 `common` names no subject",
        ];
        assert_eq!(found(files_have_a_subject, &files), expected);
    }

    #[test]
    fn a_crate_without_the_lints_is_found() {
        let workspace = ("Cargo.toml", "[workspace.lints.rust]\nunsafe_code = \"forbid\"\nmissing_docs = \"deny\"\n");
        let inherits = ("crates/cli/Cargo.toml", "[lints]\nworkspace = true\n");
        let repeats = ("crates/sys/Cargo.toml", "[lints.rust]\nunsafe_code = \"deny\"\nmissing_docs = \"deny\"\n");
        assert!(found(lints_are_inherited, &[workspace, inherits, repeats]).is_empty());
        let lacks = (
            "crates/sys/Cargo.toml",
            "[lints.rust]\nunsafe_code = \"deny\"\n[dependencies]\nmissing_docs = \"deny\"\n",
        );
        assert_eq!(
            found(lints_are_inherited, &[workspace, lacks]),
            ["crates/sys/Cargo.toml:1 sys lacks the lint missing_docs = \"deny\""]
        );
        let none = ("crates/oci/Cargo.toml", "[package]\n");
        assert_eq!(
            found(lints_are_inherited, &[workspace, none]),
            ["crates/oci/Cargo.toml:1 oci does not inherit the workspace's lints"]
        );
    }

    #[test]
    fn a_word_of_the_place_is_found() {
        let files = [
            ("a.md", "fine: the work/upper folder, an issue\nsee Issue #12"),
            ("b.rs", "//! in /work/main\n// (issue 7)"),
        ];
        let expected =
            ["a.md:2 tells of \"issue #12\"", "b.rs:1 tells of \"/work/main\"", "b.rs:2 tells of \"(issue 7)\""];
        assert_eq!(found(project_speaks_of_itself, &files), expected);
    }

    #[test]
    fn a_missing_or_empty_document_is_found() {
        let findings = found(documents_are_there, &[("README.md", "carboy"), ("SECURITY.md", "")]);
        assert_eq!(findings.len(), DOCUMENTS.len() - 1);
        assert!(findings.contains(&"SECURITY.md:1 is not there".to_owned()));
    }

    #[test]
    fn a_document_of_limits_that_lags_behind_the_code_is_found() {
        let made = cgroup::setting::markdown();
        let found = |text: &str| found(limits_document_is_current, &[(LIMITS, text)]);
        assert_eq!(found(&made), Vec::<String>::new());
        assert_eq!(found(&made.replacen("# Limits", "# Limit", 1)), ["docs/limits.md:1 is not what the code says"]);
        let count = made.lines().count();
        assert_eq!(
            found(&format!("{made}more\n")),
            [format!("docs/limits.md:{} ends where the code does not", count + 1)]
        );
        assert_eq!(limits_document_is_current(&Tree::default()).unwrap(), [Finding::new(LIMITS, 1, "is not there")]);
    }

    #[test]
    fn a_large_file_is_found() {
        let file = |bytes| File { path: format!("{bytes}"), bytes, text: None };
        let tree = Tree { files: vec![file(LARGEST_BYTES), file(LARGEST_BYTES + 1)], ..Tree::default() };
        assert_eq!(files_are_small(&tree).unwrap(), [Finding::new("1048577", 1, "1048577 bytes, more than 1 MiB")]);
    }
}
