//! Running helm, and looking at what it rendered.

use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The chart as it is, with no value set.
pub const DEFAULT: &[&str] = &[];

/// The version that helm is told: it knows only an old one of its own when no cluster is asked.
pub const KUBERNETES: &str = "1.36.4";

/// The root of the repository.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_path_buf()
}

/// A file of the repository.
pub fn read(path: &str) -> String {
    let path = repository().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()))
}

/// The names of the YAML files of a folder, sorted.
pub fn yaml_files(folder: &Path) -> Vec<String> {
    let entries =
        fs::read_dir(folder).unwrap_or_else(|error| panic!("cannot list {}: {error}", folder.display()));
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names
        .filter(|name| Path::new(name).extension().is_some_and(|extension| extension == "yaml"))
        .collect();
    names.sort();
    names
}

/// The chart's folder.
pub fn chart() -> String {
    repository().join("charts/mysql-takeover").display().to_string()
}

/// One of the chart's example values files.
pub fn values_file(name: &str) -> String {
    format!("{}/ci/{name}-values.yaml", chart())
}

fn helm_binary() -> PathBuf {
    lab::tools::find_helm().unwrap_or_else(|error| panic!("{error:#}"))
}

fn run(command: &mut Command) -> Result<String, String> {
    let output = command.output().unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
    let text = String::from_utf8(output.stdout).unwrap();
    if output.status.success() { Ok(text) } else { Err(text + &String::from_utf8_lossy(&output.stderr)) }
}

/// Runs helm; fails the test when helm does.
pub fn helm_ok(arguments: &[&str]) -> String {
    run(Command::new(helm_binary()).args(arguments))
        .unwrap_or_else(|error| panic!("helm {arguments:?}: {error}"))
}

/// `helm template` of the chart as release `lab` in namespace `operators`.
pub fn helm_template(arguments: &[&str]) -> Result<String, String> {
    let folder = chart();
    let fixed = ["template", "lab", &folder, "--namespace", "operators", "--kube-version", KUBERNETES];
    run(Command::new(helm_binary()).args(fixed).args(arguments))
}

/// Runs the script that writes the plain manifests.
pub fn render_plain_manifests(output: &Path) {
    let mut command = Command::new(repository().join("config/render.sh"));
    run(command.arg(output).env("HELM", helm_binary()))
        .unwrap_or_else(|error| panic!("config/render.sh: {error}"));
}

/// Every document of a YAML text; the parser refuses duplicate keys.
pub fn parse(text: &str) -> Vec<Value> {
    let documents: Vec<Value> =
        serde_saphyr::from_multiple(text).unwrap_or_else(|error| panic!("{error} in\n{text}"));
    documents.into_iter().filter(|document| !document.is_null()).collect()
}

/// What a `helm template` gave.
pub struct Rendered {
    pub text: String,
    pub objects: Vec<Value>,
}

impl Rendered {
    pub fn of(arguments: &[&str]) -> Self {
        let text =
            helm_template(arguments).unwrap_or_else(|error| panic!("helm template {arguments:?}: {error}"));
        let objects = parse(&text);
        Self { text, objects }
    }

    pub fn of_kind(&self, kind: &str) -> Vec<&Value> {
        self.objects.iter().filter(|object| object["kind"] == kind).collect()
    }

    pub fn one(&self, kind: &str, name: &str) -> &Value {
        let mut found = self.of_kind(kind).into_iter().filter(|object| object["metadata"]["name"] == name);
        let object = found.next().unwrap_or_else(|| panic!("no {kind} {name}"));
        assert!(found.next().is_none(), "more than one {kind} {name}");
        object
    }

    pub fn pod(&self) -> &Value {
        &self.one("Deployment", "lab-mysql-takeover")["spec"]["template"]["spec"]
    }
}

/// The exact rights of the operator in a namespace that it serves.
pub fn golden_rules(secret_names: Option<Value>) -> Value {
    let mut secrets = json!({"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]});
    if let Some(names) = secret_names {
        secrets["resourceNames"] = names;
    }
    json!([
        {"apiGroups": ["mysql-takeover.io"], "resources": ["mysqlclusters"], "verbs": ["get", "list", "watch", "patch"]},
        {"apiGroups": ["mysql-takeover.io"], "resources": ["mastertakeovers"],
         "verbs": ["get", "list", "watch", "patch", "delete"]},
        {"apiGroups": ["mysql-takeover.io"], "resources": ["mysqlclusters/status", "mastertakeovers/status"],
         "verbs": ["update"]},
        {"apiGroups": ["mysql-takeover.io"], "resources": ["mysqlclusters/finalizers"], "verbs": ["update"]},
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["list", "watch", "patch"]},
        {"apiGroups": [""], "resources": ["services"], "verbs": ["get", "create", "patch"]},
        {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list"]},
        secrets,
        {"apiGroups": ["events.k8s.io"], "resources": ["events"], "verbs": ["create"]},
    ])
}

/// Every object with properties refuses others, and the default values have a schema and the schema's keys a default.
/// Free objects, such as an affinity, are those without properties.
pub fn assert_closed(schema: &Value, values: &Value, path: &str) {
    let Some(properties) = schema["properties"].as_object() else { return };
    assert_eq!(schema["additionalProperties"], false, "{path} takes unknown keys");
    for key in properties.keys() {
        // `global` belongs to a parent chart; an example of the others would be an opinion.
        let optional = path == "values" && key == "global" || path == "values.resources" && key == "claims";
        assert!(optional || !values[key].is_null(), "{path}.{key} has no default in values.yaml");
    }
    for (key, value) in values.as_object().unwrap_or_else(|| panic!("{path} is no object")) {
        let schema = properties.get(key).unwrap_or_else(|| panic!("{path}.{key} is not in the schema"));
        assert_closed(schema, value, &format!("{path}.{key}"));
    }
}

/// Equality that does not tell 5 from 5.0, and that names the path of a difference: helm turns numbers into floats.
pub fn assert_same(left: &Value, right: &Value, path: &str) {
    match (left, right) {
        (Value::Object(left_map), Value::Object(right_map)) => {
            let keys: std::collections::BTreeSet<_> = left_map.keys().chain(right_map.keys()).collect();
            for key in keys {
                assert_same(&left[key], &right[key], &format!("{path}.{key}"));
            }
        }
        (Value::Array(left_items), Value::Array(right_items)) => {
            assert_eq!(left_items.len(), right_items.len(), "{path}");
            for (index, (left, right)) in left_items.iter().zip(right_items).enumerate() {
                assert_same(left, right, &format!("{path}[{index}]"));
            }
        }
        (Value::Number(left_number), Value::Number(right_number)) => {
            assert_eq!(left_number.as_f64(), right_number.as_f64(), "{path}");
        }
        _ => assert_eq!(left, right, "{path}"),
    }
}

/// A folder of one test's own, removed with it.
pub struct Scratch(PathBuf);

impl Scratch {
    pub fn new(name: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap_or_else(|error| panic!("cannot make {}: {error}", path.display()));
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
