//! Debian packages: installed with apt on the host, or only unpacked into the cache.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::cache::{Progress, run};

/// A package of the distribution with the program that shows it is there.
#[derive(Clone, Copy, Debug)]
pub struct Package {
    /// Its name in Debian.
    pub name: &'static str,
    /// A program name, or an absolute path.
    pub shows: &'static str,
    /// What the lab needs it for.
    pub purpose: &'static str,
    /// The services it brings, which are not to run because of the lab.
    pub services: &'static [&'static str],
}

const fn package(
    name: &'static str,
    shows: &'static str,
    purpose: &'static str,
    services: &'static [&'static str],
) -> Package {
    Package { name, shows, purpose, services }
}

/// For the small tier.
pub const CONTROL_PLANE: &[Package] = &[
    package("etcd-server", "etcd", "the Kubernetes API's store", &["etcd"]),
    package("util-linux", "setpriv", "ends servers together with the lab", &[]),
];

/// For the full tier, on top of [`CONTROL_PLANE`].
pub const NODE: &[Package] = &[
    package("containerd", "containerd", "runs containers", &["containerd"]),
    package("runc", "runc", "runs one container", &[]),
    package("containernetworking-plugins", "/usr/lib/cni/bridge", "network of Pods", &[]),
    package("iptables", "iptables", "Services (kube-proxy)", &[]),
    package("conntrack", "conntrack", "Services (kube-proxy)", &[]),
    package("iproute2", "ip", "network namespaces", &[]),
    package("kmod", "modprobe", "kernel modules for Services", &[]),
    package("busybox-static", "busybox", "the shell inside images", &[]),
];

/// The folder of the CNI plugins.
pub fn cni_plugins() -> Result<PathBuf> {
    let folder = PathBuf::from("/usr/lib/cni");
    if folder.join("bridge").is_file() {
        Ok(folder)
    } else {
        bail!("no CNI plugins in /usr/lib/cni: make install")
    }
}

/// A program on the path or in the folders of system programs, which a user's path often lacks.
pub fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin", "/usr/bin", "/bin"].map(PathBuf::from))
        .map(|folder| folder.join(program))
        .find(|candidate| {
            candidate.metadata().is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
        })
}

/// As [`on_path`].
///
/// # Errors
/// How to install it.
pub fn program(name: &str) -> Result<PathBuf> {
    on_path(name).with_context(|| format!("{name} is not installed; install it with: make install"))
}

fn missing(packages: &[Package]) -> Vec<Package> {
    let is_there = |package: &Package| {
        if package.shows.starts_with('/') {
            Path::new(package.shows).exists()
        } else {
            on_path(package.shows).is_some()
        }
    };
    packages.iter().filter(|package| !is_there(package)).copied().collect()
}

fn listing(packages: &[Package]) -> String {
    let lines: Vec<String> = packages
        .iter()
        .map(|package| {
            format!(
                "
    {:<28} {}",
                package.name, package.purpose
            )
        })
        .collect();
    lines.concat()
}

/// Looks whether all packages are there.
///
/// # Errors
/// Which are missing.
pub fn check(packages: &[Package]) -> Result<()> {
    let missing = missing(packages);
    if missing.is_empty() {
        return Ok(());
    }
    bail!("missing, install with `make install`:{}", listing(&missing))
}

/// Installs the packages that are missing, with apt, as root. No service of theirs is started or enabled.
pub fn ensure(packages: &[Package]) -> Result<()> {
    let missing = missing(packages);
    if missing.is_empty() {
        return Ok(());
    }
    if on_path("apt-get").is_none() {
        bail!(
            "this is no Debian: install these yourself, under whatever name they have here:{}",
            listing(&missing)
        );
    }
    let names: Vec<&str> = missing.iter().map(|package| package.name).collect();
    if !nix::unistd::geteuid().is_root() {
        bail!(
            "these Debian packages are missing, and installing them needs root:{}\n  as root: apt-get update && apt-get install --no-install-recommends {}",
            listing(&missing),
            names.join(" ")
        );
    }
    eprintln!(
        "Installing Debian packages (as root, for the whole machine; their services stay off):{}",
        listing(&missing)
    );
    apt_get_update()?;
    let _progress = Progress::begin(format!("apt-get install {}", names.join(" ")));
    let _policy = NoServices::begin()?;
    run(Command::new("apt-get")
        .args([
            "-qq",
            "-y",
            "-o",
            "DPkg::Lock::Timeout=300",
            "-o",
            "Acquire::Retries=3",
            "install",
            "--no-install-recommends",
        ])
        .args(&names)
        .env("DEBIAN_FRONTEND", "noninteractive"))
    .context("apt-get install")?;
    if Path::new("/run/systemd/system").exists() {
        for service in missing.iter().flat_map(|package| package.services) {
            run(Command::new("systemctl").args(["disable", "--quiet", service]))
                .with_context(|| format!("keep {service} from starting at boot"))?;
        }
    }
    check(packages)
}

fn apt_get_update() -> Result<()> {
    let _progress = Progress::begin("apt-get update");
    run(Command::new("apt-get").args([
        "-qq",
        "-o",
        "DPkg::Lock::Timeout=300",
        "-o",
        "Acquire::Retries=3",
        "update",
    ]))
    .context("apt-get update: are the package sources of this machine reachable?")?;
    Ok(())
}

/// Debian's switch that keeps packages from starting services while they are installed; removed when dropped.
struct NoServices {
    ours: bool,
}

impl NoServices {
    const PATH: &str = "/usr/sbin/policy-rc.d";

    fn begin() -> Result<Self> {
        if Path::new(Self::PATH).exists() {
            return Ok(Self { ours: false });
        }
        fs::write(
            Self::PATH,
            "#!/bin/sh\n# Written by mysql-takeover's lab during an installation; remove it.\nexit 101\n",
        )
        .and_then(|()| fs::set_permissions(Self::PATH, fs::Permissions::from_mode(0o755)))
        .with_context(|| format!("write {}", Self::PATH))?;
        Ok(Self { ours: true })
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        if self.ours {
            let _ = fs::remove_file(Self::PATH);
        }
    }
}

/// A package file that was unpacked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackageFile {
    /// File name as fetched: name, version, architecture.
    pub name: String,
    /// SHA-256 of the file, hexadecimal.
    pub sha256: String,
}

/// Fetches packages of any Debian suite with everything that they depend on and unpacks them into `destination`. Nothing on
/// the host changes and no root is needed: apt works on a private, empty package database.
///
/// # Errors
/// What apt or dpkg said.
pub fn unpack(suite: &str, packages: &[&str], destination: &Path) -> Result<Vec<PackageFile>> {
    const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
    if !Path::new(KEYRING).exists() {
        bail!("{KEYRING} is missing: install the package debian-archive-keyring");
    }
    let work = destination.join(".apt");
    for folder in ["state/lists/partial", "cache/archives/partial"] {
        let path = work.join(folder);
        fs::create_dir_all(&path).with_context(|| format!("create {}", path.display()))?;
    }
    let sources = work.join("sources.list");
    fs::write(&sources, format!("deb [signed-by={KEYRING}] {} {suite} main\n", mirror()?))
        .context("write sources.list")?;
    fs::write(work.join("state/status"), "").context("write an empty package database")?;
    let apt = || {
        let mut command = Command::new("apt-get");
        let option = |key: &str, value: String| ["-o".to_owned(), format!("{key}={value}")];
        command
            .arg("-qq")
            .args(option("Dir::Etc::sourcelist", sources.display().to_string()))
            .args(option("Dir::Etc::sourceparts", "/dev/null".to_owned()))
            .args(option("Dir::State", work.join("state").display().to_string()))
            .args(option("Dir::State::status", work.join("state/status").display().to_string()))
            .args(option("Dir::Cache", work.join("cache").display().to_string()))
            .args(option("APT::Install-Recommends", "0".to_owned()))
            .args(option("Acquire::Retries", "3".to_owned()))
            // A machine whose clock or mirror is a little off is good enough for a laboratory; signatures are checked.
            .args(option("Acquire::Check-Valid-Until", "false".to_owned()))
            // apt drops root for downloads, to a user that may not enter this folder.
            .args(option("APT::Sandbox::User", String::new()))
            // Some images empty the download folder after each call, or fetch nothing twice.
            .args(option("DPkg::Post-Invoke", String::new()))
            .args(option("APT::Keep-Downloaded-Packages", "1".to_owned()))
            .env("DEBIAN_FRONTEND", "noninteractive");
        command
    };
    {
        let _progress = Progress::begin(format!("package lists of Debian {suite}"));
        run(apt().arg("update")).with_context(|| format!("fetch the package lists of Debian {suite}"))?;
    }
    {
        let _progress = Progress::begin(format!("download {} and what they need", packages.join(", ")));
        run(apt().args(["-y", "--download-only", "install"]).args(packages)).context("download packages")?;
    }
    let _progress = Progress::begin("unpack");
    let archives = work.join("cache/archives");
    let mut files: Vec<PathBuf> = fs::read_dir(&archives)
        .with_context(|| format!("list {}", archives.display()))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "deb"))
        .collect();
    files.sort();
    if files.is_empty() {
        bail!("apt-get downloaded no package file for {}", packages.join(", "));
    }
    let mut unpacked = Vec::new();
    for file in &files {
        run(Command::new("dpkg-deb").arg("-x").arg(file).arg(destination))
            .with_context(|| format!("unpack {}", file.display()))?;
        let sum = run(Command::new("sha256sum").arg("--").arg(file))?;
        unpacked.push(PackageFile {
            name: file.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            sha256: sum.split(' ').next().unwrap_or_default().trim_start_matches('\\').to_owned(),
        });
    }
    fs::remove_dir_all(&work).with_context(|| format!("remove {}", work.display()))?;
    Ok(unpacked)
}

/// The mirror that this machine itself uses.
fn mirror() -> Result<String> {
    let list = || {
        run(Command::new("apt-get").args([
            "indextargets",
            "--format",
            "$(REPO_URI) $(COMPONENT) $(ORIGIN) $(LABEL)",
            "Identifier: Packages",
        ]))
    };
    let pick = |text: &str| {
        text.lines()
            .find(|line| line.ends_with(" main Debian Debian"))
            .and_then(|line| line.split(' ').next())
            .map(str::to_owned)
    };
    if let Some(uri) = pick(&list()?) {
        return Ok(uri);
    }
    // A fresh machine has no lists yet.
    if nix::unistd::geteuid().is_root() {
        apt_get_update()?;
    }
    pick(&list()?)
        .context("apt knows no Debian mirror: check /etc/apt/sources.list*, then run apt-get update as root")
}
