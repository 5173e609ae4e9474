//! The cache outside the repository: one folder per tool and version, complete or absent.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

/// Where tools are kept: `$MYSQL_TAKEOVER_CACHE`, else `$XDG_CACHE_HOME/mysql-takeover`, else `~/.cache/mysql-takeover`.
pub fn directory() -> Result<PathBuf> {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(path) = variable("MYSQL_TAKEOVER_CACHE") {
        return Ok(path);
    }
    let base = variable("XDG_CACHE_HOME").or_else(|| Some(variable("HOME")?.join(".cache")));
    Ok(base
        .context("neither MYSQL_TAKEOVER_CACHE nor XDG_CACHE_HOME nor HOME is set")?
        .join("mysql-takeover"))
}

/// The folder `name` of the cache, if it is there: a folder with its final name is complete.
pub fn find(name: &str) -> Result<Option<PathBuf>> {
    let path = directory()?.join(name);
    Ok(path.is_dir().then_some(path))
}

/// The folder `name` of the cache; `build` fills it if it is not there. A build that is killed leaves nothing under the final
/// name, and two at once wait for each other.
pub fn ensure(name: &str, build: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    if let Some(path) = find(name)? {
        return Ok(path);
    }
    let cache = directory()?;
    fs::create_dir_all(&cache).with_context(|| format!("create {}", cache.display()))?;
    let _lock = lock(&cache.join(format!("{name}.lock")), name)?;
    let path = cache.join(name);
    if path.is_dir() {
        return Ok(path);
    }
    let building = cache.join(format!("{name}.building"));
    // The lock is ours, so this is what a killed build left.
    if building.exists() {
        fs::remove_dir_all(&building).with_context(|| format!("remove {}", building.display()))?;
    }
    fs::create_dir_all(&building).with_context(|| format!("create {}", building.display()))?;
    build(&building)?;
    fs::rename(&building, &path).with_context(|| format!("rename {} into place", building.display()))?;
    Ok(path)
}

/// Holds a lock file; the kernel releases it when the holder dies.
fn lock(path: &Path, name: &str) -> Result<File> {
    const LIMIT: Duration = Duration::from_mins(45);
    let file = File::create(path).with_context(|| format!("create {}", path.display()))?;
    let begin = Instant::now();
    let mut told = false;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(fs::TryLockError::WouldBlock) => {}
            Err(fs::TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("lock {}", path.display()));
            }
        }
        if !told {
            eprintln!("  waiting for another process that is installing {name}");
            told = true;
        }
        if begin.elapsed() > LIMIT {
            bail!(
                "another process has been installing {name} for {LIMIT:?}; see who holds {}",
                path.display()
            );
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// A line when a long step begins, one every quarter of a minute, and one with the time when it is dropped.
#[derive(Debug)]
pub struct Progress {
    what: String,
    begin: Instant,
    stop: mpsc::Sender<()>,
}

impl Progress {
    /// Begins the step.
    pub fn begin(what: impl Into<String>) -> Self {
        const HEARTBEAT: Duration = Duration::from_secs(15);
        let what = what.into();
        eprintln!("  {what} ...");
        let (stop, stopped) = mpsc::channel::<()>();
        let shown = what.clone();
        let begin = Instant::now();
        std::thread::spawn(move || {
            while stopped.recv_timeout(HEARTBEAT) == Err(mpsc::RecvTimeoutError::Timeout) {
                eprintln!("  {shown} ... {} s", begin.elapsed().as_secs());
            }
        });
        Self { what, begin, stop }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        let _ = self.stop.send(());
        eprintln!("  {}: {:.1} s", self.what, self.begin.elapsed().as_secs_f64());
    }
}

/// Runs a helper program to its end and returns its standard output.
///
/// # Errors
/// That it could not be started, or failed: with the end of what it wrote.
pub fn run(command: &mut std::process::Command) -> Result<String> {
    const SHOWN: usize = 3000;
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().with_context(|| format!("start {program}: is it installed?"))?;
    if !output.status.success() {
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text);
        let cut = text.char_indices().rev().nth(SHOWN).map_or(0, |(index, _)| index);
        bail!("{program} failed ({}):\n{}", output.status, text.get(cut..).unwrap_or_default());
    }
    String::from_utf8(output.stdout).with_context(|| format!("{program} wrote something that is not UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_helper_is_quoted() {
        let error =
            run(std::process::Command::new("sh").args(["-c", "echo broken >&2; exit 3"])).unwrap_err();
        assert!(error.to_string().contains("broken"), "{error}");
    }
}
