//! How the coming of an image is told: a bar for each layer on a terminal, a line for each step elsewhere.

use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::sync::{Mutex, PoisonError};

use engine::images::{Message, Messages, Progress, Step, words};
use engine::options::Digest;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::report;

/// Who is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Teller {
    /// Standard output.
    Output,
    /// Standard error: the command's own output is something else.
    Errors,
    /// Standard output, in JSON: one object a line, as Docker's API tells it.
    Json,
    /// Nobody.
    Nobody,
}

impl Teller {
    /// Says one line.
    pub(crate) fn line(self, text: &str) {
        match self {
            Self::Output => report::line(text),
            Self::Errors => report::note(text),
            Self::Json => message(&Message::of(text)),
            Self::Nobody => {}
        }
    }

    /// Says what happens with one of several things.
    pub(crate) fn line_of(self, id: &str, text: &str) {
        match self {
            Self::Json => message(&Message::of(text).with_id(id)),
            _ => self.line(&format!("{id}: {text}")),
        }
    }
}

/// Says it to a program.
pub(crate) fn message(message: &Message) {
    // It is of texts and numbers alone.
    report::line(&serde_json::to_string(message).unwrap_or_default());
}

/// How it is told to that one.
pub(crate) fn of(to: Teller) -> Box<dyn Progress> {
    match to {
        Teller::Nobody => Box::new(Quiet),
        Teller::Json => Box::new(Messages::to(message)),
        Teller::Output if std::io::stdout().is_terminal() => Box::new(Bars::on(ProgressDrawTarget::stdout(), to)),
        Teller::Errors if std::io::stderr().is_terminal() => Box::new(Bars::on(ProgressDrawTarget::stderr(), to)),
        Teller::Output | Teller::Errors => Box::new(Plain { to }),
    }
}

/// Tells nothing.
pub(crate) struct Quiet;

impl Progress for Quiet {
    fn tell(&self, _: &Digest, _: Step) {}
}

/// Tells each step in a line, as Docker does where there is no terminal.
struct Plain {
    to: Teller,
}

impl Progress for Plain {
    fn tell(&self, layer: &Digest, step: Step) {
        if !matches!(step, Step::Downloading { .. }) {
            self.to.line_of(short(layer), words(step));
        }
    }
}

fn short(layer: &Digest) -> &str {
    layer.hex().get(..12).unwrap_or_default()
}

/// A bar for each layer, with what has come, how fast, and how long it still takes.
struct Bars {
    all: MultiProgress,
    to: Teller,
    each: Mutex<BTreeMap<Digest, ProgressBar>>,
}

const WAITING: &str = "{prefix}: {msg}";
const COMING: &str = "{prefix}: {msg} [{bar:30}] {decimal_bytes}/{decimal_total_bytes} {decimal_bytes_per_sec} {eta}";

impl Bars {
    fn on(target: ProgressDrawTarget, to: Teller) -> Self {
        Self { all: MultiProgress::with_draw_target(target), to, each: Mutex::default() }
    }
}

/// What is said next begins below the bars.
impl Drop for Bars {
    fn drop(&mut self) {
        if !self.each.get_mut().unwrap_or_else(PoisonError::into_inner).is_empty() {
            self.to.line("");
        }
    }
}

impl Progress for Bars {
    fn tell(&self, layer: &Digest, step: Step) {
        let style =
            |template: &str| ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        let mut each = self.each.lock().unwrap_or_else(PoisonError::into_inner);
        let bar = each.entry(layer.clone()).or_insert_with(|| {
            let bar = ProgressBar::new(0).with_style(style(WAITING)).with_prefix(short(layer).to_owned());
            self.all.add(bar)
        });
        match step {
            Step::Listed => bar.set_message("Waiting"),
            Step::Downloading { done, total } => {
                if bar.length() != Some(total) {
                    bar.set_length(total);
                    bar.set_style(style(COMING).progress_chars("=> "));
                    bar.set_message(words(step));
                    bar.reset_eta();
                }
                bar.set_position(done);
            }
            Step::Downloaded => {
                bar.set_style(style(WAITING));
                bar.set_message(words(step));
            }
            Step::Exists => bar.finish_with_message(words(step)),
            Step::Complete => {
                bar.set_style(style(WAITING));
                bar.finish_with_message(words(step));
            }
        }
    }
}
