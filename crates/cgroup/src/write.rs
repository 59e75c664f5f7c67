//! One value for one cgroup file, how the same setting reads in the other version, and how the file reads back, so that
//! the former value can be put back.

use std::borrow::Cow;
use std::fmt;

use crate::hierarchy::Controller;

/// The field of a value that nobody asked for and that a v1 cpuset needs before it takes a process.
pub const INHERITED: &str = "inherited";

/// One value for one file of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// Whose file it is.
    pub controller: Controller,
    /// The file's name in this controller's version.
    pub file: Cow<'static, str>,
    /// What is written.
    pub value: String,
    /// The OCI field that asked for it, or [`INHERITED`].
    pub field: Cow<'static, str>,
    /// File and value of the same setting in the other version, where that has one.
    pub other: Option<(Cow<'static, str>, String)>,
    /// How the file reads.
    pub(crate) reads: Reads,
    /// Whether a kernel that has no such file does without.
    pub(crate) spared: bool,
    /// Where the file does not tell its former value: what to write to which files to take the write back.
    pub(crate) undo: Vec<(&'static str, String)>,
}

/// How a file reads, compared with what is written to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reads {
    /// The text is the value.
    Value,
    /// The first word of the text is the value.
    Word,
    /// A line for each key that has a value. A key is the first word of what is written, and this is what clears it.
    Lines {
        /// What is written after the key where it has no line.
        cleared: &'static str,
    },
    /// The value stands behind this key, among others.
    At(&'static str),
    /// It tells nothing from which a write could be made again.
    Never,
}

impl Write {
    pub(crate) fn new(
        controller: Controller,
        field: impl Into<Cow<'static, str>>,
        file: impl Into<Cow<'static, str>>,
        value: impl ToString,
    ) -> Self {
        let (field, file, value) = (field.into(), file.into(), value.to_string());
        Self { controller, file, value, field, other: None, reads: Reads::Value, spared: false, undo: Vec::new() }
    }

    #[must_use]
    pub(crate) fn other(mut self, file: impl Into<Cow<'static, str>>, value: impl ToString) -> Self {
        self.other = Some((file.into(), value.to_string()));
        self
    }

    #[must_use]
    pub(crate) const fn reads(mut self, reads: Reads) -> Self {
        self.reads = reads;
        self
    }

    /// A kernel that has no such file does without.
    #[must_use]
    pub(crate) const fn where_there_is_one(mut self) -> Self {
        self.spared = true;
        self
    }

    #[must_use]
    pub(crate) fn undo(mut self, undo: Vec<(&'static str, String)>) -> Self {
        self.undo = undo;
        self
    }

    /// What to write to have the file as `text` shows it; `None` where the text does not tell.
    #[must_use]
    pub(crate) fn former(&self, text: &str) -> Option<String> {
        let text = text.trim_end();
        match self.reads {
            Reads::Value => Some(text.to_owned()),
            Reads::Word => text.split(' ').next().map(str::to_owned),
            Reads::Lines { cleared } => {
                let key = self.value.split(' ').next()?;
                let line = text.lines().find(|line| line.split(' ').next() == Some(key));
                Some(line.map_or_else(|| format!("{key} {cleared}"), str::to_owned))
            }
            Reads::At(key) => {
                text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')).map(str::to_owned)
            }
            Reads::Never => None,
        }
    }
}

impl fmt::Display for Write {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} = {}", self.file, self.value)
    }
}

/// Moves the write of the file `first` before that of `second`, where both are there.
pub(crate) fn put_before(writes: &mut [Write], first: &str, second: &str) {
    let of = |file: &str| writes.iter().position(|write| write.file == file);
    if let (Some(first), Some(second)) = (of(first), of(second))
        && second < first
        && let Some(between) = writes.get_mut(second..=first)
    {
        between.rotate_right(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(value: &str, reads: Reads) -> Write {
        Write::new(Controller::Io, "field", "file", value).reads(reads)
    }

    #[test]
    fn a_write_is_put_before_another_and_stays_where_it_is_before_already() {
        let mut writes: Vec<Write> =
            ["a", "b", "c"].map(|file| Write::new(Controller::Io, "field", file, "1")).into_iter().collect();
        for (first, second) in [("c", "a"), ("c", "a"), ("x", "a"), ("c", "x"), ("b", "b")] {
            put_before(&mut writes, first, second);
            assert_eq!(writes.iter().map(|write| write.file.as_ref()).collect::<String>(), "cab");
        }
    }

    #[test]
    fn a_file_that_is_its_value_is_put_back_whole() {
        assert_eq!(write("1", Reads::Value).former("50000 100000\n").unwrap(), "50000 100000");
    }

    #[test]
    fn a_line_is_put_back_by_its_key_and_one_that_was_not_there_is_cleared() {
        let lines = Reads::Lines { cleared: "0" };
        assert_eq!(write("8:0 5", lines).former("8:16 7\n8:0 9\n").unwrap(), "8:0 9");
        assert_eq!(write("8:0 5", lines).former("8:01 7\n").unwrap(), "8:0 0");
        assert_eq!(write("8:0 5", lines).former("").unwrap(), "8:0 0");
    }

    #[test]
    fn a_value_among_others_is_found_by_its_key() {
        let text = "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n";
        assert_eq!(write("1", Reads::At("oom_kill_disable")).former(text).unwrap(), "0");
        assert_eq!(write("1", Reads::At("absent")).former(text), None);
        assert_eq!(write("a", Reads::Never).former(text), None);
    }
}
