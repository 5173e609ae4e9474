//! MySQL 9 from Debian's packages, unpacked into the cache; nothing on the host changes.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::cache::{self, Progress, run};
use super::debian::{self, PackageFile};
use crate::process::Program;

/// The suite with MySQL 9: Debian's stable releases carry MariaDB.
const SUITE: &str = "sid";
const PACKAGES: [&str; 2] = ["mysql-server-core", "mysql-client-core"];
/// The cache folder. Named by series, not by version: which version sid holds is known only after fetching.
const FOLDER: &str = "mysql-9";
/// File names and sums of what was unpacked, inside [`FOLDER`].
const MANIFEST: &str = "packages.sha256";
/// The same, of what this source tree was last tested with.
const TESTED: &str = include_str!("../../mysql.sha256");
/// The data directory that every server starts from, inside [`FOLDER`].
const TEMPLATE: &str = "initialised-data";

/// An unpacked MySQL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MySql {
    root: PathBuf,
}

/// Finds the unpacked MySQL.
///
/// # Errors
/// How to install it.
pub fn find_mysql() -> Result<MySql> {
    match cache::find(FOLDER)? {
        Some(root) => Ok(MySql { root }),
        None => bail!(
            "MySQL is not installed for the lab; install it with: make install (about 10 s, no root needed)"
        ),
    }
}

/// Fetches and unpacks MySQL if it is missing, and prepares the data directory that servers start from.
pub fn ensure_mysql() -> Result<MySql> {
    let root = cache::ensure(FOLDER, |building| {
        eprintln!(
            "Unpacking MySQL from Debian {SUITE} into the cache (the host's packages stay as they are):"
        );
        let files = debian::unpack(SUITE, &PACKAGES, building)?;
        fs::write(building.join(MANIFEST), manifest(&files)).context("write the list of packages")?;
        warn_of(&differences(TESTED, &manifest(&files)));
        MySql { root: building.to_owned() }.initialise()
    })?;
    Ok(MySql { root })
}

fn warn_of(differences: &[String]) {
    const SHOWN: usize = 5;
    if differences.is_empty() {
        return;
    }
    let shown: Vec<&str> = differences.iter().take(SHOWN).map(String::as_str).collect();
    let rest = differences.len().saturating_sub(SHOWN);
    let rest = if rest > 0 {
        format!(", and {rest} more: see {FOLDER}/{MANIFEST} in the cache")
    } else {
        String::new()
    };
    eprintln!("  warning: not the packages that the lab was last tested with: {}{rest}", shown.join(", "));
}

fn manifest(files: &[PackageFile]) -> String {
    let lines: Vec<String> = files.iter().map(|file| format!("{}  {}\n", file.sha256, file.name)).collect();
    lines.concat()
}

/// What differs between two lists of packages, one line each.
fn differences(tested: &str, found: &str) -> Vec<String> {
    let entries = |text: &str| -> Vec<(String, String)> {
        text.lines()
            .filter(|line| !line.starts_with('#'))
            .filter_map(|line| line.split_once("  "))
            .map(|(sum, name)| (name.to_owned(), sum.to_owned()))
            .collect()
    };
    let (tested, found) = (entries(tested), entries(found));
    let mut differences: Vec<String> = found
        .iter()
        .filter_map(|(name, sum)| match tested.iter().find(|(other, _)| other == name) {
            None => Some(format!("new {name}")),
            Some((_, other)) if other != sum => Some(format!("{name} has another content")),
            Some(_) => None,
        })
        .collect();
    let gone = tested.iter().filter(|(name, _)| !found.iter().any(|(other, _)| other == name));
    differences.extend(gone.map(|(name, _)| format!("gone {name}")));
    differences
}

impl MySql {
    /// The root of the unpacked tree, for images: `usr/sbin/mysqld`, `usr/bin/mysql`, `usr/lib64`, ...
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The server's version, such as `9.7.4`.
    pub fn version(&self) -> Result<String> {
        let program = self.root.join("usr/sbin/mysqld");
        let text = run(Command::new(self.loader())
            .args(self.loader_options("mysqld"))
            .arg(program)
            .args(["--no-defaults", "--version"]))?;
        let (_, rest) = text.split_once("Ver ").with_context(|| format!("no version in {text:?}"))?;
        Ok(rest.split([' ', '-']).next().unwrap_or_default().to_owned())
    }

    /// A server process on a data directory, without any option of its own: it runs on the unpacked C library, through the
    /// unpacked loader, so the host's may be older.
    pub fn server(&self, name: impl Into<String>, data: &Path) -> Program {
        Program::new(name, self.loader()).arguments(self.server_words(data))
    }

    /// Words of the command line up to and including the directories.
    fn server_words(&self, data: &Path) -> Vec<OsString> {
        let path = |option: &str, path: PathBuf| {
            let mut word = OsString::from(option);
            word.push(path);
            word
        };
        let mut words = self.loader_options("mysqld");
        words.push(self.root.join("usr/sbin/mysqld").into());
        words.push("--no-defaults".into());
        // /proc/self/exe is the loader, so the server cannot find these by itself.
        words.push(path("--basedir=", self.root.join("usr")));
        words.push(path("--plugin-dir=", self.root.join("usr/lib/mysql/plugin")));
        words.push(path("--lc-messages-dir=", self.root.join("usr/share/mysql")));
        words.push(path("--character-sets-dir=", self.root.join("usr/share/mysql/charsets")));
        // Debian's built-in directory does not exist here and the server would refuse to start.
        words.push("--secure-file-priv=".into());
        words.push(path("--datadir=", data.to_owned()));
        if nix::unistd::geteuid().is_root() {
            words.push("--user=root".into());
        }
        words
    }

    fn loader(&self) -> PathBuf {
        self.root.join("usr/lib64/ld-linux-x86-64.so.2")
    }

    fn loader_options(&self, name: &str) -> Vec<OsString> {
        let libraries = self.root.join("usr/lib/x86_64-linux-gnu");
        vec!["--library-path".into(), libraries.into(), "--argv0".into(), name.into()]
    }

    /// Copies the initialised data directory to `data`, which must not exist. The server gives itself a new UUID.
    pub fn copy_data_directory(&self, data: &Path) -> Result<()> {
        // `cp` clones the files where the file system can, and keeps holes.
        run(Command::new("cp")
            .args(["-a", "--reflink=auto", "--sparse=auto", "--"])
            .arg(self.root.join(TEMPLATE))
            .arg(data))
        .with_context(|| format!("copy the data directory to {}", data.display()))?;
        Ok(())
    }

    /// Makes the data directory that servers start from, in about 3 s.
    fn initialise(&self) -> Result<()> {
        let _progress = Progress::begin("initialise a MySQL data directory");
        let data = self.root.join(TEMPLATE);
        run(Command::new(self.loader())
            .args(self.server_words(&data))
            // The default redo log is 100 MB, which every copy would carry along.
            .args(["--initialize-insecure", "--innodb-redo-log-capacity=8M", "--log-error-verbosity=1"]))
        .context("mysqld --initialize-insecure")?;
        // Every server makes its own identity and has its own certificates. The pair `private_key.pem`, `public_key.pem`
        // (passwords without TLS) may be shared: this is a laboratory.
        for entry in fs::read_dir(&data).context("list the data directory")? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let certificate = ["ca", "server", "client"].iter().any(|prefix| name.starts_with(prefix))
                && Path::new(&name).extension().is_some_and(|extension| extension == "pem");
            if name == "auto.cnf" || certificate || name.starts_with("binlog.") {
                fs::remove_file(entry.path()).with_context(|| format!("remove {name}"))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_compared_by_name_and_sum() {
        let tested = "# comment\naa  one.deb\nbb  two.deb\n";
        assert!(differences(tested, "aa  one.deb\nbb  two.deb\n").is_empty());
        let found = differences(tested, "cc  one.deb\ndd  three.deb\n");
        assert_eq!(found, ["one.deb has another content", "new three.deb", "gone two.deb"]);
    }
}
