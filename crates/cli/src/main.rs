//! The carboy command.

fn main() {}
