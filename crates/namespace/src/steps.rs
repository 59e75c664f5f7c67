//! The child's list of steps while it is being planned, and the strings that the steps point to.

use std::ffi::CStr;

use bumpalo::Bump;
use child::Step;
use error::{Refused, Result};

/// A list of steps whose strings live in one arena, so that the child finds them ready and allocates nothing.
#[derive(Debug)]
pub struct Steps<'a> {
    arena: &'a Bump,
    list: Vec<Step<'a>>,
}

impl<'a> Steps<'a> {
    /// An empty list.
    #[must_use]
    pub fn new(arena: &'a Bump) -> Self {
        Self { arena, list: Vec::with_capacity(64) }
    }

    /// Adds a step at the end.
    pub fn push(&mut self, step: Step<'a>) {
        self.list.push(step);
    }

    /// The finished list.
    #[must_use]
    pub fn finish(self) -> Vec<Step<'a>> {
        self.list
    }

    /// A copy of `text` for the kernel; `field` is what it comes from.
    ///
    /// # Errors
    /// Refused where the text holds a NUL, which would end it early.
    pub fn text(&self, field: &str, text: &str) -> Result<&'a CStr> {
        let mut bytes = bumpalo::collections::Vec::with_capacity_in(text.len() + 1, self.arena);
        bytes.extend_from_slice(text.as_bytes());
        bytes.push(0);
        CStr::from_bytes_with_nul(bytes.into_bump_slice())
            .map_err(|_| Refused::new(field, text.escape_debug().to_string(), "holds a NUL character").into())
    }

    /// A copy of a path inside the container, relative to its root: `/proc/sys` becomes `proc/sys`, the root `.`.
    ///
    /// # Errors
    /// As [`Steps::text`].
    pub fn inside(&self, field: &str, path: &str) -> Result<&'a CStr> {
        let relative = path.trim_start_matches('/');
        self.text(field, if relative.is_empty() { "." } else { relative })
    }

    /// A copy of `items` that lives as long as the steps.
    pub fn slice<T: Copy>(&self, items: &[T]) -> &'a [T] {
        self.arena.alloc_slice_copy(items)
    }
}
