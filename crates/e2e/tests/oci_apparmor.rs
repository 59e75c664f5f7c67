//! AppArmor in force, on a kernel that has it: cargo xtask test --host v2. Runtime specification, config.md "Linux Process";
//! apparmor.d(5).
#![expect(clippy::unwrap_used, reason = "tests stop at what goes wrong")]

use std::fs;
use std::process::Command;

use carboy_e2e::bundle::Bundle;
use carboy_e2e::ended;
use serde_json::json;

/// A container with a profile by which everything is allowed but to read one file.
struct Confined {
    bundle: Bundle,
    profile: String,
}

impl Confined {
    fn new() -> Self {
        let bundle = Bundle::new();
        let profile = bundle.id.clone();
        for file in ["open", "secret"] {
            fs::write(bundle.carboy.busybox().join(file), format!("{file}\n")).unwrap();
        }
        let text = format!(
            "profile {profile} flags=(attach_disconnected) {{\n  file,\n  capability,\n  signal,\n  deny /secret r,\n}}\n"
        );
        fs::write(bundle.carboy.folder().join("profile"), text).unwrap();
        let confined = Self { bundle, profile };
        let loaded = confined.parser("--replace");
        assert_eq!(loaded.code, 0, "{}", loaded.stderr);
        confined.bundle.change(|config| config["process"]["apparmorProfile"] = json!(confined.profile));
        confined
    }

    fn parser(&self, what: &str) -> carboy_e2e::Ended {
        let file = self.bundle.carboy.folder().join("profile");
        ended(Command::new("apparmor_parser").args([what, "--skip-cache", "--quiet"]).arg(file))
    }

    /// What the kernel says of a process that it confines.
    fn enforced(&self) -> String {
        format!("{} (enforce)", self.profile)
    }
}

impl Drop for Confined {
    fn drop(&mut self) {
        let _ = self.bundle.run(&["delete", "--force", &self.bundle.id]);
        let _ = self.parser("--remove");
    }
}

const LOOK: &str = "cat /proc/self/attr/current /open; cat /secret";

#[test]
fn a_profile_denies_what_it_says_to_the_program_and_to_who_enters() {
    let confined = Confined::new();
    let bundle = &confined.bundle;
    bundle.args(&["sh", "-c", LOOK]);
    let seen = format!("{}\nopen\n", confined.enforced());
    let ran = bundle.run(&["run", "--bundle", bundle.path(), &bundle.id]);
    assert_eq!((ran.code, ran.stdout.as_str()), (1, seen.as_str()), "{}", ran.stderr);
    assert!(ran.stderr.contains("can't open '/secret': Permission denied"), "{}", ran.stderr);
    bundle.gone();
    bundle.args(&["sleep", "1000"]);
    bundle.create();
    let pid = bundle.state()["pid"].to_string();
    assert_eq!(bundle.run(&["start", &bundle.id]).code, 0);
    let current = fs::read_to_string(format!("/proc/{pid}/attr/current")).unwrap();
    assert_eq!(current.trim_end(), confined.enforced());
    let entered = bundle.run(&["exec", &bundle.id, "sh", "-c", LOOK]);
    assert_eq!((entered.code, entered.stdout.as_str()), (1, seen.as_str()), "{}", entered.stderr);
    assert!(entered.stderr.contains("can't open '/secret': Permission denied"), "{}", entered.stderr);
    bundle.change(|config| drop(config["process"].as_object_mut().unwrap().remove("apparmorProfile")));
    assert_eq!(bundle.run(&["delete", "--force", &bundle.id]).code, 0);
    bundle.args(&["sh", "-c", LOOK]);
    let free = bundle.run(&["run", "--bundle", bundle.path(), &bundle.id]);
    assert_eq!((free.code, free.stdout.as_str()), (0, "unconfined\nopen\nsecret\n"), "{}", free.stderr);
}

#[test]
fn a_profile_that_nobody_has_loaded_is_refused_by_its_name() {
    let bundle = Bundle::new();
    bundle.args(&["sleep", "1000"]);
    bundle.change(|config| config["process"]["apparmorProfile"] = json!("nobody-has-loaded-it"));
    let refused = bundle.run(&["run", "--bundle", bundle.path(), &bundle.id]);
    assert_eq!((refused.code, refused.stdout.as_str()), (1, ""));
    assert!(refused.stderr.contains("nobody-has-loaded-it"), "{}", refused.stderr);
    bundle.gone();
    bundle.change(|config| drop(config["process"].as_object_mut().unwrap().remove("apparmorProfile")));
    assert_eq!(bundle.stays(&["run", "--detach", "--bundle", bundle.path(), &bundle.id]), 0);
    let refused = bundle.run(&["exec", "--apparmor", "nobody-has-loaded-it", &bundle.id, "true"]);
    assert_eq!(refused.code, 255);
    assert!(refused.stderr.contains("nobody-has-loaded-it"), "{}", refused.stderr);
}
