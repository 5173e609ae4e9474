//! One named test, built and run by cargo in the copy.

use crate::table::{Target, Test};
use anyhow::{Context as _, Result};
use std::fs::File;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Bound on building a test.
const BUILD_LIMIT: Duration = Duration::from_mins(20);
/// Bound on running one. What hangs was not found.
const RUN_LIMIT: Duration = Duration::from_mins(6);
const PAUSE: Duration = Duration::from_millis(20);

/// What became of a test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It ran and passed.
    Passed,
    /// It ran and failed.
    Failed,
    /// It could not be built, was not there, or did not end; in words.
    Broken(String),
}

/// Runs tests of the copy.
#[derive(Debug)]
pub struct Cargo {
    tree: PathBuf,
    build: PathBuf,
    log: PathBuf,
}

impl Cargo {
    /// Builds in a folder of its own, which is kept: the next build is a small one. The last output is in `log`.
    pub fn new(tree: &Path, build: PathBuf, log: PathBuf) -> Self {
        Self { tree: tree.to_owned(), build, log }
    }

    /// Builds and runs one test.
    pub fn test(&self, test: &Test) -> Result<Verdict> {
        let built = self.run(test, &["--no-run"], &[], BUILD_LIMIT)?;
        if built.success != Some(true) {
            return Ok(Verdict::Broken(format!("it does not build: {}", built.first_error())));
        }
        let ran = self.run(test, &[], &["--exact", test.name], RUN_LIMIT)?;
        if ran.success.is_none() {
            return Ok(Verdict::Broken(format!("no end within {} s", RUN_LIMIT.as_secs())));
        }
        let says = |end: &str| ran.output.contains(&format!("test {} ... {end}", test.name));
        // A long test is announced, and its end follows on a line of its own.
        let failed = ran.output.contains(&format!("failures:\n    {}\n", test.name));
        Ok(match ran.success {
            Some(true) if says("ok") => Verdict::Passed,
            Some(true) => Verdict::Broken("there is no test of that name".to_owned()),
            _ if failed => Verdict::Failed,
            _ => Verdict::Broken("it ended without a verdict of its own".to_owned()),
        })
    }

    fn run(&self, test: &Test, options: &[&str], arguments: &[&str], limit: Duration) -> Result<Ran> {
        let log = File::create(&self.log).with_context(|| format!("create {}", self.log.display()))?;
        let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command.args(["test", "--locked", "--package", test.package]);
        match test.target {
            Target::Lib => command.arg("--lib"),
            Target::Test(name) => command.args(["--test", name]),
        };
        command
            .args(options)
            .arg("--")
            .args(arguments)
            .current_dir(&self.tree)
            .env("CARGO_TARGET_DIR", &self.build)
            .env("CARGO_TERM_COLOR", "never")
            // A mistake may leave something unused.
            .env_remove("RUSTFLAGS")
            // The test and what it started end with it.
            .process_group(0)
            .stdin(Stdio::null())
            .stderr(log.try_clone().context("the log, twice")?)
            .stdout(log);
        let mut child = command.spawn().context("run cargo")?;
        let began = Instant::now();
        let success = loop {
            if let Some(status) = child.try_wait().context("wait for cargo")? {
                break Some(status.success());
            }
            if began.elapsed() > limit {
                let group = format!("-{}", child.id());
                Command::new("kill").args(["-KILL", "--", &group]).status().context("end cargo")?;
                child.wait().context("wait for cargo")?;
                break None;
            }
            std::thread::sleep(PAUSE);
        };
        let output = std::fs::read(&self.log).with_context(|| format!("read {}", self.log.display()))?;
        Ok(Ran { success, output: String::from_utf8_lossy(&output).into_owned() })
    }
}

/// What cargo did; `success` is none where it did not end.
struct Ran {
    success: Option<bool>,
    output: String,
}

impl Ran {
    fn first_error(&self) -> &str {
        self.output.lines().find(|line| line.starts_with("error")).unwrap_or("see the log")
    }
}
