//! The path of a group below the root of each hierarchy's mount, as OCI's `linux.cgroupsPath` gives it.

use std::fmt;

use error::{Refused, Result};

/// A group's path: absolute, normal (no `.`, `..`, empty or over-long names), `/` for the root of the mount.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupPath {
    /// Without the leading slash: what openat takes. Empty for the root.
    relative: String,
}

impl GroupPath {
    /// The root of a hierarchy's mount.
    #[must_use]
    pub const fn root() -> Self {
        Self { relative: String::new() }
    }

    /// Reads a path; one without a leading slash is taken from the root of the mount too.
    ///
    /// # Errors
    /// Refused, for `field`, when a name in it is `..`, is longer than 255 bytes or holds a control character.
    pub fn parse(field: &str, text: &str) -> Result<Self> {
        let mut relative = String::with_capacity(text.len());
        for name in text.split('/').filter(|name| !name.is_empty() && *name != ".") {
            let reason = if name == ".." {
                "leads out of the hierarchy by '..'"
            } else if name.len() > 255 {
                "has a name that is longer than 255 bytes"
            } else if name.chars().any(char::is_control) {
                "has a control character in it"
            } else {
                if !relative.is_empty() {
                    relative.push('/');
                }
                relative.push_str(name);
                continue;
            };
            return Err(Refused::new(field, format!("{text:?}"), reason).into());
        }
        Ok(Self { relative })
    }

    /// The group `name` below this one.
    ///
    /// # Errors
    /// As [`GroupPath::parse`]; refused too when `name` is not one name.
    pub fn child(&self, field: &str, name: &str) -> Result<Self> {
        let child = Self::parse(field, name)?;
        if child.relative.is_empty() || child.relative.contains('/') {
            return Err(Refused::new(field, format!("{name:?}"), "is not the name of one group").into());
        }
        Ok(self.join(&child.relative))
    }

    pub(crate) fn join(&self, name: &str) -> Self {
        let relative = if self.is_root() { name.to_owned() } else { format!("{}/{name}", self.relative) };
        Self { relative }
    }

    /// Whether this is the root of the mount.
    #[must_use]
    pub const fn is_root(&self) -> bool {
        self.relative.is_empty()
    }

    /// The group above; nothing above the root.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        if self.is_root() {
            return None;
        }
        let relative = self.relative.rsplit_once('/').map_or("", |(parent, _)| parent).to_owned();
        Some(Self { relative })
    }

    /// Every group above this one, the root first.
    #[must_use]
    pub fn ancestors(&self) -> Vec<Self> {
        let mut above: Vec<Self> = std::iter::successors(self.parent(), Self::parent).collect();
        above.reverse();
        above
    }

    /// The path from the root of the mount, as openat takes it: `.` for the root itself.
    #[must_use]
    pub fn relative(&self) -> &str {
        if self.is_root() { "." } else { &self.relative }
    }
}

impl fmt::Display for GroupPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}", self.relative)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> GroupPath {
        GroupPath::parse("cgroupsPath", text).unwrap()
    }

    #[test]
    fn a_path_is_normal_and_absolute() {
        for (text, shown) in [("/a/b", "/a/b"), ("a//b/", "/a/b"), ("./a/./b", "/a/b"), ("", "/"), ("/", "/")] {
            assert_eq!(path(text).to_string(), shown);
        }
    }

    #[test]
    fn a_path_that_leads_out_is_refused() {
        for text in ["..", "/a/../b", "a\nb", "a\0b", &"x".repeat(256)] {
            assert!(GroupPath::parse("cgroupsPath", text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn ancestors_start_at_the_root() {
        let shown: Vec<String> = path("/a/b/c").ancestors().iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["/", "/a", "/a/b"]);
        assert!(GroupPath::root().ancestors().is_empty());
    }

    #[test]
    fn a_child_is_one_name() {
        assert_eq!(path("/a").child("--cgroup-parent", "b").unwrap(), path("/a/b"));
        for name in ["", "b/c", "..", "."] {
            assert!(path("/a").child("--cgroup-parent", name).is_err(), "{name:?}");
        }
    }
}
