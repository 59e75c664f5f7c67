//! One value for one cgroup file, and how the same setting reads in the other version.

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
}

impl Write {
    pub(crate) fn new(
        controller: Controller,
        field: impl Into<Cow<'static, str>>,
        file: impl Into<Cow<'static, str>>,
        value: impl ToString,
    ) -> Self {
        Self { controller, file: file.into(), value: value.to_string(), field: field.into(), other: None }
    }

    #[must_use]
    pub(crate) fn other(mut self, file: impl Into<Cow<'static, str>>, value: impl ToString) -> Self {
        self.other = Some((file.into(), value.to_string()));
        self
    }
}

impl fmt::Display for Write {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} = {}", self.file, self.value)
    }
}
