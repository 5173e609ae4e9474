//! The mistakes: values, by the room of the code in which they are planted.

mod claim;
mod decide;
mod pure;
mod servers;
mod surface;

use std::fmt;

/// A mistake that somebody could make, and the test that must find it.
#[derive(Clone, Copy, Debug)]
pub struct Mutant {
    /// Its name.
    pub name: &'static str,
    /// What it breaks.
    pub breaks: &'static str,
    /// File in which it is planted, from the root of the repository.
    pub file: &'static str,
    /// Text that is there exactly once.
    pub find: &'static str,
    /// What stands there instead.
    pub replace: &'static str,
    /// The test that must turn red.
    pub test: Test,
}

/// A test by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Test {
    /// Package of the workspace.
    pub package: &'static str,
    /// Which of its test programs.
    pub target: Target,
    /// Whole name, as `--exact` takes it.
    pub name: &'static str,
}

/// A test program of a package.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// Tests beside the code.
    Lib,
    /// A program in its `tests` folder.
    Test(&'static str),
}

impl fmt::Display for Test {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.target {
            Target::Lib => write!(formatter, "{} --lib {}", self.package, self.name),
            Target::Test(program) => write!(formatter, "{} --test {program} {}", self.package, self.name),
        }
    }
}

/// A test beside the code.
const fn unit(name: &'static str) -> Test {
    Test { package: "mysql-takeover", target: Target::Lib, name }
}

/// A test of a program in `tests`.
const fn program(program: &'static str, name: &'static str) -> Test {
    Test { package: "mysql-takeover", target: Target::Test(program), name }
}

/// A loop of the simulated world.
const fn simulated(name: &'static str) -> Test {
    Test { package: "world", target: Target::Test("loops"), name }
}

/// A look where a Service leads, in the simulated world.
const fn landing(name: &'static str) -> Test {
    Test { package: "world", target: Target::Test("landing"), name }
}

/// All mistakes.
pub fn all() -> impl Iterator<Item = &'static Mutant> {
    [decide::MUTANTS, claim::MUTANTS, servers::MUTANTS, pure::MUTANTS, surface::MUTANTS].into_iter().flatten()
}
