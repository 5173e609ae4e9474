//! A run of the lab: one folder with everything it needs, and the record of what it left outside that folder.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};

use crate::process;

/// The record of a run: one JSON document per line, appended before the thing that it names exists where possible.
const RECORD: &str = "record.jsonl";

/// Something of a run that outlives the lab's own process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Leftover {
    /// The lab process that made the run. Not ended by the clean-up.
    Owner {
        /// Its process id.
        pid: i32,
        /// Clock ticks since boot, from `/proc/<pid>/stat`.
        start_time: u64,
    },
    /// The run came up whole and was left up on purpose.
    Kept,
    /// A process (and its group).
    Process {
        /// What it is called in the run.
        name: String,
        /// Its process id.
        pid: i32,
        /// Clock ticks since boot, from `/proc/<pid>/stat`.
        start_time: u64,
    },
    /// A file or folder outside the run's own.
    Path {
        /// Removed with all its content.
        path: PathBuf,
    },
}

/// How long a run lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifetime {
    /// Until it is dropped or its owner dies; the kernel then ends its processes, however the owner died.
    Owner,
    /// Until `lab down`, once [`Run::keep`] was called; as [`Self::Owner`] until then, except that after a kill -9 of the
    /// owner the processes live on until the next `lab down` or start.
    UntilDown,
}

impl Lifetime {
    /// For a run that [`Run::keep`] may be called on.
    pub fn kept_if(keep: bool) -> Self {
        if keep { Self::UntilDown } else { Self::Owner }
    }
}

/// A run in progress. Dropping it ends everything, unless it is kept.
#[derive(Debug)]
pub struct Run {
    path: PathBuf,
    lifetime: Lifetime,
    kept: Arc<AtomicBool>,
}

/// The project's folder for everything the lab writes: `target/lab`.
pub fn lab_directory() -> PathBuf {
    project_directory().join("target/lab")
}

/// The root of the project's source tree.
pub fn project_directory() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.ancestors().nth(2).unwrap_or(manifest).to_owned()
}

fn runs_directory() -> PathBuf {
    lab_directory().join("run")
}

impl Run {
    /// Starts a run with a fixed name, which can exist once in this checkout.
    ///
    /// # Errors
    /// That a run of this name is there: still running, or kept. What a killed one left is ended first.
    pub fn create(name: &str, lifetime: Lifetime) -> Result<Self> {
        let runs = runs_directory();
        fs::create_dir_all(&runs).with_context(|| format!("create {}", runs.display()))?;
        let path = runs.join(name);
        match state(&path)? {
            State::Absent => {}
            State::Abandoned => end_at(&path)?,
            State::Running => {
                bail!("lab run {name:?} is in progress; wait for it, or end it with: lab down {name}")
            }
            State::Kept => bail!("lab run {name:?} was left up; use it, or end it with: lab down {name}"),
        }
        let pid = i32::try_from(std::process::id()).context("own process id out of range")?;
        let start_time = process::start_time(pid).context("read own start time from /proc")?;
        // Built aside and renamed, so that no run is ever seen without its owner.
        let building = runs.join(format!(".{name}.{pid}"));
        fs::create_dir_all(building.join("logs"))
            .with_context(|| format!("create {}", building.display()))?;
        append(&building, &Leftover::Owner { pid, start_time })?;
        fs::rename(&building, &path)
            .with_context(|| format!("create run {}: was it started twice at once?", path.display()))?;
        Ok(Self { path, lifetime, kept: Arc::default() })
    }

    /// Starts a run of its own for a test or a benchmark, named `<prefix>-<pid>-<n>`, and ends those of the same prefix that
    /// killed processes left.
    pub fn temporary(prefix: &str) -> Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        for name in names()? {
            let path = runs_directory().join(&name);
            if name.starts_with(prefix) && matches!(state(&path)?, State::Abandoned) {
                // Another test process may be ending the same one: whoever is second finds nothing.
                if let Err(error) = end_at(&path) {
                    tracing::warn!("clean up abandoned lab run {name}: {error:#}");
                }
            }
        }
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Self::create(&format!("{prefix}-{}-{number}", std::process::id()), Lifetime::Owner)
    }

    /// The run's folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How long it lives.
    pub fn lifetime(&self) -> Lifetime {
        self.lifetime
    }

    /// Leaves the run up from here on, until `lab down`: neither dropping it nor the end of this process ends it.
    ///
    /// # Errors
    /// That it was not started for that: its processes would end with this one.
    pub fn keep(&self) -> Result<()> {
        if self.lifetime == Lifetime::Owner {
            bail!("run {} was started to end with its owner", self.path.display());
        }
        self.record(&Leftover::Kept)?;
        self.kept.store(true, Ordering::Release);
        Ok(())
    }

    /// Whether [`Self::keep`] was called; shared with the run's processes.
    pub(crate) fn kept(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.kept)
    }

    /// Writes down something that has to be removed at the end. Call it before the thing exists, where that is possible.
    pub fn record(&self, leftover: &Leftover) -> Result<()> {
        append(&self.path, leftover)
    }

    /// A folder inside the run's, created if missing, for its owner only (it may hold keys).
    pub fn folder(&self, name: impl AsRef<Path>) -> Result<PathBuf> {
        use std::os::unix::fs::DirBuilderExt as _;
        let path = self.path.join(name);
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&path)
            .with_context(|| format!("create {}", path.display()))?;
        Ok(path)
    }

    /// The log file of the process called `name`.
    pub fn log_path(&self, name: &str) -> Result<PathBuf> {
        Ok(self.folder("logs")?.join(format!("{name}.log")))
    }

    /// A path for a Unix socket. The kernel takes 107 bytes at most, so a deep checkout gets a short one elsewhere.
    pub fn socket_path(&self, name: &str) -> Result<PathBuf> {
        const LONGEST: usize = 100;
        let path = self.path.join(format!("{name}.sock"));
        if path.as_os_str().len() <= LONGEST {
            return Ok(path);
        }
        let run_name = self.path.file_name().unwrap_or_default();
        let folder = std::env::temp_dir().join("mysql-takeover-lab").join(run_name);
        self.record(&Leftover::Path { path: folder.clone() })?;
        fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
        Ok(folder.join(format!("{name}.sock")))
    }

    /// Ends the run: processes, then what the node changed, then files. Logs move to `target/lab/logs/<name>`.
    /// Does nothing when it has ended already.
    pub fn end(&self) -> Result<()> {
        end_at(&self.path)
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        if self.kept.load(Ordering::Acquire) {
            return;
        }
        if let Err(error) = end_at(&self.path) {
            eprintln!("lab: {error:#}; run `lab down` to try again");
        }
    }
}

/// What is known of a run's folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// No such run.
    Absent,
    /// Its owner is alive.
    Running,
    /// Its owner left it up on purpose.
    Kept,
    /// Its owner died before it could clean up.
    Abandoned,
}

fn state(path: &Path) -> Result<State> {
    if !path.exists() {
        return Ok(State::Absent);
    }
    let records = records(path)?;
    if records.contains(&Leftover::Kept) {
        return Ok(State::Kept);
    }
    let has_owner = records.iter().any(|record| match record {
        Leftover::Owner { pid, start_time } => process::is_same(*pid, *start_time),
        _ => false,
    });
    Ok(if has_owner { State::Running } else { State::Abandoned })
}

/// The names of all runs that left a folder, sorted.
pub fn names() -> Result<Vec<String>> {
    let runs = runs_directory();
    if !runs.exists() {
        return Ok(Vec::new());
    }
    let mut names = Vec::new();
    for entry in fs::read_dir(&runs).with_context(|| format!("list {}", runs.display()))? {
        if let Some(name) = entry?.file_name().to_str()
            && !name.starts_with('.')
        {
            names.push(name.to_owned());
        }
    }
    names.sort();
    Ok(names)
}

/// Removes what is left of runs whose owner died before they were one: folders without anything that runs.
pub fn sweep_unborn() -> Result<()> {
    let runs = runs_directory();
    let Ok(entries) = fs::read_dir(&runs) else { return Ok(()) };
    for entry in entries {
        let entry = entry.with_context(|| format!("list {}", runs.display()))?;
        let name = entry.file_name();
        // `.<name>.<pid>`, see `Run::create`.
        let unborn =
            name.to_str().filter(|name| name.starts_with('.')).and_then(|name| name.rsplit_once('.'));
        let owner = unborn.and_then(|(_, pid)| pid.parse().ok());
        if owner.is_some_and(|pid| process::start_time(pid).is_none()) {
            remove(&entry.path())?;
        }
    }
    Ok(())
}

/// The state and the records of a run.
pub fn describe(name: &str) -> Result<(State, Vec<Leftover>)> {
    let path = runs_directory().join(name);
    Ok((state(&path)?, records(&path)?))
}

/// Ends the run called `name`, whoever started it.
///
/// # Errors
/// That there is no such run, or what could not be ended.
pub fn end(name: &str) -> Result<()> {
    let path = runs_directory().join(name);
    if !path.exists() {
        bail!("there is no lab run {name:?}; see: lab status");
    }
    end_at(&path)
}

fn records(path: &Path) -> Result<Vec<Leftover>> {
    let file = path.join(RECORD);
    let text = match fs::read_to_string(&file) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error).with_context(|| format!("read {}", file.display())),
    };
    // The last line may be half written by a killed lab; what it names is found by the marker.
    Ok(text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect())
}

fn append(path: &Path, leftover: &Leftover) -> Result<()> {
    let file = path.join(RECORD);
    let mut line = serde_json::to_string(leftover).context("write a record")?;
    line.push('\n');
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(&file)
        .and_then(|mut open| open.write_all(line.as_bytes()))
        .with_context(|| format!("append to {}", file.display()))
}

fn end_at(path: &Path) -> Result<()> {
    if !path.exists() {
        return Ok(());
    }
    let leftovers = records(path)?;
    kill_all(path, &leftovers)?;
    crate::node::clean_up(path, &leftovers)
        .with_context(|| format!("remove what the node of {} left", path.display()))?;
    for leftover in &leftovers {
        if let Leftover::Path { path: extra } = leftover {
            remove(extra)?;
        }
    }
    keep_logs(path);
    remove(path)
}

/// Kills every process of the run and waits until they are gone. Repeats, because a dying process may have started another.
fn kill_all(path: &Path, leftovers: &[Leftover]) -> Result<()> {
    const LIMIT: Duration = Duration::from_secs(20);
    let begin = Instant::now();
    loop {
        let mut alive: Vec<(i32, u64)> = leftovers
            .iter()
            .filter_map(|leftover| match leftover {
                Leftover::Process { pid, start_time, .. } => Some((*pid, *start_time)),
                _ => None,
            })
            .filter(|(pid, start_time)| process::is_same(*pid, *start_time))
            .collect();
        alive.extend(process::marked(path));
        if alive.is_empty() {
            return Ok(());
        }
        if begin.elapsed() > LIMIT {
            bail!("processes {alive:?} of {} are still there after SIGKILL", path.display());
        }
        for (pid, start_time) in alive {
            process::kill_recorded(pid, start_time);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Moves the logs of an ended run to where a person can read them, and forgets the oldest ones.
fn keep_logs(path: &Path) {
    const KEPT: usize = 20;
    let logs = lab_directory().join("logs");
    let Some(name) = path.file_name() else { return };
    let target = logs.join(name);
    // Logs are a convenience: no failure here may keep the rest from being cleaned up.
    let _ = fs::create_dir_all(&logs);
    let _ = fs::remove_dir_all(&target);
    let _ = fs::rename(path.join("logs"), &target);
    let Ok(entries) = fs::read_dir(&logs) else { return };
    let mut kept: Vec<_> = entries
        .filter_map(|entry| {
            let entry = entry.ok()?;
            Some((entry.metadata().ok()?.modified().ok()?, entry.path()))
        })
        .collect();
    kept.sort();
    for (_, old) in kept.iter().rev().skip(KEPT) {
        let _ = fs::remove_dir_all(old);
    }
}

fn remove(path: &Path) -> Result<()> {
    let result = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match result {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("remove {}", path.display()))
        }
        _ => Ok(()),
    }
}
