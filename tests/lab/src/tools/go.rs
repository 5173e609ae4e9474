//! Programs built from the Go modules under `tools/`, with the versions pinned there.

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use super::cache::{Progress, run};
use crate::process::log_tail;
use crate::run::project_directory;

/// The oldest Go that builds the pinned modules.
const OLDEST: (u32, u32) = (1, 26);

/// The version that a `go.mod` requires of `module`, such as `v1.36.4`.
pub fn pinned_version(go_mod: &str, module: &str) -> Result<String> {
    go_mod
        .lines()
        .filter(|line| !line.contains("=>"))
        .find_map(|line| {
            let mut words = line.trim().trim_start_matches("require").split_whitespace();
            (words.next() == Some(module)).then(|| words.next().map(str::to_owned)).flatten()
        })
        .with_context(|| format!("go.mod does not require {module}"))
}

/// Checks that a Go toolchain is there that is new enough.
///
/// # Errors
/// What to install, otherwise.
pub fn check() -> Result<()> {
    let text = run(Command::new("go").arg("version").env("GOTOOLCHAIN", "local")).with_context(|| {
        format!(
            "Go {}.{} or newer is needed to build Kubernetes; see https://go.dev/doc/install",
            OLDEST.0, OLDEST.1
        )
    })?;
    match parse_version(&text) {
        Some(version) if version >= OLDEST => Ok(()),
        _ => bail!(
            "Go {}.{} or newer is needed to build Kubernetes, here is {:?}; see https://go.dev/doc/install",
            OLDEST.0,
            OLDEST.1,
            text.trim()
        ),
    }
}

/// `go version go1.26.8 linux/amd64` to `(1, 26)`.
fn parse_version(text: &str) -> Option<(u32, u32)> {
    let (_, version) = text.split_once(" go")?;
    let mut numbers = version.split(|letter: char| !letter.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// Builds one package of the module in `tools/<module>` into `folder`, under the package's own name.
pub fn build(module: &str, package: &str, link_options: &str, folder: &Path) -> Result<()> {
    /// Kept from a hung download; a cold build of the largest program took five minutes on two busy cores.
    const LIMIT: Duration = Duration::from_mins(30);
    let program = package.rsplit('/').next().unwrap_or(package);
    let _progress = Progress::begin(format!("go build {program}"));
    let log_path = folder.join(format!("{program}.log"));
    let log = File::create(&log_path).with_context(|| format!("create {}", log_path.display()))?;
    let mut child = Command::new("go")
        .current_dir(project_directory().join("tools").join(module))
        .args(["build", "-mod=readonly", "-trimpath", "-ldflags", link_options, "-o"])
        .arg(folder.join(program))
        .arg(package)
        .envs([("CGO_ENABLED", "0"), ("GOTOOLCHAIN", "local"), ("GOWORK", "off"), ("GOFLAGS", "")])
        .stdin(Stdio::null())
        .stdout(log.try_clone().context("duplicate log file handle")?)
        .stderr(log)
        .spawn()
        .context("start go")?;
    let begin = std::time::Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().context("wait for go")? {
            break status;
        }
        if begin.elapsed() > LIMIT {
            child.kill().context("end go")?;
            bail!("go build {program} did not end within {LIMIT:?}; last output:\n{}", log_tail(&log_path));
        }
        std::thread::sleep(Duration::from_millis(200));
    };
    if !status.success() {
        bail!("go build {program} failed ({status}):\n{}", log_tail(&log_path));
    }
    std::fs::remove_file(&log_path).with_context(|| format!("remove {}", log_path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_versions() {
        assert_eq!(parse_version("go version go1.26.8 linux/amd64\n"), Some((1, 26)));
        assert_eq!(parse_version("go version go1.27rc1 linux/amd64"), Some((1, 27)));
        assert_eq!(parse_version("devel"), None);
    }

    #[test]
    fn reads_pins() {
        let go_mod = "replace k8s.io/api => k8s.io/api v0.36.4\nrequire k8s.io/kubernetes v1.36.4\n";
        assert_eq!(pinned_version(go_mod, "k8s.io/kubernetes").unwrap(), "v1.36.4");
        let block = "require (\n\thelm.sh/helm/v3 v3.21.2 // indirect\n)";
        assert_eq!(pinned_version(block, "helm.sh/helm/v3").unwrap(), "v3.21.2");
        assert!(pinned_version(go_mod, "k8s.io/api").is_err());
    }
}
