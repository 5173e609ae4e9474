//! `lab up`, `lab down`, `lab status`.

fn main() {}
