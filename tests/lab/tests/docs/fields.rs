//! The page of every field of both kinds, from their definitions.

use serde_json::Value;
use std::fmt::Write as _;

/// The whole page.
pub fn page(definitions: &[String]) -> String {
    let mut page = String::from(
        "<!-- Generated from crds/ by the documentation's test; do not edit. -->\n\n# Fields\n\n\
         Also on any cluster that has the definitions: `kubectl explain mysqlclusters.spec --recursive`.\n",
    );
    for definition in definitions {
        let definition: Value = serde_saphyr::from_str(definition).unwrap();
        let names = &definition["spec"]["names"];
        let version = &definition["spec"]["versions"][0];
        let schema = &version["schema"]["openAPIV3Schema"];
        write!(page, "\n## {}\n\n", text(&names["kind"])).unwrap();
        write!(
            page,
            "`{}/{}`, {}; `kubectl get {}`, short name `{}`.\n\n{}\n",
            text(&definition["spec"]["group"]),
            text(&version["name"]),
            text(&definition["spec"]["scope"]).to_lowercase(),
            text(&names["plural"]),
            text(&names["shortNames"][0]),
            prose(&schema["properties"]["spec"]["description"]),
        )
        .unwrap();
        for part in ["spec", "status"] {
            let part_schema = &schema["properties"][part];
            write!(page, "\n### {} of a {}\n\n", part[..1].to_uppercase() + &part[1..], text(&names["kind"]))
                .unwrap();
            page.push_str("| field | type | meaning |\n|---|---|---|\n");
            rows(&mut page, part_schema, part);
            rules(&mut page, part_schema);
        }
    }
    page
}

fn rows(page: &mut String, schema: &Value, path: &str) {
    let Some(properties) = schema["properties"].as_object() else { return };
    let required =
        |name: &str| schema["required"].as_array().is_some_and(|names| names.iter().any(|one| one == name));
    for (name, property) in properties {
        let path = format!("{path}.{name}");
        let marker = if required(name) { ", required" } else { "" };
        let meaning = prose(&property["description"]);
        writeln!(page, "| `{path}` | {}{marker} | {meaning} |", kind(property)).unwrap();
        // The same in every kind of every project.
        if name == "conditions" || name == "matchExpressions" {
            continue;
        }
        rows(page, property, &path);
        rows(page, &property["items"], &format!("{path}[]"));
    }
}

/// Type, bounds and default in one cell.
fn kind(property: &Value) -> String {
    let mut cell = match property["type"].as_str() {
        Some("array") => format!("list of {}", property["items"]["type"].as_str().unwrap_or("values")),
        Some("object") if property["additionalProperties"].is_object() => "map".to_owned(),
        Some(name) => name.to_owned(),
        None => "any".to_owned(),
    };
    if let Some(values) = property["enum"].as_array() {
        let names: Vec<_> = values.iter().filter_map(Value::as_str).map(|name| format!("`{name}`")).collect();
        cell = names.join(", ");
    }
    if property["format"] == "date-time" {
        "instant".clone_into(&mut cell);
    }
    if let (Some(low), Some(high)) = (property["minimum"].as_f64(), property["maximum"].as_f64()) {
        write!(cell, " {low} to {high}").unwrap();
    }
    match &property["default"] {
        Value::Null | Value::Object(_) => cell,
        Value::String(value) => format!("{cell}; default `{value}`"),
        value => format!("{cell}; default `{value}`"),
    }
}

/// The rules that one field's bounds cannot say, by their messages.
fn rules(page: &mut String, schema: &Value) {
    let mut messages = Vec::new();
    collect_rules(schema, &mut messages);
    if messages.is_empty() {
        return;
    }
    page.push_str("\nRefused at once, with these messages:\n\n");
    for message in messages {
        writeln!(page, "- {message}").unwrap();
    }
}

fn collect_rules(schema: &Value, messages: &mut Vec<String>) {
    for rule in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
        messages.push(text(&rule["message"]));
    }
    for property in schema["properties"].as_object().into_iter().flat_map(|properties| properties.values()) {
        collect_rules(property, messages);
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// A description on one line of a table.
fn prose(description: &Value) -> String {
    text(description).split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}
