//! The node's private view of the file system.
//!
//! containerd, kubelet and the CNI plugins write to fixed paths of the host (`/var/lib/kubelet`, `/run/containerd`, …) and
//! kubelet changes sysctls of the whole machine. In a mount namespace of its own the node gets its scratch directory
//! at those paths and plain files in place of those sysctls, so the host keeps neither files nor mounts nor settings.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

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

/// Fixed paths that do not exist yet: they have to be made to be mounted on, and removed in the end.
pub fn missing_paths() -> Vec<PathBuf> {
    FIXED_PATHS.iter().map(PathBuf::from).filter(|path| !path.exists()).collect()
}

/// Makes the mount namespace. Nothing of it is visible on the host but empty directories at [`missing_paths`].
pub fn create(layout: &Layout) -> Result<File> {
    let backing = layout.file("host");
    let mut mounts = Vec::new();
    for path in FIXED_PATHS {
        let source = below(&backing, path);
        make_directory(&source)?;
        make_directory(Path::new(path))?;
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

/// `path` moved below `base`.
fn below(base: &Path, path: &str) -> PathBuf {
    base.join(path.trim_start_matches('/'))
}

fn make_directory(path: &Path) -> Result<()> {
    fs::create_dir_all(path).with_context(|| format!("cannot create {}", path.display()))
}
