//! The lab's command line: install, up, down, status, and the shows built on it.

use std::process::ExitCode;

mod commands;

fn main() -> ExitCode {
    commands::main()
}
