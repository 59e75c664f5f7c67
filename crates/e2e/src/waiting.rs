//! What goes on while a test looks: a container that waits to be told to end, a thread that does one thing over and over.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

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

/// A thread that does one thing over and over until it is stopped.
#[derive(Debug)]
pub struct Repeating {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<u64>>,
}

impl Repeating {
    /// Starts it.
    #[must_use]
    pub fn start(what: impl Fn() + Send + 'static) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        let repeat = move || {
            let mut times = 0;
            while !told.load(Ordering::Relaxed) {
                what();
                times += 1;
            }
            times
        };
        Self { stop, thread: Some(std::thread::spawn(repeat)) }
    }

    /// Stops it; gives how many times it did it.
    ///
    /// # Panics
    /// Where it has.
    #[must_use]
    pub fn stop(mut self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap()
    }
}

impl Drop for Repeating {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}
