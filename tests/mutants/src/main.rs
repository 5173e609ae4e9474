//! Plants mistakes, one at a time, in a copy of the tree, and shows that a named test finds each: a test that stays green
//! whatever the code does proves nothing.
//!
//! The mistakes are exact replacements of text, kept in [`table`]; production code has no switch for them.

mod cargo;
mod run;
mod table;
#[cfg(test)]
mod tests;
mod tree;

use anyhow::{Context as _, Result, bail};
use clap::Parser;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Plants mistakes in a copy of the tree, and shows that the tests find each.
#[derive(Debug, Parser)]
struct Arguments {
    /// Writes the results there, as JSON
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Only mistakes whose name contains this
    #[arg(long, value_name = "WORD")]
    only: Option<String>,
    /// Lists the mistakes, and plants none
    #[arg(long)]
    list: bool,
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let wanted = |name: &str| arguments.only.as_ref().is_none_or(|word| name.contains(word.as_str()));
    let mutants: Vec<_> = table::all().filter(|mutant| wanted(mutant.name)).collect();
    if mutants.is_empty() {
        bail!("no mistake has that in its name; --list shows all");
    }
    if arguments.list {
        for mutant in &mutants {
            println!("{:<44} {}\n{:<44} {}", mutant.name, mutant.breaks, "", mutant.test);
        }
        return Ok(ExitCode::SUCCESS);
    }
    let results = run::all(&repository(), &mutants, |results| {
        let Some(path) = &arguments.output else { return Ok(()) };
        let text = serde_json::to_string_pretty(results)?;
        std::fs::write(path, text).with_context(|| format!("write {}", path.display()))
    })?;
    run::print(&results);
    Ok(if results.caught == results.planted { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The root of the repository that this was built from.
fn repository() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.ancestors().nth(2).unwrap_or(manifest).to_owned()
}
