//! The documentation against what it speaks of: fields, links.
//!
//! `UPDATE=1 cargo test -p lab --test docs` writes the generated page anew.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod fields;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_path_buf()
}

fn files_with_extension(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let entries =
        fs::read_dir(folder).unwrap_or_else(|error| panic!("cannot list {}: {error}", folder.display()));
    let paths = entries.map(|entry| entry.unwrap().path());
    let mut paths: Vec<_> =
        paths.filter(|path| path.extension().is_some_and(|found| found == extension)).collect();
    paths.sort();
    paths
}

/// Every page that a reader may open.
fn pages() -> Vec<PathBuf> {
    ["", "docs", "docs/adr", "charts/mysql-takeover"]
        .iter()
        .flat_map(|folder| files_with_extension(&repository().join(folder), "md"))
        .collect()
}

#[test]
fn the_fields_are_those_of_the_definitions() {
    let definitions = files_with_extension(&repository().join("crds"), "yaml");
    let definitions: Vec<_> = definitions.iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    let wanted = fields::page(&definitions);
    let path = repository().join("docs/fields.md");
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, &wanted).unwrap();
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert!(found == wanted, "docs/fields.md is out of date; run: UPDATE=1 cargo test -p lab --test docs");
}

/// The anchor that a heading gets: lower case, spaces to dashes, punctuation dropped.
fn anchor(heading: &str) -> String {
    let kept = heading.trim().to_lowercase();
    let kept = kept.chars().filter(|letter| letter.is_alphanumeric() || [' ', '-', '_'].contains(letter));
    kept.map(|letter| if letter == ' ' { '-' } else { letter }).collect()
}

fn anchors(page: &Path) -> BTreeSet<String> {
    let text = fs::read_to_string(page).unwrap();
    text.lines()
        .filter(|line| line.starts_with('#'))
        .map(|line| anchor(line.trim_start_matches('#')))
        .collect()
}

#[test]
fn every_link_between_pages_leads_somewhere() {
    let mut broken = Vec::new();
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if link.starts_with("http") {
                continue;
            }
            let (file, wanted) =
                link.split_once('#').map_or((link, None), |(file, anchor)| (file, Some(anchor)));
            let target = if file.is_empty() { page.clone() } else { page.parent().unwrap().join(file) };
            let missing = !target.exists()
                || wanted.is_some_and(|wanted| target.is_file() && !anchors(&target).contains(wanted));
            if missing {
                broken.push(format!("{}: {link}", page.strip_prefix(repository()).unwrap().display()));
            }
        }
    }
    assert!(broken.is_empty(), "broken links:\n{}", broken.join("\n"));
}

/// The CamelCase names that a source file gives to things: the literals on the right of `=>`.
fn names_given_in(source: &str) -> BTreeSet<String> {
    let text = fs::read_to_string(repository().join(source)).unwrap();
    let literals =
        text.lines().filter_map(|line| line.split_once("=> \"")?.1.split_once('"')).map(|(name, _)| name);
    literals.filter(|name| name.starts_with(char::is_uppercase)).map(str::to_owned).collect()
}

#[test]
fn every_reason_and_step_is_explained() {
    let page = ["docs/takeover.md", "docs/reference.md"]
        .map(|page| fs::read_to_string(repository().join(page)).unwrap());
    let page = page.concat();
    let mut missing = Vec::new();
    for source in ["src/takeover/outcome.rs", "src/takeover/step.rs"] {
        let names = names_given_in(source);
        assert!(names.len() >= 12, "{source} has only {names:?}");
        missing.extend(
            names.into_iter().filter(|name| {
                !page.contains(&format!("`{name}`")) && !page.contains(&format!("| {name} |"))
            }),
        );
    }
    assert!(missing.is_empty(), "docs/takeover.md and docs/reference.md do not explain: {missing:?}");
}

/// The metric names that a text uses.
fn metrics_in(text: &str) -> BTreeSet<String> {
    let words =
        text.split(|letter: char| !letter.is_ascii_lowercase() && letter != '_' && !letter.is_ascii_digit());
    words.filter(|word| word.starts_with("mysql_takeover_")).map(str::to_owned).collect()
}

#[test]
fn every_metric_is_documented() {
    let documented = metrics_in(&fs::read_to_string(repository().join("docs/reference.md")).unwrap());
    let source = fs::read_to_string(repository().join("src/telemetry/metrics.rs")).unwrap();
    let registered: Vec<_> =
        source.split("registry.register").skip(1).filter_map(|rest| rest.split('"').nth(1)).collect();
    assert!(registered.len() >= 12, "{registered:?}");
    let missing: Vec<_> = registered
        .iter()
        .filter(|name| !documented.iter().any(|metric| metric.starts_with(&format!("mysql_takeover_{name}"))))
        .collect();
    assert!(missing.is_empty(), "docs/reference.md does not have: {missing:?}");
}

#[test]
fn every_alert_is_explained_and_uses_documented_metrics() {
    let page = fs::read_to_string(repository().join("docs/reference.md")).unwrap();
    let alerts = fs::read_to_string(repository().join("charts/mysql-takeover/files/alerts.yaml")).unwrap();
    let (documented, used) = (metrics_in(&page), metrics_in(&alerts));
    assert!(!used.is_empty());
    let missing: Vec<_> = used.difference(&documented).collect();
    assert!(missing.is_empty(), "docs/reference.md does not have: {missing:?}");
    for name in alerts.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")) {
        assert!(page.contains(&format!("### {name}\n")), "docs/reference.md does not explain {name}");
    }
}

#[test]
fn anchors_are_made_as_code_hosts_make_them() {
    assert_eq!(anchor(" When `Freeze` fails"), "when-freeze-fails");
    assert_eq!(anchor("Rights in Kubernetes: the list"), "rights-in-kubernetes-the-list");
}
