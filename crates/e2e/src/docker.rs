//! Docker's daemon with carboy-runtime as its default runtime, in namespaces of its own, for a test that asks Docker for
//! containers.

use std::fs;
use std::process::{Command, Stdio};

use rustix::process::Signal;
use serde_json::Value;

use crate::bundle::carboy_runtime;
use crate::engine::{Daemon, Engine};
use crate::{Ended, ended, eventually};

/// A daemon of its own, with an image `probe`.
#[derive(Debug)]
pub struct Docker {
    /// Where it is, and where its containers' groups are.
    pub engine: Engine,
    daemon: Option<Daemon>,
}

/// dockerd's configuration without networks: neither a bridge nor the firewall's rules are made.
pub const NO_NETWORKS: &str = r#"{"bridge": "none", "iptables": false}"#;

impl Docker {
    /// One with a configuration, as its file daemon.json says it.
    ///
    /// # Panics
    /// Without Debian's docker.io.
    #[must_use]
    pub fn configured(config: &str) -> Self {
        let mut docker = Self { engine: Engine::new(), daemon: None };
        fs::write(docker.engine.path("daemon.json"), config).unwrap();
        docker.start();
        let archive = docker.engine.archive();
        docker.told(&["import", &archive, "probe"]);
        docker
    }

    /// Starts the daemon; containers that run are its own again.
    ///
    /// # Panics
    /// Where it does not come to answer.
    pub fn start(&mut self) {
        let engine = &self.engine;
        let config = engine.path("daemon.json");
        let (data, exec, pid) = (engine.path("data"), engine.path("exec"), engine.path("pid"));
        let words = ["--data-root", &data, "--exec-root", &exec, "--pidfile", &pid, "--config-file", &config];
        let runtime = format!("carboy={}", carboy_runtime().display());
        let runtime = ["--add-runtime", &runtime, "--default-runtime", "carboy"];
        let (group, address) = (engine.group(), self.address());
        let place = ["--cgroup-parent", &group, "-H", &address];
        self.daemon = Some(engine.daemon([&["dockerd"], &words[..], &runtime, &place].concat()));
        eventually("dockerd answers", || self.run(&["version"]).code == 0);
    }

    /// Ends the daemon by a signal, and nothing else.
    ///
    /// # Panics
    /// Where it does not run.
    pub fn end(&mut self, signal: Signal) {
        self.daemon.take().unwrap().end(signal);
    }

    /// The path of its socket, which the host reaches it by too.
    #[must_use]
    pub fn socket(&self) -> String {
        self.engine.path("docker.sock")
    }

    fn address(&self) -> String {
        format!("unix://{}", self.socket())
    }

    /// A command line of its client, which is on the host.
    #[must_use]
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("docker");
        command.args(["-H", &self.address()]).args(words).stdin(Stdio::null());
        command
    }

    /// Runs a command to its end, which comes.
    #[must_use]
    pub fn run(&self, words: &[&str]) -> Ended {
        let command = self.command(words);
        ended(
            Command::new("timeout").arg("60").arg(command.get_program()).args(command.get_args()).stdin(Stdio::null()),
        )
    }

    /// What a command that succeeds says.
    ///
    /// # Panics
    /// Where it fails.
    pub fn told(&self, words: &[&str]) -> String {
        let ended = self.run(words);
        assert_eq!(ended.code, 0, "{words:?}: {}", ended.stderr);
        ended.stdout.trim_end().to_owned()
    }

    /// Starts a container of the image in the background, and gives its id.
    ///
    /// # Panics
    /// Where it does not start.
    pub fn detach(&self, name: &str, flags: &[&str], command: &[&str]) -> String {
        self.told(&[&["run", "--detach", "--name", name], flags, &["probe"], command].concat())
    }

    /// What it says of a container's state.
    ///
    /// # Panics
    /// Where it knows no such container.
    #[must_use]
    pub fn state(&self, container: &str) -> Value {
        serde_json::from_str(&self.told(&["inspect", "--format", "{{json .State}}", container])).unwrap()
    }
}
