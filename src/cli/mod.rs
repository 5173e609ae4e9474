//! The command line: the operator itself (`run`), its definitions (`crd`), and the verbs for people (`plan`, `watch`).
//!
//! The same binary is a kubectl plugin when its file is called `kubectl-mysql_takeover`.

mod cancel;
mod crd;
mod paint;
mod plan;
mod run;
mod session;
mod target;
mod verdict;
mod watch;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

/// Exit code of a command line that cannot be understood: `EX_USAGE` of sysexits.h. clap's own 2 means "rolled back" here.
const USAGE: u8 = 64;
/// Exit code when the command could not be carried out at all, so that nothing can be said about a takeover.
const FAILED: u8 = 4;

/// Arguments that are fine one by one and do not go together.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Usage(String);

/// Hands the primary role of a MySQL replication topology from one instance to another.
#[derive(Debug, Parser)]
#[command(name = "mysql-takeover", version, propagate_version = true, arg_required_else_help = true)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the operator
    Run(run::Arguments),
    /// Check a takeover and show what it would do, without changing anything
    Plan(plan::Arguments),
    /// Show the steps of a takeover while they happen
    Watch(watch::Arguments),
    /// Cancel a takeover
    Cancel(cancel::Arguments),
    /// Print the custom resource definitions
    Crd(crd::Arguments),
    /// Print the version
    Version,
}

/// Parses the command line, carries it out and says how it went. Errors go to standard error.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    match parse(&arguments) {
        Ok(arguments) => arguments.dispatch(),
        Err(error) => {
            // Nothing is left to tell anybody when standard error is closed.
            let _ = error.print();
            if error.use_stderr() { ExitCode::from(USAGE) } else { ExitCode::SUCCESS }
        }
    }
}

impl Arguments {
    fn dispatch(self) -> ExitCode {
        let outcome = match self.command {
            Command::Run(arguments) => arguments.run(),
            Command::Plan(arguments) => arguments.plan(),
            Command::Watch(arguments) => arguments.watch(),
            Command::Cancel(arguments) => arguments.cancel(),
            Command::Crd(arguments) => arguments.print(),
            Command::Version => {
                println!("mysql-takeover {}", env!("CARGO_PKG_VERSION"));
                Ok(ExitCode::SUCCESS)
            }
        };
        outcome.unwrap_or_else(|error| {
            eprintln!("error: {error:#}");
            ExitCode::from(if error.is::<Usage>() { USAGE } else { FAILED })
        })
    }
}

fn parse(arguments: &[OsString]) -> Result<Arguments, clap::Error> {
    let mut command = Arguments::command();
    if is_kubectl_plugin(arguments) {
        command = command.bin_name("kubectl mysql-takeover");
    }
    let mut matches = command.try_get_matches_from_mut(arguments)?;
    Arguments::from_arg_matches_mut(&mut matches).map_err(|error| error.format(&mut command))
}

/// Whether kubectl called us, by the name that it looks for.
fn is_kubectl_plugin(arguments: &[OsString]) -> bool {
    let program = arguments.first().map(Path::new).and_then(Path::file_stem);
    program.is_some_and(|name| name == "kubectl-mysql_takeover")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(words: &[&str]) -> Result<Arguments, clap::Error> {
        parse(&words.iter().map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn the_definition_of_the_command_line_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn help_shows_how_the_program_was_called() {
        let plain = parsed(&["/usr/bin/mysql-takeover", "crd", "--help"]).unwrap_err().to_string();
        assert!(plain.contains("Usage: mysql-takeover crd"), "{plain}");
        let plugin = parsed(&["/opt/kubectl-mysql_takeover", "crd", "--help"]).unwrap_err().to_string();
        assert!(plugin.contains("Usage: kubectl mysql-takeover crd"), "{plugin}");
    }
}
