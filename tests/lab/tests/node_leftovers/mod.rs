//! What a node could leave on the host, and a look at whether it did.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};

/// Fixed paths of containerd, kubelet and the CNI plugins.
const PATHS: [&str; 6] = [
    "/run/containerd",
    "/var/lib/cni",
    "/var/lib/containerd",
    "/var/lib/kubelet",
    "/var/log/containers",
    "/var/log/pods",
];
/// Settings that kubelet would change.
const SETTINGS: [&str; 5] = [
    "vm/overcommit_memory",
    "vm/panic_on_oom",
    "kernel/panic",
    "kernel/panic_on_oops",
    "kernel/keys/root_maxkeys",
];

/// The host as it was before.
#[derive(Debug)]
pub struct Host {
    settings: BTreeMap<&'static str, String>,
    paths: Vec<&'static str>,
}

impl Host {
    /// Looks at the host.
    pub fn look() -> Result<Self> {
        let settings = SETTINGS.iter().map(|key| Ok((*key, fs::read_to_string(format!("/proc/sys/{key}"))?)));
        let paths = PATHS.iter().copied().filter(|path| Path::new(path).exists()).collect();
        Ok(Self { settings: settings.collect::<Result<_>>()?, paths })
    }

    /// That the host is as before, as far as the run of this name goes: others may run meanwhile.
    pub fn nothing_left_of(&self, run: &str) -> Result<()> {
        let now = Self::look()?;
        ensure!(now.settings == self.settings, "settings changed: {now:?}, were {self:?}");
        let mut new = now.paths;
        // Where another lab's node is mounted, that one removes the directory.
        new.retain(|path| !self.paths.contains(path) && !is_mounted(path));
        ensure!(new.is_empty(), "paths stayed: {new:?}");
        let mounts = fs::read_to_string("/proc/self/mounts")?;
        ensure!(!mounts.contains(run), "mounts stayed: {mounts}");
        for entry in fs::read_dir("/run/netns").into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            ensure!(!name.contains(run) && !name.starts_with("cni-"), "network namespace {name} stayed");
        }
        let mut groups = Vec::new();
        control_groups(Path::new("/sys/fs/cgroup"), &mut groups);
        groups.retain(|group| group.to_string_lossy().contains(run));
        ensure!(groups.is_empty(), "control groups stayed: {groups:?}");
        let processes = processes_of(run);
        ensure!(processes.is_empty(), "processes stayed: {processes:?}");
        let folder = lab::run::lab_directory().join("run").join(run);
        ensure!(!folder.exists(), "{} stayed", folder.display());
        Ok(())
    }
}

/// Whether any process sees a mount there.
fn is_mounted(path: &str) -> bool {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    processes
        .map(|process| fs::read_to_string(process.path().join("mountinfo")).unwrap_or_default())
        .any(|mounts| mounts.contains(&format!(" {path} ")))
}

fn control_groups(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.push(entry.path());
            control_groups(&entry.path(), found);
        }
    }
}

/// Processes that mention the run in their command, environment or control groups.
fn processes_of(run: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let process = entry.path();
        let is_self = entry.file_name().to_string_lossy() == std::process::id().to_string();
        if is_self || fs::read_link(process.join("exe")).is_err() {
            // Kernel threads and zombies have no program.
            continue;
        }
        let texts =
            ["cmdline", "environ", "cgroup"].map(|file| fs::read(process.join(file)).unwrap_or_default());
        if texts.iter().any(|text| String::from_utf8_lossy(text).contains(run)) {
            let command = texts.first().map(|text| String::from_utf8_lossy(text).replace('\0', " "));
            found.push(format!("{}: {}", process.display(), command.unwrap_or_default()));
        }
    }
    found
}
