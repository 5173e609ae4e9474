//! Processes of a run: started in a process group of their own, logged to a file, known by pid *and* start time, so that
//! a recycled pid is never signalled.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, mpsc};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use crate::run::{Leftover, Lifetime, Run};

/// Environment variable that marks every process of a run with the run's folder: finds also those that were started but
/// not yet recorded when the lab was killed.
pub const RUN_MARKER: &str = "MYSQL_TAKEOVER_LAB_RUN";

/// How long a process that got SIGKILL may take to be gone. Only a process stuck in the kernel needs longer.
const KILL_LIMIT: Duration = Duration::from_secs(10);

/// A program that can be started as part of a run.
#[derive(Clone, Debug)]
#[must_use]
pub struct Program {
    name: String,
    executable: PathBuf,
    arguments: Vec<OsString>,
    environment: BTreeMap<OsString, OsString>,
    network_namespace: Option<PathBuf>,
}

impl Program {
    /// `name` is unique within the run: it names the log file and the record.
    pub fn new(name: impl Into<String>, executable: impl Into<PathBuf>) -> Self {
        Self {
            name: name.into(),
            executable: executable.into(),
            arguments: Vec::new(),
            environment: BTreeMap::new(),
            network_namespace: None,
        }
    }

    /// Appends one argument. Never a secret: arguments are visible to every user of the machine.
    pub fn argument(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.arguments.push(argument.as_ref().to_owned());
        self
    }

    /// Appends arguments.
    pub fn arguments<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(mut self, arguments: I) -> Self {
        self.arguments.extend(arguments.into_iter().map(|argument| argument.as_ref().to_owned()));
        self
    }

    /// Sets a variable of the process's environment, which is otherwise inherited.
    pub fn environment(mut self, key: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.environment.insert(key.as_ref().to_owned(), value.as_ref().to_owned());
        self
    }

    /// Runs the program inside the network namespace at `path` (such as `/run/netns/name`); needs root.
    pub fn network_namespace(mut self, path: Option<PathBuf>) -> Self {
        self.network_namespace = path;
        self
    }

    /// The whole command line, helpers in front included: each of them replaces itself, so the pid stays the same.
    fn command(&self, run: &Run) -> Command {
        let mut words: Vec<OsString> = Vec::new();
        if run.lifetime() == Lifetime::Owner {
            // Ends the process when this one ends, however it ends: also on kill -9, and for servers that tests share.
            words.extend(["setpriv", "--pdeathsig", "KILL", "--"].map(OsString::from));
        }
        if let Some(path) = &self.network_namespace {
            words.push("nsenter".into());
            let mut option = OsString::from("--net=");
            option.push(path);
            words.extend([option, "--".into()]);
        }
        words.push(self.executable.clone().into_os_string());
        words.extend(self.arguments.iter().cloned());
        let mut words = words.into_iter();
        let mut command = Command::new(words.next().unwrap_or_default());
        command.args(words).envs(&self.environment).env(RUN_MARKER, run.path());
        command
    }

    /// Starts the program; its output goes to `<run>/logs/<name>.log`.
    pub fn start(&self, run: &Run) -> Result<Process> {
        let log = run.log_path(&self.name)?;
        let output = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&log)
            .with_context(|| format!("open log file {}", log.display()))?;
        let mut command = self.command(run);
        command
            .stdin(Stdio::null())
            .stdout(output.try_clone().context("duplicate log file handle")?)
            .stderr(output)
            .process_group(0);
        let child = spawn_for_life(command)
            .with_context(|| format!("start {} ({})", self.name, self.executable.display()))?;
        let pid = i32::try_from(child.id()).context("process id out of range")?;
        let process =
            Process { name: self.name.clone(), pid, log, kept: run.kept(), child: Mutex::new(child) };
        // A process that has already ended has nothing to record.
        if let Some(start_time) = start_time(pid) {
            run.record(&Leftover::Process { name: self.name.clone(), pid, start_time })?;
        }
        Ok(process)
    }
}

/// Spawns on one thread that lives as long as this process: the kernel sends the parent-death signal when the *thread*
/// that spawned ends, and an async runtime ends its worker threads whenever it likes.
fn spawn_for_life(command: Command) -> Result<Child> {
    type Order = (Command, mpsc::Sender<std::io::Result<Child>>);
    static SPAWNER: OnceLock<mpsc::Sender<Order>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (sender, orders) = mpsc::channel::<Order>();
        std::thread::spawn(move || {
            for (mut command, answer) in orders {
                // The asker waits for the answer, so it cannot be gone.
                let _ = answer.send(command.spawn());
            }
        });
        sender
    });
    let (answer, result) = mpsc::channel();
    spawner.send((command, answer)).map_err(|_| anyhow!("the spawning thread is gone"))?;
    Ok(result.recv().context("the spawning thread is gone")??)
}

/// A running process of a run. Dropping it kills its process group, unless the run is kept.
#[derive(Debug)]
pub struct Process {
    name: String,
    pid: i32,
    log: PathBuf,
    kept: Arc<AtomicBool>,
    child: Mutex<Child>,
}

impl Drop for Process {
    fn drop(&mut self) {
        if !self.kept.load(Ordering::Acquire)
            && let Err(error) = self.kill()
        {
            eprintln!("lab: {error:#}");
        }
    }
}

impl Process {
    /// The name it was started under.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The process id, which is also its process group's.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Its log file.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// The exit status, if it has ended.
    pub fn exit_status(&self) -> Result<Option<ExitStatus>> {
        let mut child = self.child.lock().map_err(|_| anyhow!("{}: a thread panicked here", self.name))?;
        child.try_wait().with_context(|| format!("look at process {}", self.name))
    }

    /// Whether it is still there (stopped counts as there).
    pub fn is_running(&self) -> bool {
        matches!(self.exit_status(), Ok(None))
    }

    /// For use inside waits.
    ///
    /// # Errors
    /// That it has ended, with how, and the end of its log.
    pub fn ensure_running(&self) -> Result<()> {
        match self.exit_status()? {
            None => Ok(()),
            Some(status) => bail!(
                "{} ended by itself ({status}); its log {} ends with:\n{}",
                self.name,
                self.log.display(),
                self.log_tail()
            ),
        }
    }

    /// The last lines of the log (4 KB at most).
    pub fn log_tail(&self) -> String {
        log_tail(&self.log)
    }

    /// Sends a signal to the process and its group.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        // Without this look a pid that was reaped and given to somebody else could be hit.
        self.ensure_running()?;
        killpg(Pid::from_raw(self.pid), signal).with_context(|| format!("send {signal} to {}", self.name))
    }

    /// SIGKILL to the process group, and waits until the process is gone. Nothing happens if it has ended already.
    pub fn kill(&self) -> Result<()> {
        if !self.is_running() {
            return Ok(());
        }
        self.signal(Signal::SIGKILL)?;
        let begin = Instant::now();
        while self.exit_status()?.is_none() {
            if begin.elapsed() > KILL_LIMIT {
                bail!("{} (pid {}) is still there {KILL_LIMIT:?} after SIGKILL", self.name, self.pid);
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }

    /// SIGTERM, then SIGKILL after `grace`.
    pub fn terminate(&self, grace: Duration) -> Result<()> {
        if !self.is_running() {
            return Ok(());
        }
        self.signal(Signal::SIGTERM)?;
        let begin = Instant::now();
        while self.exit_status()?.is_none() {
            if begin.elapsed() > grace {
                return self.kill();
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }
}

/// The last 4 KB of a text file, from the start of a line; empty if it cannot be read.
pub fn log_tail(path: &Path) -> String {
    const TAIL: u64 = 4096;
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(TAIL)))?;
        let mut bytes = Vec::new();
        file.take(TAIL).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read().unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    match (bytes.len() as u64 == TAIL, text.split_once('\n')) {
        (true, Some((_cut, rest))) => rest.to_owned(),
        _ => text.into_owned(),
    }
}

/// When the process started, in clock ticks since boot (field 22 of `/proc/<pid>/stat`); none if it is gone or a zombie.
pub fn start_time(pid: i32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the program's name in brackets and may hold spaces and brackets itself.
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split(' ');
    if matches!(fields.next(), Some("Z" | "X")) {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

/// Whether the process with this pid is the one that started at `start_time`.
pub fn is_same(pid: i32, recorded: u64) -> bool {
    start_time(pid) == Some(recorded)
}

/// Kills the group of a recorded process, if it is still that process.
pub(crate) fn kill_recorded(pid: i32, recorded: u64) {
    if is_same(pid, recorded) {
        // Its group has its number unless it moved away, in which case the plain pid is hit below.
        let _ = killpg(Pid::from_raw(pid), Signal::SIGKILL);
        let _ = nix::sys::signal::kill(Pid::from_raw(pid), Signal::SIGKILL);
    }
}

/// Processes that carry the marker of the run in `run`: pid and start time.
pub(crate) fn marked(run: &Path) -> Vec<(i32, u64)> {
    let mut marker = OsString::from(RUN_MARKER);
    marker.push("=");
    marker.push(run);
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    let own = i32::try_from(std::process::id()).ok();
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok())
        .filter(|pid| Some(*pid) != own)
        .filter(|pid| {
            std::fs::read(format!("/proc/{pid}/environ")).is_ok_and(|environment| {
                environment.split(|byte| *byte == 0).any(|entry| entry == marker.as_encoded_bytes())
            })
        })
        .filter_map(|pid| Some((pid, start_time(pid)?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recycled_pid_is_left_alone() {
        let mut child = Command::new("sleep").arg("60").process_group(0).spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let started = start_time(pid).unwrap();
        kill_recorded(pid, started + 1);
        assert!(is_same(pid, started), "killed under a wrong start time");
        kill_recorded(pid, started);
        child.wait().unwrap();
        assert!(!is_same(pid, started));
    }

    #[test]
    fn a_process_ends_with_its_run_and_says_how_it_ended() {
        let run = Run::temporary("test-process").unwrap();
        let sleep = Program::new("sleep", "sleep").argument("60").start(&run).unwrap();
        let broken =
            Program::new("broken", "sh").arguments(["-c", "echo no such luck; exit 3"]).start(&run).unwrap();
        while broken.is_running() {
            std::thread::yield_now();
        }
        let error = broken.ensure_running().unwrap_err().to_string();
        assert!(error.contains("no such luck") && error.contains("exit status: 3"), "{error}");
        // The shell's child has the marker, but nobody wrote its pid down.
        let nested = Program::new("nested", "sh").arguments(["-c", "sleep 60 & wait"]).start(&run).unwrap();
        let path = run.path().to_owned();
        while marked(&path).len() < 3 {
            std::thread::yield_now();
        }
        assert!(nested.is_running());
        run.end().unwrap();
        assert!(!sleep.is_running());
        assert!(marked(&path).is_empty());
        assert!(!path.exists());
    }
}
