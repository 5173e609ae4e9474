//! The copy in which mistakes are planted.

use anyhow::{Context as _, Result, bail};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A copy of the files that are under version control, as they are in the working tree.
#[derive(Debug)]
pub struct Tree {
    folder: PathBuf,
}

impl Tree {
    /// Makes the copy, or brings an earlier one up to date. Only what differs is written, so that cargo builds little anew.
    pub fn copy(repository: &Path, folder: PathBuf) -> Result<Self> {
        let files = tracked(repository)?;
        for file in &files {
            let wanted =
                fs::read(repository.join(file)).with_context(|| format!("read {}", file.display()))?;
            let target = folder.join(file);
            if fs::read(&target).is_ok_and(|found| found == wanted) {
                continue;
            }
            if let Some(parent) = target.parent() {
                fs::create_dir_all(parent).with_context(|| format!("create {}", parent.display()))?;
            }
            fs::write(&target, wanted).with_context(|| format!("write {}", target.display()))?;
        }
        for path in sources(&folder)? {
            if path.strip_prefix(&folder).is_ok_and(|file| !files.contains(file)) {
                fs::remove_file(&path).with_context(|| format!("remove {}", path.display()))?;
            }
        }
        Ok(Self { folder })
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Replaces a text that is there exactly once. The file is as it was when the guard is dropped.
    pub fn plant(&self, file: &str, find: &str, replace: &str) -> Result<Planted> {
        let path = self.folder.join(file);
        let before = fs::read_to_string(&path).with_context(|| format!("read {file}"))?;
        let mutated = mutate(&before, find, replace).with_context(|| format!("in {file}"))?;
        fs::write(&path, mutated).with_context(|| format!("write {file}"))?;
        Ok(Planted { path, before })
    }
}

/// The text with the replacement in it.
///
/// # Errors
/// The text to be replaced is not there exactly once.
pub fn mutate(text: &str, find: &str, replace: &str) -> Result<String> {
    match text.matches(find).count() {
        1 => Ok(text.replacen(find, replace, 1)),
        count => bail!("this is there {count} times, not once; bring the table up to date:\n{find}"),
    }
}

/// A planted mistake.
#[derive(Debug)]
pub struct Planted {
    path: PathBuf,
    before: String,
}

impl Drop for Planted {
    fn drop(&mut self) {
        // Where this fails, the next run brings the copy up to date.
        let _ = fs::write(&self.path, &self.before);
    }
}

/// The files under version control that are there.
fn tracked(repository: &Path) -> Result<BTreeSet<PathBuf>> {
    let output = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(repository)
        .output()
        .context("run git")?;
    if !output.status.success() {
        bail!("git ls-files: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    let names = String::from_utf8(output.stdout).context("names of files")?;
    Ok(names
        .split_terminator('\0')
        .map(PathBuf::from)
        .filter(|file| repository.join(file).is_file())
        .collect())
}

/// Every Rust file of the copy: one that is left from before would be compiled.
fn sources(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![folder.join("src"), folder.join("tests")];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).with_context(|| format!("list {}", next.display()))? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    Ok(found)
}
