//! The images that a node of our own runs.
//!
//! They have the names that the manifests use on any cluster, so one manifest serves both.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use super::Image;

/// What containerd starts first in every Pod.
pub const PAUSE: &str = "registry.local/pause:1";
/// A shell and small tools.
pub const BUSYBOX: &str = "docker.io/library/busybox:1";
/// The MySQL server and its client; manifests say `mysql:9`, which is the public image elsewhere.
pub const MYSQL: &str = "docker.io/library/mysql:9";
/// The operator, under the name that the chart's defaults give it.
pub const OPERATOR: &str = concat!("docker.io/library/mysql-takeover:", env!("CARGO_PKG_VERSION"));

/// What of the unpacked packages goes into the image, beside plugins and libraries.
const MYSQL_PROGRAMS: [&str; 3] = ["usr/sbin/mysqld", "usr/bin/mysql", "usr/bin/mysqladmin"];
/// User and group of the server in the public MySQL image.
const MYSQL_USER: u64 = 999;
/// The user that the operator's Dockerfile names too.
const OPERATOR_USER: &str = "65532";

/// A process that only waits. It is killed, never asked to end, so it needs no signal handling; a Pod that shares its
/// process namespace would need one that reaps.
pub fn pause(busybox: &Path) -> Image {
    Image::new()
        .copy("/bin/busybox", busybox)
        .link("/bin/sleep", "busybox")
        .entrypoint(&["/bin/sleep", "2147483647"])
}

/// busybox (a static one) under all its names.
pub fn busybox(busybox: &Path) -> Result<Image> {
    let image = with_busybox(Image::new(), busybox, "/bin", |_| true)?;
    Ok(image.text("/etc/passwd", passwd("")).command(&["/bin/sh"]))
}

/// MySQL from an unpacked tree of Debian packages (`tree/usr/sbin/mysqld` and so on), with a static busybox
/// for the shell.
pub fn mysql(tree: &Path, busybox: &Path) -> Result<Image> {
    let mut image = Image::new()
        .link("/lib", "usr/lib")
        .link("/lib64", "usr/lib64")
        .link("/bin", "usr/bin")
        .link("/sbin", "usr/sbin")
        .directory("/var/lib/mysql", 0o1777, MYSQL_USER)
        // The built-in --secure-file-priv: without the directory the server does not start.
        .directory("/var/lib/mysql-files", 0o750, MYSQL_USER)
        .directory("/var/run/mysqld", 0o1777, MYSQL_USER)
        .text("/etc/passwd", passwd(&format!("mysql:x:{MYSQL_USER}:{MYSQL_USER}::/var/lib/mysql:/bin/sh\n")));
    let mut programs: Vec<PathBuf> = MYSQL_PROGRAMS.iter().map(|name| tree.join(name)).collect();
    programs
        .extend(files(&tree.join("usr/lib/mysql/plugin"))?.into_iter().filter(|path| is_server_plugin(path)));
    let mut copied = BTreeSet::new();
    for program in &programs {
        copied.insert(program.clone());
        copied.extend(tree_libraries(tree, program)?);
    }
    for folder in ["usr/share/mysql/charsets", "usr/share/mysql/english"] {
        copied.extend(files(&tree.join(folder))?);
    }
    for source in &copied {
        image = image.copy(Path::new("/").join(source.strip_prefix(tree)?), source);
    }
    // Not over a program of the tree itself.
    let taken = |name: &str| copied.contains(&tree.join("usr/bin").join(name));
    image = with_busybox(image, busybox, "/usr/bin", |name| !taken(name))?;
    // No entry point: the public image's one sets a server up from its environment, which our manifests do by script.
    Ok(image.command(&["mysqld"]))
}

/// The operator from a program built on this machine, with the libraries of this machine.
pub fn operator(program: &Path) -> Result<Image> {
    let output = Command::new("ldd")
        .arg(program)
        .output()
        .with_context(|| format!("cannot run ldd on {}", program.display()))?;
    ensure!(output.status.success(), "ldd cannot read {}; build the operator first", program.display());
    let mut image = Image::new()
        .text("/etc/passwd", passwd("nonroot:x:65532:65532::/:/sbin/nologin\n"))
        .copy("/usr/local/bin/mysql-takeover", program);
    for library in listed_libraries(&String::from_utf8_lossy(&output.stdout)) {
        // At the path it is looked for; where it really lies may be behind links.
        image = image.copy(library.clone(), library);
    }
    Ok(image.entrypoint(&["/usr/local/bin/mysql-takeover"]).command(&["run"]).user(OPERATOR_USER))
}

fn passwd(more: &str) -> String {
    format!("root:x:0:0::/:/bin/sh\n{more}nobody:x:65534:65534::/:/sbin/nologin\n")
}

fn with_busybox(image: Image, program: &Path, folder: &str, wanted: impl Fn(&str) -> bool) -> Result<Image> {
    let listed = Command::new(program).arg("--list").output().context("cannot run busybox --list")?;
    let mut image = image.copy(Path::new(folder).join("busybox"), program);
    for name in
        String::from_utf8_lossy(&listed.stdout).lines().filter(|name| *name != "busybox" && wanted(name))
    {
        image = image.link(Path::new(folder).join(name), "busybox");
    }
    Ok(image)
}

/// All plain files (and links to such) below `folder`.
fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let entries = fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
    for entry in entries {
        let path = entry.with_context(|| format!("cannot list {}", folder.display()))?.path();
        if path.is_dir() {
            found.extend(files(&path)?);
        } else if path.is_file() {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// Plugins of the client and of telemetry are half of all their bytes and used by nobody here.
fn is_server_plugin(path: &Path) -> bool {
    let name = path.file_stem().and_then(|name| name.to_str()).unwrap_or_default();
    path.extension().is_some_and(|extension| extension == "so")
        && !name.ends_with("_client")
        && !name.contains("telemetry")
}

/// The libraries that `program` loads from the tree, and the tree's loader, as paths in the tree.
fn tree_libraries(tree: &Path, program: &Path) -> Result<BTreeSet<PathBuf>> {
    let loader = loader(tree)?;
    let folders = library_folders(tree);
    let joined: Vec<String> = folders.iter().map(|folder| folder.display().to_string()).collect();
    let output = Command::new(&loader)
        .args(["--library-path", &joined.join(":"), "--list"])
        .arg(program)
        .output()
        .with_context(|| format!("cannot run {}", loader.display()))?;
    let listed = String::from_utf8_lossy(&output.stdout);
    ensure!(
        output.status.success(),
        "{} has libraries that are not in {}: {}",
        program.display(),
        tree.display(),
        String::from_utf8_lossy(&output.stderr).trim()
    );
    let mut found: BTreeSet<PathBuf> =
        listed_libraries(&listed).into_iter().filter(|path| path.starts_with(tree)).collect();
    found.insert(loader);
    Ok(found)
}

fn loader(tree: &Path) -> Result<PathBuf> {
    let names =
        ["usr/lib64/ld-linux-x86-64.so.2", "lib64/ld-linux-x86-64.so.2", "usr/lib/ld-linux-aarch64.so.1"];
    names.iter().map(|name| tree.join(name)).find(|path| path.exists()).with_context(|| {
        format!("no dynamic loader in {}; delete it and let it be unpacked again", tree.display())
    })
}

fn library_folders(tree: &Path) -> Vec<PathBuf> {
    let architecture = std::env::consts::ARCH;
    let names =
        [format!("usr/lib/{architecture}-linux-gnu"), "usr/lib/mysql/private".into(), "usr/lib".into()];
    names.iter().map(|name| tree.join(name)).filter(|path| path.is_dir()).collect()
}

/// The paths in the output of `ldd`: `libc.so.6 => /lib/libc.so.6 (0x…)` and `/lib64/ld-linux-x86-64.so.2 (0x…)`.
fn listed_libraries(output: &str) -> Vec<PathBuf> {
    output
        .lines()
        .filter_map(|line| {
            let line = line.split(" (0x").next()?.trim();
            let path = line.rsplit("=> ").next()?.trim();
            path.starts_with('/').then(|| PathBuf::from(path))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_ldd_prints() {
        let output = "\tlinux-vdso.so.1 (0x00007ffd)\n\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f)\n\
                      \t/lib64/ld-linux-x86-64.so.2 (0x00007f)\n\tstatically linked\n";
        let expected = ["/lib/x86_64-linux-gnu/libc.so.6", "/lib64/ld-linux-x86-64.so.2"];
        assert_eq!(listed_libraries(output), expected.map(PathBuf::from));
    }
}
