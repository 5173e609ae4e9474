//! Container images written from local files, because no registry is reached: docker-archive files with one layer, which
//! containerd imports and `docker load` reads too.

pub mod catalog;

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, BufWriter, Seek as _, Write};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tar::{EntryType, Header};

use crate::tools::cache;

/// The archive in its folder of the cache.
const ARCHIVE: &str = "image.tar";
/// How long an archive stays after its last use, once there is another.
const UNUSED: Duration = Duration::from_hours(1);
/// Digits of a fingerprint.
const FINGERPRINT: usize = 16;

/// An image to be written: what is in it and how it starts. Entries are kept in the order they were given.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Image {
    entries: Vec<(PathBuf, Entry)>,
    environment: Vec<String>,
    entrypoint: Vec<String>,
    command: Vec<String>,
    user: String,
    directory: String,
}

#[derive(Clone, Debug)]
enum Entry {
    Directory {
        mode: u32,
        owner: u64,
    },
    /// A file of this machine, links followed.
    Copy(PathBuf),
    Text(String),
    Link(PathBuf),
}

impl Image {
    /// An empty image with what every image has: `/tmp` that all may write to, and an environment with a search path.
    pub fn new() -> Self {
        Self::default()
            .directory("/tmp", 0o1777, 0)
            .directory("/etc", 0o755, 0)
            .environment("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
    }

    /// A directory with its permissions and its owner (user and group). Directories that are only passed through need none.
    pub fn directory(self, path: &str, mode: u32, owner: u64) -> Self {
        self.entry(path, Entry::Directory { mode, owner })
    }

    /// A copy of the file `source` with its permissions.
    pub fn copy(self, path: impl AsRef<Path>, source: impl Into<PathBuf>) -> Self {
        self.entry(path, Entry::Copy(source.into()))
    }

    /// A file with this text, readable by all.
    pub fn text(self, path: &str, text: impl Into<String>) -> Self {
        self.entry(path, Entry::Text(text.into()))
    }

    /// A symbolic link.
    pub fn link(self, path: impl AsRef<Path>, target: impl Into<PathBuf>) -> Self {
        self.entry(path, Entry::Link(target.into()))
    }

    /// One variable of the environment, as `NAME=value`.
    pub fn environment(mut self, variable: &str) -> Self {
        self.environment.push(variable.to_owned());
        self
    }

    /// The program that always runs.
    pub fn entrypoint(mut self, words: &[&str]) -> Self {
        self.entrypoint = words.iter().map(ToString::to_string).collect();
        self
    }

    /// The arguments (or the program, without an entry point) that a Pod may replace.
    pub fn command(mut self, words: &[&str]) -> Self {
        self.command = words.iter().map(ToString::to_string).collect();
        self
    }

    /// The user by number: `runAsNonRoot` cannot be checked against a name.
    pub fn user(mut self, user: &str) -> Self {
        user.clone_into(&mut self.user);
        self
    }

    fn entry(mut self, path: impl AsRef<Path>, entry: Entry) -> Self {
        self.entries.push((path.as_ref().to_owned(), entry));
        self
    }

    /// Writes the archive of this image, under `name` (with registry and tag), to `path`; whole or not at all.
    pub fn write(&self, name: &str, path: &Path) -> Result<()> {
        let partial = path.with_extension("partial");
        self.write_archive(name, &partial).with_context(|| format!("cannot write image {name}"))?;
        fs::rename(&partial, path).with_context(|| format!("cannot rename {}", partial.display()))
    }

    /// The archive of this image under `name`, from the project's cache; written if none of the same content is there.
    /// Older ones that nobody used for an hour go: another checkout or profile may be importing its own right now.
    pub fn cached(&self, name: &str) -> Result<PathBuf> {
        let stem = format!("image-{}-", name.rsplit('/').next().unwrap_or(name).replace(':', "-"));
        let folder = format!("{stem}{}", self.fingerprint(name)?);
        let archive =
            cache::ensure(&folder, |building| self.write(name, &building.join(ARCHIVE)))?.join(ARCHIVE);
        File::open(&archive)
            .and_then(|file| file.set_modified(SystemTime::now()))
            .with_context(|| format!("cannot mark {} as used", archive.display()))?;
        remove_unused(&cache::directory()?, &stem);
        Ok(archive)
    }

    /// Changes when the image would: names, sizes and times of its files, without reading them.
    fn fingerprint(&self, name: &str) -> Result<String> {
        let mut hash = Sha256::new();
        hash.update(format!("{name}\n{self:?}\n"));
        for (_, entry) in &self.entries {
            if let Entry::Copy(source) = entry {
                let metadata =
                    fs::metadata(source).with_context(|| format!("cannot read {}", source.display()))?;
                hash.update(format!("{} {} {}\n", metadata.len(), metadata.mtime(), metadata.mtime_nsec()));
            }
        }
        let mut text = hexadecimal(&hash.finalize());
        text.truncate(FINGERPRINT);
        Ok(text)
    }

    fn write_archive(&self, name: &str, path: &Path) -> Result<()> {
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).with_context(|| format!("cannot create {}", parent.display()))?;
        }
        // The layer's header in the archive needs its length first.
        let layer_path = path.with_extension("layer");
        let mut layer = File::options()
            .create(true)
            .truncate(true)
            .read(true)
            .write(true)
            .open(&layer_path)
            .with_context(|| format!("cannot create {}", layer_path.display()))?;
        let _removed = RemoveOnDrop(&layer_path);
        let digest = self.write_layer(&layer)?;
        layer.rewind().context("cannot read the layer again")?;

        let configuration = serde_json::to_vec(&json!({
            "architecture": architecture(),
            "os": "linux",
            "config": {
                "Env": self.environment, "Entrypoint": self.entrypoint, "Cmd": self.command,
                "User": self.user, "WorkingDir": self.directory,
            },
            "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{digest}")]},
        }))?;
        let configuration_name = format!("{}.json", hexadecimal(&Sha256::digest(&configuration)));
        let layer_name = format!("{digest}.tar");
        let manifest = serde_json::to_vec(&json!([
            {"Config": configuration_name, "RepoTags": [name], "Layers": [layer_name]}
        ]))?;

        let mut archive = tar::Builder::new(BufWriter::new(File::create(path)?));
        append(&mut archive, &layer_name, 0o644, layer.metadata()?.len(), &mut layer)?;
        for (name, bytes) in [(configuration_name.as_str(), configuration), ("manifest.json", manifest)] {
            append(&mut archive, name, 0o644, bytes.len() as u64, &mut bytes.as_slice())?;
        }
        archive.into_inner()?.flush().context("cannot write the archive")
    }

    /// Returns the SHA-256 of the layer.
    fn write_layer(&self, file: &File) -> Result<String> {
        let output = Hashing { inner: BufWriter::new(file), hash: Sha256::new() };
        let mut layer = tar::Builder::new(output);
        for (path, entry) in &self.entries {
            let inside = path.strip_prefix("/").unwrap_or(path);
            let failed = || format!("cannot put {} into the image", path.display());
            match entry {
                Entry::Directory { mode, owner } => {
                    let mut header = header(EntryType::Directory, *mode, 0);
                    header.set_uid(*owner);
                    header.set_gid(*owner);
                    layer.append_data(&mut header, inside, io::empty()).with_context(failed)?;
                }
                Entry::Link(target) => {
                    let mut header = header(EntryType::Symlink, 0o777, 0);
                    layer.append_link(&mut header, inside, target).with_context(failed)?;
                }
                Entry::Text(text) => {
                    append(&mut layer, inside, 0o644, text.len() as u64, &mut text.as_bytes())
                        .with_context(failed)?;
                }
                Entry::Copy(source) => {
                    let mut source_file =
                        File::open(source).with_context(|| format!("cannot open {}", source.display()))?;
                    let metadata = source_file.metadata().with_context(failed)?;
                    append(
                        &mut layer,
                        inside,
                        metadata.permissions().mode(),
                        metadata.len(),
                        &mut source_file,
                    )
                    .with_context(failed)?;
                }
            }
        }
        let mut output = layer.into_inner().context("cannot write the layer")?;
        output.flush().context("cannot write the layer")?;
        Ok(hexadecimal(&output.hash.finalize()))
    }
}

/// Removes image folders (and their locks) with names that begin with `stem`, if they were not used lately.
fn remove_unused(cache: &Path, stem: &str) {
    for entry in fs::read_dir(cache).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.strip_prefix(stem).is_none_or(|rest| rest.len() != FINGERPRINT) {
            continue;
        }
        let used = fs::metadata(entry.path().join(ARCHIVE)).and_then(|metadata| metadata.modified());
        // What cannot be removed stays; it only takes space.
        if used.is_ok_and(|time| time.elapsed().is_ok_and(|age| age > UNUSED)) {
            let _ = fs::remove_dir_all(entry.path());
            let _ = fs::remove_file(cache.join(format!("{name}.lock")));
        }
    }
}

/// Times and owners are left at zero, so that the same files make the same image.
fn header(kind: EntryType, mode: u32, size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode & 0o7777);
    header.set_size(size);
    header
}

fn append<W: Write>(
    archive: &mut tar::Builder<W>,
    path: impl AsRef<Path>,
    mode: u32,
    size: u64,
    data: &mut dyn io::Read,
) -> io::Result<()> {
    archive.append_data(&mut header(EntryType::Regular, mode, size), path, data)
}

/// The architecture under the name that images use.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in bytes {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

struct Hashing<W> {
    inner: W,
    hash: Sha256,
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        if let Some(done) = bytes.get(..written) {
            self.hash.update(done);
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

struct RemoveOnDrop<'a>(&'a Path);

impl Drop for RemoveOnDrop<'_> {
    fn drop(&mut self) {
        let _ = fs::remove_file(self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_names_its_layer_by_the_layer_s_digest() {
        let folder = std::env::temp_dir().join(format!("lab-image-{}", std::process::id()));
        let path = folder.join("image.tar");
        let image =
            Image::new().text("/etc/passwd", "root:x:0:0::/:/bin/sh\n").link("/bin", "usr/bin").user("65532");
        image.write("docker.io/library/thing:1", &path).unwrap();
        let first = fs::read(&path).unwrap();
        image.write("docker.io/library/thing:1", &path).unwrap();
        assert_eq!(first, fs::read(&path).unwrap(), "the same files make the same image");

        let mut archive = tar::Archive::new(first.as_slice());
        let mut files = std::collections::BTreeMap::new();
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            let name = entry.path().unwrap().display().to_string();
            let mut bytes = Vec::new();
            io::Read::read_to_end(&mut entry, &mut bytes).unwrap();
            files.insert(name, bytes);
        }
        let manifest: serde_json::Value = serde_json::from_slice(&files["manifest.json"]).unwrap();
        let layer = manifest[0]["Layers"][0].as_str().unwrap();
        let digest = hexadecimal(&Sha256::digest(&files[layer]));
        assert_eq!(layer, format!("{digest}.tar"));
        let configuration: serde_json::Value =
            serde_json::from_slice(&files[manifest[0]["Config"].as_str().unwrap()]).unwrap();
        assert_eq!(configuration["rootfs"]["diff_ids"][0], format!("sha256:{digest}"));
        assert_eq!(configuration["config"]["User"], "65532");
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "no partial files stay");
        fs::remove_dir_all(folder).unwrap();
    }
}
