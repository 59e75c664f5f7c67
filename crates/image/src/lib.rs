//! Root file systems: tar archives unpacked safely.
