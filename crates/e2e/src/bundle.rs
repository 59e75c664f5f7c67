//! A bundle and the runtime that makes a container of it, carboy-runtime or a peer.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::{Carboy, Ended, ended, groups, program};

/// A bundle in a folder of its own, and the states beside it. It is deleted by force at the end of the test.
#[derive(Debug)]
pub struct Bundle {
    /// Its folder, which is the bundle.
    pub carboy: Carboy,
    /// The runtime.
    pub runtime: PathBuf,
    /// The container.
    pub id: String,
}

/// The carboy-runtime that is built beside carboy.
///
/// # Panics
/// Where it is not.
#[must_use]
pub fn carboy_runtime() -> PathBuf {
    let runtime = program().with_file_name("carboy-runtime");
    assert!(runtime.is_file(), "{} is not built: run cargo build --release, or cargo xtask test", runtime.display());
    runtime
}

impl Bundle {
    /// A bundle for carboy-runtime, with the configuration that `spec` writes, a busybox root and no terminal.
    ///
    /// # Panics
    /// Where the runtime is not built.
    #[must_use]
    pub fn new() -> Self {
        let carboy = Carboy::new();
        assert!(carboy.busybox().is_dir());
        let id = carboy.folder().file_name().unwrap().to_str().unwrap().to_owned();
        let bundle = Self { carboy, runtime: carboy_runtime(), id };
        assert_eq!(bundle.run(&["spec", "--bundle", bundle.path()]).code, 0);
        bundle.change(|config| {
            config["root"] = json!({"path": "busybox"});
            config["process"]["terminal"] = json!(false);
            config["linux"]["cgroupsPath"] = json!(format!("/{}", bundle.id));
        });
        bundle
    }

    /// The bundle.
    #[must_use]
    pub fn path(&self) -> &str {
        self.carboy.folder().to_str().unwrap()
    }

    /// What config.json has.
    #[must_use]
    pub fn config(&self) -> Value {
        serde_json::from_slice(&fs::read(self.carboy.folder().join("config.json")).unwrap()).unwrap()
    }

    /// Changes config.json.
    pub fn change(&self, change: impl FnOnce(&mut Value)) {
        let mut config = self.config();
        change(&mut config);
        fs::write(self.carboy.folder().join("config.json"), config.to_string()).unwrap();
    }

    /// Sets the command.
    pub fn args(&self, args: &[&str]) {
        self.change(|config| config["process"]["args"] = json!(args));
    }

    /// The runtime with these words, its states beside the bundle.
    #[must_use]
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.runtime);
        command.arg("--root").arg(self.carboy.folder().join("states")).args(words).stdin(Stdio::null());
        command
    }

    /// Runs it to its end.
    #[must_use]
    pub fn run(&self, words: &[&str]) -> Ended {
        ended(&mut self.command(words))
    }

    /// Runs one that starts something that stays: it gets no pipe that would stay open.
    pub fn stays(&self, words: &[&str]) -> i32 {
        let mut command = self.command(words);
        command.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().code().unwrap()
    }

    /// Creates the container.
    pub fn create(&self) {
        let pid_file = self.carboy.folder().join("pid");
        let words = ["create", "--bundle", self.path(), "--pid-file", pid_file.to_str().unwrap(), &self.id];
        assert_eq!(self.stays(&words), 0);
    }

    /// What `state` tells.
    #[must_use]
    pub fn state(&self) -> Value {
        let ended = self.run(&["state", &self.id]);
        assert_eq!(ended.code, 0, "{}", ended.stderr);
        serde_json::from_str(&ended.stdout).unwrap()
    }

    /// The status of that.
    #[must_use]
    pub fn status(&self) -> String {
        self.state()["status"].as_str().unwrap().to_owned()
    }

    /// Nothing of the container is left: no state, no group.
    pub fn gone(&self) {
        let states = fs::read_dir(self.carboy.folder().join("states"));
        let left = states.into_iter().flatten().flatten().filter(|entry| entry.file_name() == self.id.as_str());
        assert_eq!(left.count(), 0, "its state is left");
        let groups = groups();
        let left: Vec<_> = groups.iter().filter(|group| group.ends_with(&self.id)).collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

impl Default for Bundle {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Bundle {
    fn drop(&mut self) {
        let _ = self.run(&["delete", "--force", &self.id]);
    }
}
