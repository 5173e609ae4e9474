//! Short commands: run to their end, bounded, with what they said in the error.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

/// A command that is expected to end by itself.
#[derive(Clone, Debug)]
#[must_use]
pub struct Short {
    program: PathBuf,
    arguments: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    input: Vec<u8>,
    limit: Duration,
}

impl Short {
    /// A command that gets ten seconds.
    pub fn new<A: AsRef<OsStr>>(program: impl Into<PathBuf>, arguments: impl IntoIterator<Item = A>) -> Self {
        Self {
            program: program.into(),
            arguments: arguments.into_iter().map(|argument| argument.as_ref().to_owned()).collect(),
            environment: Vec::new(),
            input: Vec::new(),
            limit: Duration::from_secs(10),
        }
    }

    /// Another bound.
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// What it reads: the place for secrets, which must not be arguments.
    pub fn input(mut self, input: impl Into<Vec<u8>>) -> Self {
        self.input = input.into();
        self
    }

    /// A variable of its environment.
    pub fn environment(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.environment.push((name.into(), value.as_ref().to_owned()));
        self
    }

    /// Runs it and returns what it wrote to standard output.
    ///
    /// # Errors
    /// That it cannot be started, failed (with what it wrote to standard error), or did not end in time; it is killed then.
    pub async fn output(self) -> Result<String> {
        let shown = self.shown();
        let mut child = Command::new(&self.program)
            .args(&self.arguments)
            .envs(self.environment)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {}", self.program.display()))?;
        let mut writer = child.stdin.take();
        let input = self.input;
        let work = async {
            let write = async {
                if let Some(writer) = writer.as_mut() {
                    // A command that does not read to the end says why in its own words.
                    let _ = writer.write_all(&input).await;
                }
                drop(writer);
            };
            tokio::join!(write, child.wait_with_output()).1
        };
        let Ok(output) = tokio::time::timeout(self.limit, work).await else {
            bail!("{shown} did not end within {:.1} s", self.limit.as_secs_f64());
        };
        let output = output.with_context(|| format!("cannot run {shown}"))?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let said = match String::from_utf8_lossy(&output.stderr).trim() {
            "" => String::from_utf8_lossy(&output.stdout).trim().to_owned(),
            error => error.to_owned(),
        };
        bail!("{shown} failed ({}): {said}", output.status)
    }

    fn shown(&self) -> String {
        let name = self.program.file_name().unwrap_or(self.program.as_os_str());
        let mut words = vec![name.to_string_lossy().into_owned()];
        words.extend(self.arguments.iter().map(|argument| argument.to_string_lossy().into_owned()));
        words.join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn returns_output_and_passes_input() {
        assert_eq!(Short::new("cat", [] as [&str; 0]).input("text").output().await.unwrap(), "text");
    }

    #[tokio::test]
    async fn an_error_says_what_the_command_said() {
        let error = Short::new("sh", ["-c", "echo why >&2; exit 3"]).output().await.unwrap_err().to_string();
        assert!(error.contains("why") && error.contains('3'), "{error}");
    }

    #[tokio::test]
    async fn a_command_that_hangs_is_ended() {
        let limit = Duration::from_millis(50);
        let error = Short::new("sleep", ["60"]).limit(limit).output().await.unwrap_err().to_string();
        assert!(error.contains("did not end"), "{error}");
    }
}
