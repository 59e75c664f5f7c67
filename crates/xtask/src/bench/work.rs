//! What is compared: each work with everybody who does it, ours first.

use std::path::{Path, PathBuf};

use error::Result;

use super::bundle::{Bundle, Content};
use super::contender::{Contender, Peer};
use super::floor::{self, Shape};

/// One work.
pub(super) struct Work {
    pub(super) title: &'static str,
    pub(super) contenders: Vec<Contender>,
    /// What they work on, removed with it.
    _bundle: Bundle,
}

/// The programs that are compared with the peers.
pub(super) struct Ours {
    pub(super) carboy: PathBuf,
    pub(super) runtime: PathBuf,
    pub(super) floor: PathBuf,
}

/// An OCI runtime's commands, with the budgets for runc and crun: what ours may take of their wall time.
struct Commands {
    before: &'static [&'static str],
    work: &'static [&'static [&'static str]],
    after: &'static [&'static str],
    budgets: [f64; 2],
}

const RUN: &[&[&str]] = &[&["run", "--bundle", "BUNDLE", "ID"]];

/// All of them.
///
/// # Errors
/// A kernel error where a bundle cannot be made.
pub(super) fn all(ours: &Ours, peers: &[Peer]) -> Result<Vec<Work>> {
    let run = |budgets| Commands { before: &[], work: RUN, after: &[], budgets };
    let parts = Commands {
        before: &[],
        work: &[&["create", "--bundle", "BUNDLE", "ID"], &["start", "ID"], &["delete", "--force", "ID"]],
        after: &[],
        budgets: [0.25, 0.5],
    };
    let exec = Commands {
        before: &["run", "--detach", "--bundle", "BUNDLE", "ID"],
        work: &[&["exec", "ID", "/bin/true"]],
        after: &["delete", "--force", "ID"],
        budgets: [1.0 / 6.0, 0.4],
    };
    Ok(vec![
        engine_run(ours, peers)?,
        of_runtime("OCI run /bin/true, bare", ours, peers, (Content::Bare, run([0.25, 0.6])))?,
        of_runtime(
            "OCI run /bin/true, Docker's capabilities, paths and seccomp profile",
            ours,
            peers,
            (Content::Docker, run([1.0 / 6.0, 0.35])),
        )?,
        of_runtime("OCI create, start and delete, bare", ours, peers, (Content::Staying, parts))?,
        of_runtime("OCI exec /bin/true", ours, peers, (Content::Staying, exec))?,
    ])
}

/// carboy's own run beside the same work of the runtimes, which know nothing of images.
fn engine_run(ours: &Ours, peers: &[Peer]) -> Result<Work> {
    let bundle = Bundle::make(Content::Limited)?;
    let root = bundle.root().display().to_string();
    let run = [&ours.carboy.display().to_string(), "run", "--rm", "--network", "none", "-m", "64m", &root, "/bin/true"]
        .map(str::to_owned);
    let mut contenders = vec![Contender { required: true, ..Contender::once("carboy", run.into()) }];
    for peer in peers {
        let command = bundle.command(peer.name, &peer.program, RUN.first().copied().unwrap_or_default());
        let budget = (peer.name == "runc").then_some(0.2);
        contenders.push(Contender { hidden: peer.hidden, budget, ..Contender::once(peer.name, command) });
    }
    contenders.push(floor::contender(&ours.floor, bundle.root(), (Shape::Engine, 1.6)));
    let title = "run /bin/true: new mnt, pid, net, ipc, uts, cgroup; 64 MiB; Docker's capabilities and seccomp profile";
    Ok(Work { title, contenders, _bundle: bundle })
}

fn of_runtime(
    title: &'static str,
    ours: &Ours,
    peers: &[Peer],
    (content, commands): (Content, Commands),
) -> Result<Work> {
    let bundle = Bundle::make(content)?;
    let contender = |name: &'static str, program: &Path| {
        let command = |words: &[&str]| match words {
            [] => Vec::new(),
            words => bundle.command(name, program, words),
        };
        Contender {
            commands: commands.work.iter().map(|words| command(words)).collect(),
            before: command(commands.before),
            after: command(commands.after),
            ..Contender::once(name, Vec::new())
        }
    };
    let mut contenders = vec![Contender { required: true, ..contender("carboy", &ours.runtime) }];
    for peer in peers {
        let [runc, crun] = commands.budgets;
        let budget = Some(if peer.name == "runc" { runc } else { crun });
        contenders.push(Contender { hidden: peer.hidden, budget, ..contender(peer.name, &peer.program) });
    }
    match content {
        Content::Bare => contenders.push(floor::contender(&ours.floor, bundle.root(), (Shape::Bare, 1.4))),
        Content::Docker => contenders.push(floor::contender(&ours.floor, bundle.root(), (Shape::Docker, 1.4))),
        Content::Limited | Content::Staying => {}
    }
    Ok(Work { title, contenders, _bundle: bundle })
}
