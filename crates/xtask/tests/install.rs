//! `cargo xtask install` puts everything where a system looks for it, and the links work.
#![expect(clippy::unwrap_used, reason = "tests stop at what goes wrong")]

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Every file below a folder, by its path from there.
fn files(root: &Path, below: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(below).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(root, &path, found);
        } else {
            found.insert(path.strip_prefix(root).unwrap().display().to_string());
        }
    }
}

#[test]
fn an_install_has_programs_links_pages_and_completions() {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("install-{}", std::process::id()));
    assert!(
        std::env::var_os("CARBOY_BIN").is_some(),
        "CARBOY_BIN names the carboy that is installed: use cargo xtask test"
    );
    let mut install = Command::new(env!("CARGO_BIN_EXE_xtask"));
    let output = install.args(["install", "--prefix", "/usr", "--destdir"]).arg(&folder).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut found = BTreeSet::new();
    files(&folder, &folder, &mut found);
    let expected = [
        "usr/bin/carboy",
        "usr/bin/carboy-runtime",
        "usr/libexec/carboy/crun",
        "usr/libexec/carboy/runc",
        "usr/share/bash-completion/completions/carboy",
        "usr/share/bash-completion/completions/carboy-runtime",
        "usr/share/fish/vendor_completions.d/carboy-runtime.fish",
        "usr/share/fish/vendor_completions.d/carboy.fish",
        "usr/share/man/man1/carboy.1",
        "usr/share/man/man8/carboy-runtime.8",
        "usr/share/zsh/site-functions/_carboy",
        "usr/share/zsh/site-functions/_carboy-runtime",
    ];
    assert_eq!(found.iter().map(String::as_str).collect::<Vec<_>>(), expected);
    for (name, first) in [("runc", "runc version "), ("crun", "crun version ")] {
        let version = Command::new(folder.join("usr/libexec/carboy").join(name)).arg("--version").output().unwrap();
        assert!(String::from_utf8(version.stdout).unwrap().starts_with(first), "{name}");
    }
    for program in &expected[..2] {
        assert_eq!(fs::metadata(folder.join(program)).unwrap().permissions().mode() & 0o777, 0o755);
    }
    let page = fs::read_to_string(folder.join("usr/share/man/man8/carboy-runtime.8")).unwrap();
    assert!(page.contains(".SS create ID") && page.contains("\\-\\-console\\-socket"), "{page}");
    let offers = |words: &str, last: usize| {
        let script = format!(
            "source {}; COMP_WORDS=({words}); COMP_CWORD={last}; _carboy_runtime; echo \"${{COMPREPLY[*]}}\"",
            folder.join("usr/share/bash-completion/completions/carboy-runtime").display()
        );
        let output = Command::new("bash").args(["-c", &script]).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    assert_eq!(offers("carboy-runtime st", 1), "start state");
    assert_eq!(offers("carboy-runtime --root /r create --console", 4), "--console-socket");
    fs::remove_dir_all(&folder).unwrap();
}
