//! Network and mount namespaces, and a tokio runtime whose every thread lives in them.
//!
//! `ip netns exec` is never used: it mounts a fresh `/sys`, which hides `/sys/fs/cgroup` from containerd and kubelet.

use std::fs::{self, File};
use std::future::Future;
use std::os::linux::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, setns, unshare};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio_util::sync::CancellationToken;

/// Where named network namespaces live (`ip netns` looks here too).
const NAMED: &str = "/run/netns";
/// The namespaces of the calling thread. `/proc/self` would be those of the process's first thread.
const OWN_NETWORK: &str = "/proc/thread-self/ns/net";
const OWN_MOUNTS: &str = "/proc/thread-self/ns/mnt";

/// The path of a named network namespace: `/run/netns/NAME`.
pub fn network_path(name: &str) -> PathBuf {
    Path::new(NAMED).join(name)
}

/// Makes a network namespace that outlives this process, under [`network_path`].
///
/// Fails when the name is taken, or without root.
pub fn create_network(name: &str) -> Result<()> {
    let path = network_path(name);
    fs::create_dir_all(NAMED).with_context(|| format!("cannot create {NAMED} (the full node needs root)"))?;
    File::create_new(&path)
        .with_context(|| format!("cannot create {} (is a lab of this name up already?)", path.display()))?;
    let target = path.clone();
    on_new_thread(move || {
        unshare(CloneFlags::CLONE_NEWNET).context("cannot make a network namespace (needs root)")?;
        bind(Path::new(OWN_NETWORK), &target)
    })
    .inspect_err(|_| drop(fs::remove_file(&path)))
}

/// Removes the name of a network namespace; the kernel frees it with its last process. Already gone is fine.
pub fn remove_network(name: &str) -> Result<()> {
    let path = network_path(name);
    // More than one mount can be stacked here after a crash between the two calls of `create_network`.
    while umount2(&path, MntFlags::MNT_DETACH).is_ok() {}
    match fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

/// The number that `/proc/PID/ns/net` shows for this network namespace; `None` when there is none of this name.
pub fn network_inode(name: &str) -> Option<u64> {
    let inode = fs::metadata(network_path(name)).ok()?.st_ino();
    // A file without a namespace mounted on it (a crash between the two) is on the file system of /run.
    let on_nsfs = fs::metadata(OWN_NETWORK).ok()?.st_dev() == fs::metadata(network_path(name)).ok()?.st_dev();
    on_nsfs.then_some(inode)
}

/// Makes a private mount namespace, runs `arrange` in it, and returns it. It lives as long as the file or a process in it.
///
/// Everything mounted in it (by us, containerd, kubelet and the CNI plugins) vanishes with its last process.
pub fn create_mounts(arrange: impl FnOnce() -> Result<()> + Send + 'static) -> Result<File> {
    on_new_thread(move || {
        unshare(CloneFlags::CLONE_NEWNS).context("cannot make a mount namespace (needs root)")?;
        let all = MsFlags::MS_REC;
        remount(all | MsFlags::MS_PRIVATE)?;
        arrange()?;
        // Volumes with mountPropagation need it; only this namespace shares it.
        remount(all | MsFlags::MS_SHARED)?;
        File::open(OWN_MOUNTS).with_context(|| format!("cannot open {OWN_MOUNTS}"))
    })
}

/// Bind-mounts `source` on `target`, which must exist.
pub fn bind(source: &Path, target: &Path) -> Result<()> {
    mount(Some(source), target, None::<&str>, MsFlags::MS_BIND, None::<&str>)
        .with_context(|| format!("cannot mount {} on {}", source.display(), target.display()))
}

/// Mounts an empty tmpfs on `target`, which must exist.
pub fn empty(target: &Path) -> Result<()> {
    mount(Some("tmpfs"), target, Some("tmpfs"), MsFlags::empty(), Some("mode=755"))
        .with_context(|| format!("cannot mount a tmpfs on {}", target.display()))
}

fn remount(flags: MsFlags) -> Result<()> {
    mount(None::<&str>, "/", None::<&str>, flags, None::<&str>).context("cannot change mount propagation")
}

/// A namespace change belongs to a thread: one that is thrown away afterwards.
fn on_new_thread<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let thread =
        thread::Builder::new().name("namespace".into()).spawn(work).context("cannot start a thread")?;
    thread.join().map_err(|_| anyhow!("a namespace thread panicked"))?
}

/// A tokio runtime whose threads, and so its sockets and its child processes, are in a network namespace
/// (and a mount namespace, where given).
#[derive(Debug)]
pub struct Room {
    name: String,
    /// `None` only while being dropped.
    runtime: Option<Runtime>,
}

impl Room {
    /// Enters the named network namespace with `threads` worker threads, and `mounts` too where given.
    pub fn open(name: &str, mounts: Option<File>, threads: usize) -> Result<Self> {
        let path = network_path(name);
        let network = File::open(&path)
            .with_context(|| format!("no network namespace {} (is the lab up?)", path.display()))?;
        let doors = Arc::new((network, mounts));
        let runtime = Builder::new_multi_thread()
            .worker_threads(threads)
            .thread_name(name)
            // Also the pool for blocking work: it grows from whichever thread asks.
            .on_thread_start(move || {
                // A failure shows in the check below; a hook cannot return one.
                if let (network, Some(mounts)) = &*doors {
                    let _ =
                        unshare(CloneFlags::CLONE_FS).and_then(|()| setns(mounts, CloneFlags::CLONE_NEWNS));
                    let _ = setns(network, CloneFlags::CLONE_NEWNET);
                } else {
                    let _ = setns(&doors.0, CloneFlags::CLONE_NEWNET);
                }
            })
            .enable_all()
            .build()
            .context("cannot start a runtime")?;
        let room = Self { name: name.to_owned(), runtime: Some(runtime) };
        room.check()?;
        Ok(room)
    }

    /// A worker that stayed outside would talk to the host's network: refuse to work at all.
    fn check(&self) -> Result<()> {
        let expected = network_inode(&self.name);
        let (send, receive) = std::sync::mpsc::channel();
        self.handle()?.spawn(async move {
            let _ = send.send(fs::metadata(OWN_NETWORK).map(|metadata| metadata.st_ino()).ok());
        });
        let seen =
            receive.recv_timeout(Duration::from_secs(5)).context("the namespace's runtime does not run")?;
        if expected.is_none() || seen != expected {
            bail!("cannot enter network namespace {} (needs root)", self.name);
        }
        Ok(())
    }

    /// The runtime's handle: what is spawned on it runs inside.
    pub fn handle(&self) -> Result<&Handle> {
        Ok(self.runtime.as_ref().context("the namespace's runtime has ended")?.handle())
    }

    /// Runs what `work` makes inside and returns its result. Only `work` itself crosses threads, so its future need not be
    /// `Send`. Dropping the returned future ends the work at its next await.
    pub async fn enter<T, W, F>(&self, work: W) -> Result<T>
    where
        T: Send + 'static,
        W: FnOnce() -> F + Send + 'static,
        F: Future<Output = Result<T>>,
    {
        let handle = self.handle()?.clone();
        let cancel = CancellationToken::new();
        let _cancel_on_drop = cancel.clone().drop_guard();
        let task = self.handle()?.spawn_blocking(move || {
            handle.block_on(async move {
                tokio::select! {
                    result = work() => result,
                    () = cancel.cancelled() => bail!("work in a network namespace was cancelled"),
                }
            })
        });
        match task.await {
            Ok(result) => result,
            Err(error) => match error.try_into_panic() {
                // An assertion in a test must fail that test.
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => bail!("the runtime in network namespace {} has ended", self.name),
            },
        }
    }
}

impl Drop for Room {
    /// Blocks until the work inside has ended, two seconds at most: what it holds must not outlive the room.
    fn drop(&mut self) {
        let Some(runtime) = self.runtime.take() else { return };
        // On a thread of its own: a runtime refuses to be ended from inside another one's task.
        let ending = thread::spawn(move || runtime.shutdown_timeout(Duration::from_secs(2)));
        if ending.join().is_err() {
            tracing::warn!("the runtime of network namespace {} did not end well", self.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Namespaces need root; without it there is nothing to test here.
    fn root() -> bool {
        nix::unistd::geteuid().is_root()
    }

    #[test]
    fn a_room_sees_only_its_own_network() {
        if !root() {
            return;
        }
        let name = format!("lab-test-{}", std::process::id());
        create_network(&name).unwrap();
        assert!(create_network(&name).unwrap_err().to_string().contains("up already"));
        let room = Room::open(&name, None, 1).unwrap();
        let links = Runtime::new().unwrap().block_on(room.enter(async || {
            let output = tokio::process::Command::new("ip").args(["-o", "link"]).output().await?;
            Ok(String::from_utf8(output.stdout)?)
        }));
        drop(room);
        remove_network(&name).unwrap();
        remove_network(&name).unwrap();
        assert!(network_inode(&name).is_none());
        let links = links.unwrap();
        assert!(links.contains("lo:") && !links.contains("eth0"), "{links}");
    }
}
