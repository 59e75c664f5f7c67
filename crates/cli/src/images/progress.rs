//! How the coming of an image is told: a bar for each layer on a terminal, a line for each step elsewhere.

use engine::images::{Progress, Step};
use engine::options::Digest;

use crate::report;

/// Who is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Teller {
    /// Standard output.
    Output,
    /// Standard error: the command's own output is something else.
    Errors,
    /// Nobody.
    Nobody,
}

impl Teller {
    /// Says one line.
    pub(crate) fn line(self, text: &str) {
        match self {
            Self::Output => report::line(text),
            Self::Errors => report::note(text),
            Self::Nobody => {}
        }
    }
}

/// Tells nothing.
pub(crate) struct Quiet;

impl Progress for Quiet {
    fn tell(&self, _: &Digest, _: Step) {}
}

/// Tells each step in a line, as Docker does where there is no terminal.
pub(crate) struct Plain {
    to: Teller,
}

impl Plain {
    /// To that one.
    pub(crate) const fn to(to: Teller) -> Self {
        Self { to }
    }
}

impl Progress for Plain {
    fn tell(&self, layer: &Digest, step: Step) {
        let text = match step {
            Step::Listed => "Pulling fs layer".to_owned(),
            Step::Exists => "Already exists".to_owned(),
            Step::Downloading { .. } => return,
            Step::Downloaded => "Download complete".to_owned(),
            Step::Complete => "Pull complete".to_owned(),
        };
        self.to.line(&format!("{}: {text}", layer.hex().get(..12).unwrap_or_default()));
    }
}
