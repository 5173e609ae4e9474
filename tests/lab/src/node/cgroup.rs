//! The node's own control groups: one folder per hierarchy, so that ending the node never touches anybody else's.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

const REMOVE_LIMIT: Duration = Duration::from_secs(10);

/// What all Pods together weigh against the node's own services when CPUs are short, with version 1 and with version 2. On a
/// real node the Pods have 1024 shares for each CPU, and the services share 1024 in one group. Here each thread of a service
/// stands beside the Pods' group and weighs 1024 alone: a control plane and two kube-proxies that have something to do would
/// leave the Pods next to nothing.
const POD_WEIGHT: [(&str, &str); 2] = [("cpu.shares", "16384"), ("cpu.weight", "625")];

/// The mount points of all control group hierarchies: several with version 1, one with version 2.
fn hierarchies() -> Result<Vec<PathBuf>> {
    let mounts = fs::read_to_string("/proc/self/mounts").context("cannot read /proc/self/mounts")?;
    let found = parse(&mounts);
    if found.is_empty() {
        bail!("no control groups are mounted below /sys/fs/cgroup; kubelet cannot run Pods without them");
    }
    Ok(found)
}

fn parse(mounts: &str) -> Vec<PathBuf> {
    mounts
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(' ');
            let (_, point, kind) = (fields.next()?, fields.next()?, fields.next()?);
            matches!(kind, "cgroup" | "cgroup2").then(|| PathBuf::from(point))
        })
        .collect()
}

/// Makes the folder `name` in every hierarchy. Idempotent.
pub fn create(name: &str) -> Result<()> {
    for hierarchy in hierarchies()? {
        let group = hierarchy.join(name);
        match fs::create_dir(&group) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                return Err(error).with_context(|| {
                    format!(
                        "cannot create {} (the full node needs root and writable control groups)",
                        group.display()
                    )
                });
            }
            _ => {}
        }
        // A version 1 cpuset without processors and memory refuses every process.
        for file in ["cpuset.cpus", "cpuset.mems"] {
            if let Ok(value) = fs::read(hierarchy.join(file)) {
                fs::write(group.join(file), value)
                    .with_context(|| format!("cannot write {}", group.join(file).display()))?;
            }
        }
        // Version 2 passes controllers down only when told; what is missing here is not offered to us at all.
        for controller in ["cpu", "cpuset", "io", "memory", "pids"] {
            let _ = fs::write(hierarchy.join("cgroup.subtree_control"), format!("+{controller}"));
        }
        for (file, weight) in POD_WEIGHT {
            if group.join(file).exists() {
                fs::write(group.join(file), weight)
                    .with_context(|| format!("cannot write {}", group.join(file).display()))?;
            }
        }
    }
    Ok(())
}

/// All processes in the group `name` and below it, in any hierarchy.
pub fn processes(name: &str) -> Result<BTreeSet<i32>> {
    processes_where(name, |_| true)
}

/// The processes of the group `name` that are in a group called `inner` below it, or further down.
pub fn processes_of(name: &str, inner: &str) -> Result<BTreeSet<i32>> {
    processes_where(name, |group| group.iter().any(|part| part == inner))
}

fn processes_where(name: &str, wanted: impl Fn(&Path) -> bool) -> Result<BTreeSet<i32>> {
    let mut found = BTreeSet::new();
    for hierarchy in hierarchies()? {
        walk(&hierarchy.join(name), &mut |group| {
            if !wanted(group) {
                return;
            }
            // A group can vanish while we look.
            let listed = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
            found.extend(listed.lines().filter_map(|line| line.parse::<i32>().ok()));
        });
    }
    Ok(found)
}

/// Removes the group `name` and everything below it, in every hierarchy. Already gone is fine.
///
/// Blocks up to ten seconds: a killed process leaves its groups only when the kernel is done with it.
pub fn remove(name: &str) -> Result<()> {
    let deadline = Instant::now() + REMOVE_LIMIT;
    for hierarchy in hierarchies()? {
        while let Some((group, error)) = remove_once(&hierarchy.join(name)) {
            if error.kind() != ErrorKind::ResourceBusy || Instant::now() > deadline {
                return Err(error)
                    .with_context(|| format!("cannot remove control group {}", group.display()));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
    Ok(())
}

/// The last failure, if any.
fn remove_once(group: &Path) -> Option<(PathBuf, std::io::Error)> {
    let mut failed = None;
    walk(group, &mut |group| match fs::remove_dir(group) {
        Err(error) if error.kind() != ErrorKind::NotFound => failed = Some((group.to_owned(), error)),
        _ => {}
    });
    failed
}

/// Whether any hierarchy has a group `name`.
pub fn exists(name: &str) -> Result<bool> {
    Ok(hierarchies()?.iter().any(|hierarchy| hierarchy.join(name).exists()))
}

/// Calls `visit` for `group` and all below it, children first.
fn walk(group: &Path, visit: &mut dyn FnMut(&Path)) {
    let Ok(entries) = fs::read_dir(group) else { return };
    for entry in entries.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            walk(&entry.path(), visit);
        }
    }
    visit(group);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_both_versions() {
        let mounts = "tmpfs /sys/fs/cgroup tmpfs rw 0 0\ncgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\n\
                      cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\nproc /proc proc rw 0 0\n";
        assert_eq!(parse(mounts), [Path::new("/sys/fs/cgroup/cpu"), Path::new("/sys/fs/cgroup/unified")]);
    }
}
