//! Names by which a layer removes what lies below it. layer.md of the OCI image specification, "Whiteouts".

/// Before the name of what is removed.
pub(super) const PREFIX: &[u8] = b".wh.";
/// The name that makes its directory opaque.
pub(super) const OPAQUE: &[u8] = b".wh..wh..opq";
/// Before the names that aufs kept for itself.
const AUFS: &[u8] = b".wh..wh.";

/// What a path of a layer says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Said {
    /// It is the path of a file.
    Entry,
    /// The layers below have nothing at this path.
    Hidden(Vec<u8>),
    /// The layers below have nothing in this directory.
    Opaque(Vec<u8>),
    /// Nothing that is of use: aufs's own.
    Nothing,
    /// A whiteout of no name, of "." or of "..".
    Malformed,
}

/// What `path` says: it has no empty components, no "." and no "..".
pub(super) fn said(path: &[u8]) -> Said {
    let is_of_aufs = |name: &[u8]| name.starts_with(AUFS);
    let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    let above = path.get(..path.len() - name.len()).unwrap_or_default();
    let above = above.strip_suffix(b"/").unwrap_or(above);
    if above.split(|byte| *byte == b'/').any(is_of_aufs) {
        return Said::Nothing;
    }
    match name.strip_prefix(PREFIX) {
        _ if name == OPAQUE => Said::Opaque(above.to_vec()),
        _ if is_of_aufs(name) => Said::Nothing,
        None => Said::Entry,
        Some(b"" | b"." | b"..") => Said::Malformed,
        Some(hidden) if above.is_empty() => Said::Hidden(hidden.to_vec()),
        Some(hidden) => Said::Hidden([above, b"/", hidden].concat()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_what_is_removed() {
        for (path, expected) in [
            (&b"a/b"[..], Said::Entry),
            (b"a/.wh.b", Said::Hidden(b"a/b".to_vec())),
            (b".wh.b", Said::Hidden(b"b".to_vec())),
            (b"a/.wh..b", Said::Hidden(b"a/.b".to_vec())),
            (b"a/.wh....", Said::Hidden(b"a/...".to_vec())),
            (b"a/.wh..wh..opq", Said::Opaque(b"a".to_vec())),
            (b".wh..wh..opq", Said::Opaque(Vec::new())),
            (b".wh..wh.plnk/12.34", Said::Nothing),
            (b".wh..wh.aufs", Said::Nothing),
            (b".wh.", Said::Malformed),
            (b"a/.wh..", Said::Malformed),
            (b"a/.wh...", Said::Malformed),
            (b"a.wh.b", Said::Entry),
            (b".wh.a/b", Said::Entry),
        ] {
            assert_eq!(said(path), expected, "{}", path.escape_ascii());
        }
    }
}
