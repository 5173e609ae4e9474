//! containerd, the container runtime of the node.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use nix::sys::statfs::{OVERLAYFS_SUPER_MAGIC, statfs};
use serde_json::json;

use super::command::Short;
use super::layout::{Layout, POD_RANGE};
use super::namespace::Room;
use crate::image::catalog;
use crate::process::Process;
use crate::wait::{Look, until};

/// As the node sees it; on the host it is in the scratch directory.
pub const SOCKET: &str = "/run/containerd/containerd.sock";
/// Namespace of containerd (not of the kernel) that kubelet uses.
const KUBERNETES: &str = "k8s.io";
const START_LIMIT: Duration = Duration::from_secs(20);
/// The MySQL image takes two to three seconds on a quiet machine.
const IMPORT_LIMIT: Duration = Duration::from_mins(2);

/// Writes containerd's configuration and the one of the Pod network; returns the path of the first.
/// `plugins` is the folder of the CNI plugins.
pub fn configure(layout: &Layout, plugins: &Path) -> Result<PathBuf> {
    let networks = layout.file("cni");
    fs::create_dir_all(&networks).with_context(|| format!("cannot create {}", networks.display()))?;
    write(&networks.join("10-pods.conflist"), &pod_network().to_string())?;
    let path = layout.file("containerd.toml");
    write(&path, &configuration(&networks, plugins, snapshotter(layout)?))?;
    Ok(path)
}

/// Understood by containerd 1.6 to 2.x; tried with 1.6.20, 1.7.24 and 2.1.9.
fn configuration(networks: &Path, plugins: &Path, snapshotter: &str) -> String {
    let sandbox = catalog::PAUSE;
    let (networks, plugins) = (networks.display(), plugins.display());
    // restrict_oom_score_adj: without CAP_SYS_RESOURCE, even as root, runc dies with "can't get final child's PID".
    format!(
        r#"version = 2
[grpc]
  address = "{SOCKET}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{sandbox}"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "{snapshotter}"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{plugins}"
    conf_dir = "{networks}"
"#
    )
}

fn pod_network() -> serde_json::Value {
    json!({
        "cniVersion": "1.0.0", "name": "pods",
        "plugins": [
            {
                "type": "bridge", "bridge": "cni0", "isGateway": true, "hairpinMode": true, "ipMasq": false,
                "ipam": {
                    "type": "host-local", "ranges": [[{"subnet": POD_RANGE}]], "routes": [{"dst": "0.0.0.0/0"}]
                }
            },
            {"type": "portmap", "capabilities": {"portMappings": true}}
        ]
    })
}

/// overlayfs does not stack on itself: inside another container whole copies are made instead.
fn snapshotter(layout: &Layout) -> Result<&'static str> {
    let found = statfs(&layout.directory)
        .with_context(|| format!("cannot tell the file system of {}", layout.directory.display()))?;
    Ok(if found.filesystem_type() == OVERLAYFS_SUPER_MAGIC { "native" } else { "overlayfs" })
}

/// containerd's client, in the node's mount namespace.
#[derive(Clone, Copy, Debug)]
pub struct Client<'a> {
    /// Has the node's mounts.
    pub inside: &'a Room,
    /// The program `ctr`.
    pub ctr: &'a Path,
}

impl Client<'_> {
    /// Waits until containerd answers.
    pub async fn wait_ready(self, process: &Process) -> Result<()> {
        until("containerd", START_LIMIT, Duration::from_millis(20), async || {
            process.ensure_running()?;
            let command = self.command(&["version"]);
            Ok(Look::from_result(self.inside.enter(|| command.output()).await))
        })
        .await
        .map(drop)
    }

    /// Loads an image archive, so that Pods can run it.
    pub async fn import(self, archive: &Path) -> Result<()> {
        let archive = archive.to_str().context("the path of an image is not text")?;
        let command = self.command(&["images", "import", archive]).limit(IMPORT_LIMIT);
        self.inside
            .enter(|| command.output())
            .await
            .with_context(|| format!("cannot load image {archive}"))?;
        Ok(())
    }

    fn command(self, arguments: &[&str]) -> Short {
        let fixed = ["--address", SOCKET, "--namespace", KUBERNETES];
        Short::new(self.ctr, fixed.iter().chain(arguments))
    }
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}
