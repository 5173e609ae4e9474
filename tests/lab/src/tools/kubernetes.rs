//! Kubernetes' own programs: named by `KUBEBUILDER_ASSETS`, on the path, or built from `tools/`.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};

use super::debian;
use super::{cache, go};

const KUBERNETES_MODULE: &str = include_str!("../../../../tools/kube/go.mod");
const HELM_MODULE: &str = include_str!("../../../../tools/helm/go.mod");
const COREDNS_MODULE: &str = include_str!("../../../../tools/coredns/go.mod");

/// Built in this order: the control plane first, so that a failing download shows before the long rest.
const PROGRAMS: [&str; 6] =
    ["kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy", "kubectl"];

/// Programs of the small tier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlPlaneBinaries {
    /// `etcd`.
    pub etcd: PathBuf,
    /// `kube-apiserver`.
    pub kube_apiserver: PathBuf,
    /// `kube-controller-manager`.
    pub kube_controller_manager: PathBuf,
    /// `kubectl`.
    pub kubectl: PathBuf,
}

/// Programs of the full tier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeBinaries {
    /// The small tier's.
    pub control_plane: ControlPlaneBinaries,
    /// `kube-scheduler`.
    pub kube_scheduler: PathBuf,
    /// `kubelet`.
    pub kubelet: PathBuf,
    /// `kube-proxy`.
    pub kube_proxy: PathBuf,
    /// `containerd`, from the distribution.
    pub containerd: PathBuf,
    /// Its client `ctr`.
    pub ctr: PathBuf,
    /// The folder with the CNI plugins `bridge`, `host-local` and `portmap`.
    pub cni_plugins: PathBuf,
    /// A statically linked busybox, for images.
    pub busybox: PathBuf,
}

/// The pinned version of Kubernetes, such as `v1.36.4`.
pub fn kubernetes_version() -> Result<String> {
    go::pinned_version(KUBERNETES_MODULE, "k8s.io/kubernetes")
}

/// Finds the programs of the small tier.
///
/// # Errors
/// Which one is missing and how to install it.
pub fn find_control_plane() -> Result<ControlPlaneBinaries> {
    let cached = cache::find(&format!("kubernetes-{}", kubernetes_version()?))?;
    let cached = cached.as_deref();
    Ok(ControlPlaneBinaries {
        etcd: find_etcd()?,
        kube_apiserver: find("kube-apiserver", cached)?,
        kube_controller_manager: find("kube-controller-manager", cached)?,
        kubectl: find("kubectl", cached)?,
    })
}

/// Finds the programs of the full tier.
///
/// # Errors
/// Which one is missing and how to install it.
pub fn find_node() -> Result<NodeBinaries> {
    let cached = cache::find(&format!("kubernetes-{}", kubernetes_version()?))?;
    let cached = cached.as_deref();
    debian::check(debian::NODE)?;
    Ok(NodeBinaries {
        control_plane: find_control_plane()?,
        kube_scheduler: find("kube-scheduler", cached)?,
        kubelet: find("kubelet", cached)?,
        kube_proxy: find("kube-proxy", cached)?,
        containerd: debian::program("containerd")?,
        ctr: debian::program("ctr")?,
        cni_plugins: debian::cni_plugins()?,
        busybox: debian::program("busybox")?,
    })
}

/// Installs what is missing of the small tier's programs.
pub fn ensure_control_plane() -> Result<ControlPlaneBinaries> {
    ensure_all(debian::CONTROL_PLANE, &["kube-apiserver", "kube-controller-manager", "kubectl"])?;
    find_control_plane()
}

/// Installs what is missing of the full tier's programs.
pub fn ensure_node() -> Result<NodeBinaries> {
    ensure_all(&[debian::CONTROL_PLANE, debian::NODE].concat(), &PROGRAMS)?;
    find_node()
}

fn ensure_all(packages: &[debian::Package], programs: &[&str]) -> Result<()> {
    let cached = cache::find(&format!("kubernetes-{}", kubernetes_version()?))?;
    let is_missing =
        |program: &&str| from_assets(program).is_none() && find(program, cached.as_deref()).is_err();
    let must_build = programs.iter().any(is_missing);
    if must_build {
        // Before anything is installed: without Go the rest is for nothing.
        go::check()?;
    }
    debian::ensure(packages)?;
    if must_build { build_kubernetes() } else { Ok(()) }
}

/// Finds helm 3, on the path or built.
pub fn find_helm() -> Result<PathBuf> {
    find_built("helm", &format!("helm-{}", go::pinned_version(HELM_MODULE, "helm.sh/helm/v3")?))
}

/// Builds helm if it is missing.
pub fn ensure_helm() -> Result<PathBuf> {
    let version = go::pinned_version(HELM_MODULE, "helm.sh/helm/v3")?;
    let options = format!("-s -w -X helm.sh/helm/v3/internal/version.version={version}");
    ensure_built("helm", "helm.sh/helm/v3/cmd/helm", &options, &format!("helm-{version}"))
}

/// Finds `CoreDNS`.
pub fn find_coredns() -> Result<PathBuf> {
    find_built(
        "coredns",
        &format!("coredns-{}", go::pinned_version(COREDNS_MODULE, "github.com/coredns/coredns")?),
    )
}

/// Builds `CoreDNS` if it is missing.
pub fn ensure_coredns() -> Result<PathBuf> {
    let version = go::pinned_version(COREDNS_MODULE, "github.com/coredns/coredns")?;
    ensure_built("coredns", "github.com/coredns/coredns", "-s -w", &format!("coredns-{version}"))
}

fn find_built(program: &str, folder: &str) -> Result<PathBuf> {
    match cache::find(folder)? {
        Some(path) => Ok(path.join(program)),
        None => bail!("{program} is not installed; install it with: make install"),
    }
}

fn ensure_built(program: &str, package: &str, options: &str, folder: &str) -> Result<PathBuf> {
    let path = cache::ensure(folder, |building| {
        go::check()?;
        go::build(program, package, options, building)
    })?;
    Ok(path.join(program))
}

fn build_kubernetes() -> Result<()> {
    let version = kubernetes_version()?;
    cache::ensure(&format!("kubernetes-{version}"), |building| {
        eprintln!(
            "Building Kubernetes {version} from its Go modules, once: about seven minutes on two cores."
        );
        let options = version_options(&version)?;
        for program in PROGRAMS {
            go::build("kube", &format!("k8s.io/kubernetes/cmd/{program}"), &options, building)?;
        }
        Ok(())
    })?;
    Ok(())
}

/// Link options with the version stamp: without it the server calls itself v0.0.0 and charts that ask for a version refuse it.
fn version_options(version: &str) -> Result<String> {
    let mut numbers = version.trim_start_matches('v').split('.');
    let (major, minor) =
        numbers.next().zip(numbers.next()).context("Kubernetes version in tools/kube/go.mod")?;
    let values = [
        ("gitVersion", version),
        ("gitMajor", major),
        ("gitMinor", minor),
        ("gitTreeState", "clean"),
        ("buildDate", "2026-01-01T00:00:00Z"),
    ];
    let packages = ["k8s.io/component-base/version", "k8s.io/client-go/pkg/version"];
    let stamps: Vec<String> = packages
        .iter()
        .flat_map(|package| values.map(|(key, value)| format!(" -X {package}.{key}={value}")))
        .collect();
    Ok(format!("-s -w{}", stamps.concat()))
}

fn find_etcd() -> Result<PathBuf> {
    // 3.4 and newer work; nobody ships an older one.
    if let Some(path) = from_assets("etcd") {
        return Ok(path);
    }
    debian::program("etcd")
}

/// `KUBEBUILDER_ASSETS` first, then the path if the version there is one that the lab is made for, then the cache.
fn find(program: &str, cached: Option<&Path>) -> Result<PathBuf> {
    if let Some(path) = from_assets(program) {
        // Named on purpose, so anything else would surprise.
        ensure!(
            is_usable(program, &path),
            "{} is not of the Kubernetes version that the lab is made for ({}); point KUBEBUILDER_ASSETS elsewhere or unset it",
            path.display(),
            kubernetes_version()?
        );
        return Ok(path);
    }
    if let Some(path) = debian::on_path(program)
        && is_usable(program, &path)
    {
        return Ok(path);
    }
    match cached.map(|folder| folder.join(program)).filter(|path| path.is_file()) {
        Some(path) => Ok(path),
        None => bail!(
            "{program} is neither in KUBEBUILDER_ASSETS nor (in a fitting version) on the path nor in the cache; \
             install it with: make install"
        ),
    }
}

fn from_assets(program: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("KUBEBUILDER_ASSETS").filter(|value| !value.is_empty())?;
    Some(PathBuf::from(folder).join(program)).filter(|path| path.is_file())
}

/// Whether a program has the pinned minor version: the servers that come from elsewhere have to fit those that are built here,
/// and a newer kubelet would not start on cgroup v1.
fn is_usable(program: &str, path: &Path) -> bool {
    let mut command = Command::new(path);
    if program == "kubectl" {
        command.args(["version", "--client"])
    } else {
        command.arg("--version")
    };
    let Ok(text) = cache::run(&mut command) else { return false };
    let Ok(pinned) = kubernetes_version() else { return false };
    let Some((minor, _patch)) = pinned.rsplit_once('.') else { return false };
    text.contains(&format!("{minor}."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_come_from_the_modules() {
        assert!(kubernetes_version().unwrap().starts_with("v1."));
        assert!(version_options("v1.36.4").unwrap().contains("version.gitMinor=36 "));
        go::pinned_version(HELM_MODULE, "helm.sh/helm/v3").unwrap();
        go::pinned_version(COREDNS_MODULE, "github.com/coredns/coredns").unwrap();
    }
}
