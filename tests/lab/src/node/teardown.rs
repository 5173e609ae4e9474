//! Ends a node and leaves nothing, from what it recorded before it made anything: works after a crash, and twice.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::os::linux::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use super::layout::Layout;
use super::{cgroup, namespace, private};
use crate::process::{self, RUN_MARKER};
use crate::run::Leftover;

const RECORD: &str = "node.json";
/// Bound on the wait for killed processes; a big mysqld takes most of a second to free its memory.
const KILL_DEADLINE: Duration = Duration::from_secs(20);

/// What a node makes outside its own directory. Written first, so that whatever exists is recorded.
#[derive(Debug, Serialize, Deserialize)]
pub struct Record {
    networks: Vec<String>,
    cgroup: String,
}

impl Record {
    fn of(layout: &Layout) -> Self {
        Self { networks: vec![layout.second_network(), layout.network()], cgroup: layout.cgroup() }
    }

    fn read(run: &Path) -> Result<Option<Self>> {
        let path = run.join(RECORD);
        let text = match fs::read(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            read => read.with_context(|| format!("cannot read {}", path.display()))?,
        };
        // Written whole under another name first, so it is not half of a record.
        serde_json::from_slice(&text).map(Some).with_context(|| format!("{} is damaged", path.display()))
    }

    fn write(&self, layout: &Layout) -> Result<()> {
        let (path, partial) = (layout.file(RECORD), layout.file("node.json.partial"));
        fs::write(&partial, serde_json::to_vec_pretty(self)?)
            .and_then(|()| fs::rename(&partial, &path))
            .with_context(|| format!("cannot write {}", path.display()))
    }
}

/// Writes the record of a node that is about to be made, once its names are free.
///
/// # Errors
/// That a node of this name is up for another checkout. What is left of a checkout that was deleted is ended.
pub fn claim(layout: &Layout) -> Result<()> {
    let record = Record::of(layout);
    if record.networks.iter().any(|name| namespace::network_inode(name).is_some())
        || cgroup::exists(&record.cgroup)?
    {
        if let Some(run) = record.owner()? {
            bail!("a node of this name is up for {}; end it there first, with `lab down`", run.display());
        }
        record.end()?;
    }
    record.write(layout)
}

/// Ends the node of the run at `run`: processes, namespaces, control groups, directories. Blocks up to about 20 seconds.
///
/// Works from the record alone, so also after a crash. No node there (any more) is fine. The record goes last, so that a
/// clean-up which was cut short can be repeated.
pub fn clean_up(run: &Path, _: &[Leftover]) -> Result<()> {
    let Some(record) = Record::read(run)? else { return Ok(()) };
    record.end()?;
    for name in ["host", RECORD] {
        let path = run.join(name);
        let removed = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        match removed {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("cannot remove {}", path.display()));
            }
            _ => {}
        }
    }
    Ok(())
}

impl Record {
    fn end(&self) -> Result<()> {
        self.end_processes()?;
        for name in &self.networks {
            namespace::remove_network(name)?;
        }
        cgroup::remove(&self.cgroup)?;
        private::remove_paths()
    }

    /// The run that the processes of the node say they belong to, if it still exists.
    fn owner(&self) -> Result<Option<PathBuf>> {
        let mut owners = self.processes()?.into_iter().filter_map(marked_run);
        Ok(owners.find(|run| run.exists()))
    }

    /// Every process of the node: its servers and container shims, and shells that a user opened in its network, by their
    /// namespace; what runs in Pods by its control group.
    fn processes(&self) -> Result<BTreeSet<i32>> {
        let networks: BTreeSet<u64> =
            self.networks.iter().filter_map(|name| namespace::network_inode(name)).collect();
        let mut found = in_networks(&networks);
        found.extend(cgroup::processes(&self.cgroup)?);
        found.retain(|process| process::start_time(*process).is_some());
        Ok(found)
    }

    /// Kills until nothing is left: a fork that was under way shows up in the next round.
    fn end_processes(&self) -> Result<()> {
        let deadline = Instant::now() + KILL_DEADLINE;
        loop {
            let left = self.processes()?;
            if left.is_empty() {
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!(
                    "processes {left:?} of the node do not end, even after SIGKILL; /proc/PID/stack shows why"
                );
            }
            for process in left {
                // Servers are never asked politely: kube-apiserver takes a minute, and nothing here is kept.
                match kill(Pid::from_raw(process), Signal::SIGKILL) {
                    Ok(()) | Err(Errno::ESRCH) => {}
                    Err(error) => bail!("cannot kill process {process} of the node: {error}"),
                }
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Processes whose first thread is in one of these network namespaces: threads of this process that are inside do not count.
fn in_networks(networks: &BTreeSet<u64>) -> BTreeSet<i32> {
    processes()
        .filter(|process| {
            let namespace = fs::metadata(format!("/proc/{process}/ns/net"));
            namespace.is_ok_and(|metadata| networks.contains(&metadata.st_ino()))
        })
        .collect()
}

fn processes() -> impl Iterator<Item = i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// The run that a process was started for.
fn marked_run(process: i32) -> Option<PathBuf> {
    let environment = fs::read(format!("/proc/{process}/environ")).ok()?;
    let prefix = format!("{RUN_MARKER}=");
    let value =
        environment.split(|byte| *byte == 0).find_map(|entry| entry.strip_prefix(prefix.as_bytes()))?;
    Some(PathBuf::from(std::str::from_utf8(value).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_without_a_node_is_fine() {
        clean_up(Path::new("/nonexistent"), &[]).unwrap();
    }

    /// A node of the same name that another checkout has up is not touched; one whose checkout is gone is ended.
    #[test]
    fn names_are_shared_by_all_checkouts() {
        if !nix::unistd::geteuid().is_root() {
            return;
        }
        let base = std::env::temp_dir().join(format!("lab-claim-{}", std::process::id()));
        let name = format!("claim-{}", std::process::id());
        let (theirs, ours) = (base.join("theirs").join(&name), base.join("ours").join(&name));
        for run in [&theirs, &ours] {
            fs::create_dir_all(run).unwrap();
        }
        let layout = Layout::new(&theirs).unwrap();
        claim(&layout).unwrap();
        namespace::create_network(&layout.network()).unwrap();
        let mut server = std::process::Command::new("nsenter")
            .arg(format!("--net={}", namespace::network_path(&layout.network()).display()))
            .args(["sleep", "600"])
            .env(RUN_MARKER, &theirs)
            .spawn()
            .unwrap();
        let entered = Instant::now();
        while Record::of(&layout).processes().unwrap().is_empty() {
            assert!(entered.elapsed() < KILL_DEADLINE, "nsenter does not enter");
            std::thread::sleep(Duration::from_millis(5));
        }

        let ours = Layout::new(&ours).unwrap();
        let error = claim(&ours).unwrap_err().to_string();
        assert!(error.contains(&theirs.display().to_string()), "{error}");
        assert!(server.try_wait().unwrap().is_none());

        fs::remove_dir_all(&theirs).unwrap();
        claim(&ours).unwrap();
        assert!(!server.wait().unwrap().success());
        clean_up(&ours.directory, &[]).unwrap();
        clean_up(&ours.directory, &[]).unwrap();
        assert!(!namespace::network_path(&ours.network()).exists());
        fs::remove_dir_all(base).unwrap();
    }
}
