//! OCI seccomp profile to classic BPF program: seccomp(2), the OCI runtime specification's "Seccomp" (config-linux.md).
//!
//! `table` knows the system call numbers, `docker` reads Docker's profile files and `default` holds the decisions of
//! Docker's default profile. `decision` works out what a profile decides for each call, `program` writes instructions
//! and `compile` brings the two together. Everything here is pure; loading the program is the child's work.

mod compile;
mod decision;
mod default;
mod docker;
mod multiplex;
mod program;
mod table;

pub use compile::{Program, allowed_count, compile};
pub use default::{DOCKER_CAPABILITIES, docker_default};
pub use docker::{DockerProfile, parse_profile};
pub use table::{Arch, call_name, call_number};
