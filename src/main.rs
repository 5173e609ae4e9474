//! The operator and its command line.

fn main() {}
