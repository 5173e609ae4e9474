//! The custom resource definitions: `crds/` is what the types say, and what they say is sound.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use mysql_takeover::api::crd;
use serde_json::Value;
use std::path::Path;

#[test]
fn the_committed_definitions_are_those_of_the_types() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("crds");
    let mut expected = Vec::new();
    for definition in crd::all() {
        let name = crd::file_name(&definition);
        let committed = std::fs::read_to_string(folder.join(&name)).unwrap_or_default();
        assert!(
            committed == crd::yaml(&definition).unwrap(),
            "crds/{name} is out of date; run `cargo run -- crd --output-directory crds`"
        );
        expected.push(name);
    }
    let mut found: Vec<_> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    found.sort();
    expected.sort();
    assert_eq!(found, expected, "crds/ holds a file that no type stands behind");
}

/// What a user reads with `kubectl explain`, and what keeps a hostile object small.
#[test]
fn every_field_is_described_and_bounded() {
    let mut problems = Vec::new();
    for definition in crd::all() {
        for version in &definition.spec.versions {
            let schema = serde_json::to_value(&version.schema).unwrap();
            let path = &definition.spec.names.kind;
            walk(&schema["openAPIV3Schema"], path, true, &mut problems);
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

fn walk(schema: &Value, path: &str, described: bool, problems: &mut Vec<String>) {
    let mut complain = |problem: &str| problems.push(format!("{path}: {problem}"));
    if described && schema.get("description").is_none() {
        complain("no description");
    }
    if schema.get("nullable").is_some() {
        complain("nullable: a CEL rule takes null for a value");
    }
    match schema["type"].as_str() {
        Some("string") if ["enum", "maxLength", "format"].iter().all(|bound| schema.get(bound).is_none()) => {
            complain("a string without maxLength, enum or format");
        }
        Some("integer") if !matches!(schema["format"].as_str(), Some("int32" | "int64")) => {
            complain("an integer of a format that Kubernetes does not know");
        }
        Some("integer") if path.contains(".spec.") && schema.get("maximum").is_none() => {
            complain("an integer without maximum");
        }
        Some("array") if schema.get("maxItems").is_none() => complain("a list without maxItems"),
        Some("object") if schema.get("properties").is_none() && schema.get("maxProperties").is_none() => {
            complain("a map without maxProperties");
        }
        Some(_) => {}
        None => complain("no type"),
    }
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        walk(property, &format!("{path}.{name}"), true, problems);
    }
    if let Some(items) = schema.get("items") {
        walk(items, &format!("{path}[]"), false, problems);
    }
    if let Some(values) = schema.get("additionalProperties") {
        walk(values, &format!("{path}{{}}"), false, problems);
    }
}
