//! The table against the tree as it is, without building anything.

use crate::table::{self, Target};
use crate::{repository, tree};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn read(file: &str) -> String {
    fs::read_to_string(repository().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

fn rust_files(path: &Path, found: &mut Vec<PathBuf>) {
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            rust_files(&entry.unwrap().path(), found);
        }
    } else if path.extension().is_some_and(|extension| extension == "rs") {
        found.push(path.to_owned());
    }
}

#[test]
fn each_mistake_can_be_planted_in_exactly_one_place() {
    let mut names = BTreeSet::new();
    let mut lost = Vec::new();
    for mutant in table::all() {
        assert!(names.insert(mutant.name), "{} is there twice", mutant.name);
        let text = read(mutant.file);
        let mutated = tree::mutate(&text, mutant.find, mutant.replace);
        match mutated {
            Ok(mutated) => assert_ne!(mutated, text, "{} changes nothing", mutant.name),
            Err(error) => lost.push(format!("{}: {error:#}", mutant.name)),
        }
    }
    assert!(lost.is_empty(), "{}", lost.join("\n"));
    assert!(names.len() >= 24, "only {} mistakes", names.len());
}

/// Where the source of a target is.
fn sources_of(package: &str, target: Target) -> Vec<PathBuf> {
    let folder = match package {
        "mysql-takeover" => repository(),
        other => repository().join("tests").join(other),
    };
    let mut found = Vec::new();
    match target {
        Target::Lib => rust_files(&folder.join("src"), &mut found),
        Target::Test(name) => {
            let (file, room) = (folder.join(format!("tests/{name}.rs")), folder.join("tests").join(name));
            rust_files(if file.is_file() { &file } else { &room }, &mut found);
        }
    }
    found
}

#[test]
fn each_named_test_exists() {
    for mutant in table::all() {
        let test = mutant.test;
        let function = test.name.rsplit("::").next().unwrap();
        // A property has arguments.
        let declared = [format!("fn {function}()"), format!("fn {function}(")];
        let there = sources_of(test.package, test.target).iter().any(|path| {
            let source = fs::read_to_string(path).unwrap();
            declared.iter().any(|wanted| source.contains(wanted.as_str()))
        });
        assert!(there, "{}: there is no test {test}", mutant.name);
    }
}

#[test]
fn a_text_that_is_there_twice_is_refused() {
    assert!(tree::mutate("a a", "a", "b").is_err());
    assert!(tree::mutate("b", "a", "b").is_err());
    assert_eq!(tree::mutate("b a", "a", "c").unwrap(), "b c");
}
