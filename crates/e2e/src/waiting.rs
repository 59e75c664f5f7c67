//! A container of carboy that waits to be told to end, while a test looks at it.

use crate::{Attended, Carboy};

/// Says that it runs and waits to be told to end.
pub const WAIT: &str = "echo ready; read -r go";

/// Starts a container called `it` with these flags; it waits.
///
/// # Panics
/// Where it does not run.
#[must_use]
pub fn waiting(carboy: &Carboy, flags: &[&str]) -> Attended {
    let root = carboy.busybox();
    let words = ["run", "--rm", "-i", "--name", "it"].into_iter().chain(flags.iter().copied());
    let words = words.chain([root.to_str().unwrap(), "sh", "-c", WAIT]);
    let mut container = Attended::start(&mut carboy.command(words));
    let line = container.line();
    assert_eq!(line, "ready", "{}", if line.is_empty() { container.end().stderr } else { line.clone() });
    container
}

/// Tells it to end; it does, and leaves nothing.
///
/// # Panics
/// Where it does not, or leaves something.
pub fn ends_well(carboy: &Carboy, mut container: Attended) {
    container.tell("go");
    let ended = container.end();
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""));
    assert_eq!(carboy.left_behind(), Vec::<String>::new());
}
