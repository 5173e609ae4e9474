//! The node's private view of the file system.
//!
//! containerd, kubelet and the CNI plugins write to fixed paths of the host (`/var/lib/kubelet`, `/run/containerd`, …) and
//! kubelet changes sysctls of the whole machine. In a mount namespace of its own the node gets its scratch directory
//! at those paths and plain files in place of those sysctls, so the host keeps neither files nor mounts nor settings.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::layout::Layout;
use super::namespace;

/// Paths that programs of the node are hard-wired to.
const FIXED_PATHS: [&str; 6] = [
    "/run/containerd",
    "/var/lib/cni",
    "/var/lib/containerd",
    "/var/lib/kubelet",
    "/var/log/containers",
    "/var/log/pods",
];

/// What kubelet wants to find, and would write otherwise (`setupKernelTunables`).
const KERNEL_SETTINGS: [(&str, &str); 6] = [
    ("/proc/sys/vm/overcommit_memory", "1\n"),
    ("/proc/sys/vm/panic_on_oom", "0\n"),
    ("/proc/sys/kernel/panic", "10\n"),
    ("/proc/sys/kernel/panic_on_oops", "1\n"),
    ("/proc/sys/kernel/keys/root_maxkeys", "1000000\n"),
    ("/proc/sys/kernel/keys/root_maxbytes", "25000000\n"),
];

/// Tells, in a directory that had to be made to be mounted on, that a node made it. Out of sight for the node itself.
const MARKER: &str = ".made-for-mysql-takeover-lab";
const LOCK_LIMIT: Duration = Duration::from_secs(10);

/// Makes the mount namespace. Nothing of it is visible on the host but those of the fixed paths that had to be made:
/// empty directories, which [`remove_paths`] removes.
pub fn create(layout: &Layout) -> Result<File> {
    let _lock = lock()?;
    let backing = layout.file("host");
    let mut mounts = Vec::new();
    for path in FIXED_PATHS {
        let source = below(&backing, path);
        make_directory(&source)?;
        make_mount_point(Path::new(path))?;
        mounts.push((source, PathBuf::from(path)));
    }
    for (path, value) in KERNEL_SETTINGS {
        if !Path::new(path).exists() {
            continue;
        }
        let source = below(&backing, path);
        source.parent().map_or(Ok(()), make_directory)?;
        fs::write(&source, value).with_context(|| format!("cannot write {}", source.display()))?;
        mounts.push((source, PathBuf::from(path)));
    }
    namespace::create_mounts(move || {
        for (source, target) in &mounts {
            namespace::bind(source, target)?;
        }
        // Namespaces of Pods: bound by containerd, not to be seen (and not to be left) on the host.
        namespace::empty(Path::new("/run/netns"))
    })
}

/// Removes the directories that nodes made, unless another node is mounted there: removing one would take it away.
pub fn remove_paths() -> Result<()> {
    let _lock = lock()?;
    for path in FIXED_PATHS.map(Path::new) {
        let marker = path.join(MARKER);
        if marker.exists() && !mounted_anywhere(path) {
            fs::remove_file(&marker).with_context(|| format!("cannot remove {}", marker.display()))?;
            // Only while empty, so nothing of anybody else's can go.
            let _ = fs::remove_dir(path);
        }
    }
    Ok(())
}

/// Held while the fixed paths are looked at and changed: nodes of several labs come and go. The kernel releases it when the
/// holder dies, and a lock on a directory leaves no file.
fn lock() -> Result<File> {
    let directory = File::open("/var/lib").context("cannot open /var/lib")?;
    let begin = Instant::now();
    loop {
        match directory.try_lock() {
            Ok(()) => return Ok(directory),
            Err(TryLockError::Error(error)) => return Err(error).context("cannot lock /var/lib"),
            Err(TryLockError::WouldBlock) if begin.elapsed() > LOCK_LIMIT => {
                bail!(
                    "another lab holds the lock on /var/lib for over {} s; see /proc/locks",
                    LOCK_LIMIT.as_secs()
                )
            }
            Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(10)),
        }
    }
}

/// Whether any process sees a mount at `path`.
fn mounted_anywhere(path: &Path) -> bool {
    let Some(path) = path.to_str() else { return true };
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    processes
        .map(|process| fs::read_to_string(process.path().join("mountinfo")).unwrap_or_default())
        .any(|mounts| mounts.lines().any(|line| line.split(' ').nth(4) == Some(path)))
}

fn make_mount_point(path: &Path) -> Result<()> {
    if !path.exists() {
        make_directory(path)?;
        let marker = path.join(MARKER);
        fs::write(&marker, "").with_context(|| format!("cannot write {}", marker.display()))?;
    }
    Ok(())
}

/// `path` moved below `base`.
fn below(base: &Path, path: &str) -> PathBuf {
    base.join(path.trim_start_matches('/'))
}

fn make_directory(path: &Path) -> Result<()> {
    fs::create_dir_all(path).with_context(|| format!("cannot create {}", path.display()))
}
