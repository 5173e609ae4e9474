//! etcd, kube-apiserver and kube-controller-manager on one address, with certificates and kubeconfigs of their own.

mod manifests;
mod servers;

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use serde_json::json;

use servers::{start_apiserver, start_controller_manager, start_etcd};

pub use manifests::{apply, documents};

use crate::pki::{self, Authority, IdentityFiles};
use crate::process::Process;
use crate::run::Run;
use crate::tools::ControlPlaneBinaries;
use crate::wait::{Look, until};

/// Port of the kube-apiserver.
pub const APISERVER_PORT: u16 = 6443;
/// The range of Service addresses.
pub const SERVICE_RANGE: &str = "10.96.0.0/16";
/// The address of Service `default/kubernetes`: the first of the range.
pub const KUBERNETES_SERVICE_ADDRESS: &str = "10.96.0.1";
/// The group whose members may do everything.
pub const ADMINISTRATORS: &str = "system:masters";

/// How long a server may take until it answers. On two busy cores 5 s were seen.
const START_LIMIT: Duration = Duration::from_mins(1);

/// How a control plane is started.
#[derive(Clone, Debug)]
#[must_use]
pub struct Options {
    /// Where all its servers listen. Loopback for the small tier, so every run has an address of its own and fixed ports.
    pub address: IpAddr,
    /// The network namespace to run in (`/run/netns/<name>`), with `address` in it and reachable from here.
    pub network_namespace: Option<PathBuf>,
    /// Whether Pods have kubelets behind them. Without, the controllers that watch over nodes stay off, or hand-made Pods
    /// would be marked not ready and evicted.
    pub nodes: bool,
}

/// A running control plane. Dropping it kills its processes, unless its run is kept.
#[derive(Debug)]
pub struct ControlPlane {
    run: Arc<Run>,
    binaries: ControlPlaneBinaries,
    options: Options,
    authority: Authority,
    folder: PathBuf,
    etcd: Process,
    apiserver: Mutex<Process>,
    controller_manager: Process,
    admin_kubeconfig: PathBuf,
}

impl ControlPlane {
    /// Starts the servers and waits until namespaces are usable: the API answers and the controller-manager has made the
    /// default `ServiceAccount`. About 3 s on two cores.
    pub async fn start(run: &Arc<Run>, binaries: &ControlPlaneBinaries, options: Options) -> Result<Self> {
        let folder = run.folder("control-plane")?;
        let authority = Authority::new("mysql-takeover-lab")?;
        write_files(&folder, &authority, options.address)?;
        let etcd = start_etcd(run, binaries, &options, &folder)?;
        let apiserver = start_apiserver(run, binaries, &options, &folder)?;
        let admin_kubeconfig =
            write_kubeconfig(&folder, &authority, options.address, "admin", Some(ADMINISTRATORS))?;
        wait_until_ready(&client(&admin_kubeconfig).await?, &etcd, &apiserver).await?;
        // An administrator's certificate: with one credential for all controllers the default ServiceAccount is there after
        // 0.5 s; with one service account each after 5 s.
        let manager = write_kubeconfig(
            &folder,
            &authority,
            options.address,
            "controller-manager",
            Some(ADMINISTRATORS),
        )?;
        let controller_manager = start_controller_manager(run, binaries, &options, &folder, &manager)?;
        let control_plane = Self {
            run: Arc::clone(run),
            binaries: binaries.clone(),
            options,
            authority,
            folder,
            etcd,
            apiserver: Mutex::new(apiserver),
            controller_manager,
            admin_kubeconfig,
        };
        control_plane.wait_for_service_account("default").await?;
        Ok(control_plane)
    }

    /// `https://<address>:6443`.
    pub fn url(&self) -> String {
        url(self.options.address)
    }

    /// The authority that signed all certificates of this control plane.
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// The authority's certificate, for kubelet's `clientCAFile` and the like.
    pub fn authority_certificate(&self) -> PathBuf {
        self.folder.join("ca.crt")
    }

    /// Kubeconfig of an administrator.
    pub fn admin_kubeconfig(&self) -> &Path {
        &self.admin_kubeconfig
    }

    /// Writes a kubeconfig for any user: a kubelet (`system:node:<node>`, `system:nodes`), `system:kube-scheduler`,
    /// `system:kube-proxy`, or a person with the rights that RBAC gives.
    pub fn kubeconfig(&self, user: &str, group: Option<&str>) -> Result<PathBuf> {
        write_kubeconfig(&self.folder, &self.authority, self.options.address, user, group)
    }

    /// A new client of an administrator. Not shared: a client is bound to the async runtime that made it.
    pub async fn client(&self) -> Result<Client> {
        client(&self.admin_kubeconfig).await
    }

    /// Applies every document of `yaml` as an administrator; see [`apply`].
    pub async fn apply(&self, yaml: &str) -> Result<()> {
        apply(&self.client().await?, yaml, None).await
    }

    /// `kill -9` of the apiserver. (SIGTERM takes a minute while somebody watches.)
    pub fn kill_apiserver(&self) -> Result<()> {
        self.apiserver.lock().map_err(|_| anyhow!("a thread panicked with the apiserver"))?.kill()
    }

    /// SIGSTOP: connections stay open and nothing answers.
    pub fn stop_apiserver(&self) -> Result<()> {
        self.signal_apiserver(nix::sys::signal::Signal::SIGSTOP)
    }

    /// SIGCONT after [`Self::stop_apiserver`].
    pub fn continue_apiserver(&self) -> Result<()> {
        self.signal_apiserver(nix::sys::signal::Signal::SIGCONT)
    }

    fn signal_apiserver(&self, signal: nix::sys::signal::Signal) -> Result<()> {
        self.apiserver.lock().map_err(|_| anyhow!("a thread panicked with the apiserver"))?.signal(signal)
    }

    /// Starts the apiserver again on the same etcd and waits until it answers; kills it first if it runs.
    pub async fn restart_apiserver(&self) -> Result<()> {
        self.kill_apiserver()?;
        let apiserver = start_apiserver(&self.run, &self.binaries, &self.options, &self.folder)?;
        *self.apiserver.lock().map_err(|_| anyhow!("a thread panicked with the apiserver"))? = apiserver;
        let client = self.client().await?;
        until("kube-apiserver after its restart", START_LIMIT, Duration::from_millis(50), async || {
            self.apiserver.lock().map_err(|_| anyhow!("a thread panicked"))?.ensure_running()?;
            Ok(Look::from_result(readyz(&client).await))
        })
        .await
    }

    /// Waits until the controller-manager has made the default `ServiceAccount` of a namespace, without which no Pod is
    /// admitted there.
    pub async fn wait_for_service_account(&self, namespace: &str) -> Result<()> {
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client().await?, namespace);
        let what = format!("the default ServiceAccount of namespace {namespace}");
        until(&what, START_LIMIT, Duration::from_millis(50), async || {
            self.controller_manager.ensure_running()?;
            Ok(Look::from_result(accounts.get("default").await.map(|_| ())))
        })
        .await
    }

    /// Pids of etcd and the controller-manager, for figures.
    pub fn helper_pids(&self) -> [i32; 2] {
        [self.etcd.pid(), self.controller_manager.pid()]
    }
}

/// A client for a kubeconfig, with a bound on every call and without kube's own retries: those go on for minutes, and a
/// repeated write comes back as a conflict with itself.
pub async fn client(kubeconfig: &Path) -> Result<Client> {
    // The root crate links several users of rustls: without a process-wide choice the first client panics.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let file = Kubeconfig::read_from(kubeconfig)
        .with_context(|| format!("read kubeconfig {}", kubeconfig.display()))?;
    let mut config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default())
        .await
        .with_context(|| format!("use kubeconfig {}", kubeconfig.display()))?;
    config.connect_timeout = Some(Duration::from_secs(5));
    config.read_timeout = Some(Duration::from_secs(30));
    config.write_timeout = Some(Duration::from_secs(30));
    config.default_retry = false;
    Client::try_from(config).context("make a Kubernetes client")
}

fn url(address: IpAddr) -> String {
    format!("https://{}", SocketAddr::new(address, APISERVER_PORT))
}

async fn readyz(client: &Client) -> Result<()> {
    let request = http::Request::get("/readyz").body(Vec::new()).context("make a request")?;
    client.request_text(request).await.context("GET /readyz")?;
    Ok(())
}

async fn wait_until_ready(client: &Client, etcd: &Process, apiserver: &Process) -> Result<()> {
    until("kube-apiserver", START_LIMIT, Duration::from_millis(50), async || {
        etcd.ensure_running()?;
        apiserver.ensure_running()?;
        Ok(Look::from_result(readyz(client).await))
    })
    .await
}

fn write_files(folder: &Path, authority: &Authority, address: IpAddr) -> Result<()> {
    pki::write_private(&folder.join("ca.crt"), authority.certificate_pem())?;
    pki::write_private(&folder.join("ca.key"), &authority.key_pem())?;
    let service_address = KUBERNETES_SERVICE_ADDRESS.parse().context("Service address")?;
    let names = [
        "localhost",
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        "kubernetes.default.svc.cluster.local",
    ];
    authority.server("kube-apiserver", &names, &[address, service_address])?.write(folder, "apiserver")?;
    authority
        .client("kube-apiserver-kubelet-client", Some(ADMINISTRATORS))?
        .write(folder, "kubelet-client")?;
    let (private, public) = pki::signing_key()?;
    pki::write_private(&folder.join("service-account.key"), &private)?;
    pki::write_private(&folder.join("service-account.pub"), &public)
}

/// Writes `<user>.kubeconfig`, which names its certificates by path.
fn write_kubeconfig(
    folder: &Path,
    authority: &Authority,
    address: IpAddr,
    user: &str,
    group: Option<&str>,
) -> Result<PathBuf> {
    let file_name = user.replace([':', '/'], "-");
    let IdentityFiles { certificate, key } = authority.client(user, group)?.write(folder, &file_name)?;
    let kubeconfig = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "lab", "cluster": {"server": url(address), "certificate-authority": folder.join("ca.crt")}}],
        "users": [{"name": user, "user": {"client-certificate": certificate, "client-key": key}}],
        "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": user}}],
        "current-context": "lab",
    });
    let path = folder.join(format!("{file_name}.kubeconfig"));
    let text = serde_json::to_string_pretty(&kubeconfig).context("write a kubeconfig")?;
    pki::write_private(&path, &text)?;
    Ok(path)
}
