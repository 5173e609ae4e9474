//! Planting one mistake after the other.

use crate::cargo::{Cargo, Verdict};
use crate::table::Mutant;
use crate::tree::Tree;
use anyhow::{Result, bail};
use serde::Serialize;
use std::collections::BTreeSet;
use std::path::Path;
use std::time::Instant;

/// What became of all.
#[derive(Clone, Debug, Serialize)]
pub struct Results {
    /// How many mistakes were planted.
    pub planted: usize,
    /// How many were found by their test.
    pub caught: usize,
    /// Each.
    pub mutants: Vec<Outcome>,
}

/// What became of one.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// Its name.
    pub name: &'static str,
    /// What it breaks.
    pub breaks: &'static str,
    /// The test that must find it.
    pub test: String,
    /// Whether the test found it: it was built, and failed.
    pub caught: bool,
    /// Why not, in words.
    pub why: Option<String>,
    /// Time of building and running.
    pub seconds: f64,
}

/// Plants each mistake in a copy of the tree, and runs its test. `save` gets what there is after each.
pub fn all(repository: &Path, mutants: &[&Mutant], save: impl Fn(&Results) -> Result<()>) -> Result<Results> {
    let home = repository.join("target/mutants");
    let tree = Tree::copy(repository, home.join("tree"))?;
    let cargo = Cargo::new(tree.folder(), home.join("build"), home.join("last.log"));

    let tests: BTreeSet<_> = mutants.iter().map(|mutant| mutant.test).collect();
    for (number, test) in tests.iter().enumerate() {
        println!("unchanged {}/{}: {test}", number + 1, tests.len());
        match cargo.test(test)? {
            Verdict::Passed => {}
            Verdict::Failed => bail!("{test} fails without a mistake; see target/mutants/last.log"),
            Verdict::Broken(why) => bail!("{test}: {why}; see target/mutants/last.log"),
        }
    }

    let mut results = Results { planted: 0, caught: 0, mutants: Vec::new() };
    for (number, mutant) in mutants.iter().enumerate() {
        println!("mistake {}/{}: {}", number + 1, mutants.len(), mutant.name);
        let began = Instant::now();
        let planted = tree.plant(mutant.file, mutant.find, mutant.replace)?;
        let verdict = cargo.test(&mutant.test)?;
        drop(planted);
        let (caught, why) = match verdict {
            Verdict::Failed => (true, None),
            Verdict::Passed => (false, Some("the test passes all the same".to_owned())),
            Verdict::Broken(why) => (false, Some(why)),
        };
        if let Some(why) = &why {
            println!("  not found: {why}");
        }
        results.planted += 1;
        results.caught += usize::from(caught);
        results.mutants.push(Outcome {
            name: mutant.name,
            breaks: mutant.breaks,
            test: mutant.test.to_string(),
            caught,
            why,
            seconds: began.elapsed().as_secs_f64(),
        });
        save(&results)?;
    }
    Ok(results)
}

/// The table, and the line that tools read.
pub fn print(results: &Results) {
    println!("\n{:<44} {:<6} {:>7}  test", "mistake", "caught", "seconds");
    for outcome in &results.mutants {
        let caught = if outcome.caught { "yes" } else { "NO" };
        println!("{:<44} {caught:<6} {:>7.1}  {}", outcome.name, outcome.seconds, outcome.test);
        if let Some(why) = &outcome.why {
            println!("    {why}");
        }
    }
    println!("\n{} passed, {} failed", results.caught, results.planted - results.caught);
}
