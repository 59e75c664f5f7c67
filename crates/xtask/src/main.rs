//! The project's own tasks: test, tidy, bench.

fn main() {}
