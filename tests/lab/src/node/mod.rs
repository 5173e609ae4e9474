//! The full tier: a Kubernetes node with real Pods, Services, probes and names, in namespaces of its own.
//!
//! Everything runs in one network namespace without a way out, and what writes to fixed paths of the host also in a mount
//! namespace ([`private`]). So little is left to clean up: processes, the namespaces' names and one control group per hierarchy.

pub mod access;
mod cgroup;
mod command;
mod containerd;
mod dns;
mod kubelet;
mod layout;
pub mod namespace;
mod network;
mod private;
mod progress;
mod proxy;
mod second;
mod servers;
mod teardown;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

pub use access::{ClusterAccess, KUBECONFIG_VARIABLE};
pub use layout::{NODE_ADDRESS, NODE_NAME, SECOND_ADDRESS, SECOND_NAME};
pub use progress::Progress;
pub use teardown::clean_up;

use crate::control_plane::{self, ControlPlane};
use crate::image::catalog;
use crate::process::Process;
use crate::run::Run;
use crate::tools::{self, NodeBinaries};
use crate::wait::{Look, until};
use command::Short;
use layout::Layout;
use namespace::Room;
use second::{Needs, Second};
use servers::{KUBE_PROXY, Servers, node_ready, wait_for_proxy};

/// Threads for work inside the node's network namespace: clients of the demo and the benchmark run there.
const THREADS: usize = 4;
const READY_LIMIT: Duration = Duration::from_mins(1);

/// What a node is made of.
#[derive(Clone, Debug)]
pub struct Options {
    /// The programs of Kubernetes and of the distribution.
    pub binaries: NodeBinaries,
    /// `coredns`.
    pub coredns: PathBuf,
    /// `helm`.
    pub helm: PathBuf,
    /// Image archives to load beside `pause` and `busybox`; see [`crate::image::catalog`].
    pub images: Vec<PathBuf>,
    /// Whether there is a second node with a kube-proxy for clients.
    pub second: bool,
}

/// A running node. Dropping it ends everything, unless its run is kept.
#[derive(Debug)]
pub struct Node {
    // Dropped from the top: processes before the rooms they are in, the run last.
    second: Option<Second>,
    servers: Vec<Process>,
    containerd: Process,
    control_plane: Arc<ControlPlane>,
    inside: Room,
    options: Options,
    access: ClusterAccess,
    layout: Layout,
    run: Arc<Run>,
}

impl Options {
    /// A node of what is installed, with these image archives.
    ///
    /// # Errors
    /// Which program is missing and how to install it.
    pub fn installed(images: Vec<PathBuf>, second: bool) -> Result<Self> {
        let (binaries, coredns, helm) = (tools::find_node()?, tools::find_coredns()?, tools::find_helm()?);
        Ok(Self { binaries, coredns, helm, images, second })
    }
}

impl Node {
    /// Brings the node up until it is Ready and answers for names: 5 to 10 s, needs root.
    ///
    /// What a start that fails or is dropped half-way has made is ended with `run`.
    pub async fn start(run: Run, options: Options) -> Result<Self> {
        ensure!(
            nix::unistd::geteuid().is_root(),
            "a node needs root: it makes namespaces, mounts and containers (the small tier does not)"
        );
        let progress = Progress::start();
        let run = Arc::new(run);
        let layout = Layout::new(run.path())?;
        teardown::claim(&layout)?;
        let network = layout.network();
        namespace::create_network(&network)?;
        cgroup::create(&layout.cgroup())?;
        let mounts = private::create(&layout)?;
        let room = Arc::new(Room::open(&network, None, THREADS)?);
        let inside = Room::open(&network, Some(mounts.try_clone().context("keep the mount namespace")?), 1)?;
        network::arrange_node(&room).await?;
        progress.done("network and mounts arranged");

        let servers = Servers { run: &run, layout: &layout, options: &options, mounts: &mounts };
        let containerd = servers.containerd()?;
        let (control_plane, ()) = tokio::try_join!(
            start_control_plane(&run, &options, &room, &progress),
            load_images(&layout, &options, &inside, &containerd, &progress)
        )?;
        let started = servers.start(&control_plane)?;
        let access = ClusterAccess::inside(
            Arc::clone(&room),
            control_plane.admin_kubeconfig(),
            &options.binaries.control_plane.kubectl,
            &options.helm,
        );
        let mut node = Self {
            second: None,
            servers: started,
            containerd,
            control_plane,
            inside,
            options: options.clone(),
            access,
            layout: layout.clone(),
            run: Arc::clone(&run),
        };
        node.wait_ready(&room, &progress).await?;
        progress.done("addresses and names of Services work");
        if options.second {
            let needs = Needs {
                run: &run,
                layout: &layout,
                first: &room,
                control_plane: &node.control_plane,
                kube_proxy: &options.binaries.kube_proxy,
            };
            node.second = Some(Second::start(needs).await.context("cannot start the second node")?);
            progress.done("second node's kube-proxy is ready");
        }
        Ok(node)
    }

    /// How to talk to it.
    pub fn access(&self) -> &ClusterAccess {
        &self.access
    }

    /// The servers of its control plane, for faults.
    pub fn control_plane(&self) -> &ControlPlane {
        &self.control_plane
    }

    /// Runs `work` in the node's network namespace; see [`ClusterAccess::enter`].
    pub async fn enter<T, W, F>(&self, work: W) -> Result<T>
    where
        T: Send + 'static,
        W: FnOnce() -> F + Send + 'static,
        F: Future<Output = Result<T>>,
    {
        self.access.enter(work).await
    }

    /// Runs `work` on the second node, behind its own kube-proxy.
    pub async fn enter_second<T, W, F>(&self, work: W) -> Result<T>
    where
        T: Send + 'static,
        W: FnOnce() -> F + Send + 'static,
        F: Future<Output = Result<T>>,
    {
        let second = self.second.as_ref().context("this node was started without a second one")?;
        second.room.enter(work).await
    }

    /// As [`Self::access`], from the second node.
    pub fn second_access(&self) -> Result<ClusterAccess> {
        let second = self.second.as_ref().context("this node was started without a second one")?;
        let binaries = &self.options.binaries.control_plane;
        let room = Arc::clone(&second.room);
        Ok(ClusterAccess::inside(room, self.access.kubeconfig(), &binaries.kubectl, &self.options.helm))
    }

    /// Loads one more image archive.
    pub async fn load_image(&self, archive: &Path) -> Result<()> {
        containerd::Client { inside: &self.inside, ctr: &self.options.binaries.ctr }.import(archive).await
    }

    /// One line for a shell that runs kubectl on the node.
    pub fn how_to_enter(&self) -> String {
        format!(
            "nsenter --net={} env KUBECONFIG={} {} get pods --all-namespaces",
            namespace::network_path(&self.layout.network()).display(),
            self.access.kubeconfig().display(),
            self.options.binaries.control_plane.kubectl.display()
        )
    }

    /// Sends a signal to every process of a Pod's containers, from outside: inside, their first process cannot be killed or
    /// stopped.
    ///
    /// SIGKILL is a crash (kubelet starts the containers again), SIGSTOP a hang that ends with SIGCONT.
    ///
    /// # Errors
    /// That there is no such Pod, or none of its containers runs.
    pub async fn signal_pod(&self, namespace: &str, pod: &str, signal: Signal) -> Result<()> {
        let identifiers = "--output=jsonpath={.status.containerStatuses[*].containerID}";
        let identifiers =
            self.access.kubectl(["get", "pod", "--namespace", namespace, pod, identifiers]).await?;
        let mut processes = BTreeSet::new();
        // "containerd://ID …", and ID is also the name of the container's control group.
        for identifier in identifiers.split_whitespace().filter_map(|word| word.rsplit('/').next()) {
            processes.extend(cgroup::processes_of(&self.layout.cgroup(), identifier)?);
        }
        ensure!(!processes.is_empty(), "no container of Pod {pod} runs");
        for process in processes {
            match kill(Pid::from_raw(process), signal) {
                Ok(()) | Err(Errno::ESRCH) => {}
                Err(error) => bail!("cannot send {signal} to process {process} of Pod {pod}: {error}"),
            }
        }
        Ok(())
    }

    /// Leaves the node up when this value is dropped and this process ends, until `lab down`; see [`Run::keep`].
    pub fn keep(&self) -> Result<()> {
        self.run.keep()
    }

    /// Ends the node and its run, kept or not, and reports what could not be ended.
    pub async fn end(self) -> Result<()> {
        tokio::task::spawn_blocking(move || {
            let Self {
                second,
                servers,
                containerd,
                control_plane,
                inside,
                access,
                options: _,
                layout: _,
                run,
            } = self;
            drop((second, servers, containerd, control_plane, inside, access));
            run.end()
        })
        .await
        .map_err(|error| anyhow!("ending the node failed: {error}"))?
    }

    async fn wait_ready(&self, room: &Room, progress: &Progress) -> Result<()> {
        let control_plane = Arc::clone(&self.control_plane);
        let manifest = dns::manifest();
        let client = room
            .enter(async move || {
                let client = control_plane.client().await?;
                control_plane::apply(&client, &manifest, None).await?;
                Ok(client)
            })
            .await
            .context("cannot make the Service of the name server")?;
        until("node Ready", READY_LIMIT, Duration::from_millis(50), async || {
            for server in &self.servers {
                server.ensure_running()?;
            }
            self.containerd.ensure_running()?;
            let client = client.clone();
            room.enter(move || node_ready(client)).await
        })
        .await?;
        progress.done("node is Ready");
        let proxy =
            self.servers.iter().find(|server| server.name() == KUBE_PROXY).context("no kube-proxy")?;
        wait_for_proxy(room, proxy).await?;
        until("names of Services", READY_LIMIT, Duration::from_millis(100), async || {
            let address = layout::DNS_SERVICE.to_string();
            let query = Short::new("busybox", ["nslookup", "kubernetes.default.svc.cluster.local", &address])
                // A packet sent before the rules are there is lost, and busybox waits seconds before it sends another.
                .limit(Duration::from_millis(300));
            Ok(Look::from_result(room.enter(|| query.output()).await))
        })
        .await
        .map(drop)
    }
}

async fn start_control_plane(
    run: &Arc<Run>,
    options: &Options,
    room: &Room,
    progress: &Progress,
) -> Result<Arc<ControlPlane>> {
    let address = IpAddr::V4(NODE_ADDRESS);
    let network_namespace = Some(namespace::network_path(&Layout::new(run.path())?.network()));
    let control_plane_options = control_plane::Options { address, network_namespace, nodes: true };
    let run = Arc::clone(run);
    let binaries = options.binaries.control_plane.clone();
    let started =
        room.enter(async move || ControlPlane::start(&run, &binaries, control_plane_options).await).await?;
    progress.done("control plane is ready");
    Ok(Arc::new(started))
}

async fn load_images(
    layout: &Layout,
    options: &Options,
    inside: &Room,
    containerd: &Process,
    progress: &Progress,
) -> Result<()> {
    let folder = layout.file("images");
    let mut archives = Vec::new();
    let busybox = &options.binaries.busybox;
    for (image, name) in
        [(catalog::pause(busybox), catalog::PAUSE), (catalog::busybox(busybox)?, catalog::BUSYBOX)]
    {
        let archive = folder.join(format!("{}.tar", name.replace(['/', ':'], "-")));
        image.write(name, &archive)?;
        archives.push(archive);
    }
    archives.extend(options.images.iter().cloned());
    let client = containerd::Client { inside, ctr: &options.binaries.ctr };
    client.wait_ready(containerd).await?;
    for archive in archives {
        client.import(&archive).await?;
    }
    progress.done("images are loaded");
    Ok(())
}
