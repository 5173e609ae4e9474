//! The chart, the plain manifests and every sample, against a real API server.

use crate::helm::{self, Scratch, chart};
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::discovery::pinned_kind;
use lab::control_plane::ControlPlane;
use lab::small::SmallTier;
use serde_json::{Value, json};

async fn tier() -> &'static SmallTier {
    SmallTier::shared().await.unwrap_or_else(|error| panic!("{error:#}"))
}

/// Every `MySQLCluster` and `MasterTakeover` that a text shows, in an indented or fenced block or in a heredoc.
fn samples(text: &str) -> Vec<Value> {
    let mut found = Vec::new();
    let lines: Vec<_> = text.lines().collect();
    for (index, line) in lines.iter().enumerate() {
        let Some(indentation) = line.find("apiVersion: mysql-takeover.io/") else { continue };
        let block: Vec<_> = lines[index..]
            .iter()
            .take_while(|line| {
                line.len() > indentation
                    && line.is_char_boundary(indentation)
                    && line[..indentation].trim().is_empty()
            })
            .map(|line| &line[indentation..])
            .take_while(|line| !["EOF", "```", "---"].contains(line))
            .collect();
        found.extend(helm::parse(&block.join("\n")));
    }
    found
}

/// Has the server check an object as if it were created.
async fn dry_run(control_plane: &ControlPlane, namespace: &str, object: &Value) -> Result<(), kube::Error> {
    let (group, version) = object["apiVersion"].as_str().unwrap().split_once('/').unwrap();
    let kind = GroupVersionKind::gvk(group, version, object["kind"].as_str().unwrap());
    let client = control_plane.client().await.unwrap();
    let (resource, _): (ApiResource, _) = pinned_kind(&client, &kind).await?;
    let api: Api<DynamicObject> = Api::namespaced_with(client, namespace, &resource);
    let parameters = PatchParams { dry_run: true, force: true, ..PatchParams::apply("chart-test") };
    let mut object = object.clone();
    object["metadata"]["namespace"] = json!(namespace);
    let name = object["metadata"]["name"].as_str().unwrap().to_owned();
    api.patch(&name, &parameters, &Patch::Apply(&object)).await.map(|_| ())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_api_server_takes_the_manifests_the_release_and_the_samples() {
    let tier = tier().await;
    let control_plane = &tier.control_plane;
    let output = Scratch::new("server-manifests");
    helm::render_plain_manifests(output.path());

    for name in ["install.yaml", "install-namespaced.yaml"] {
        let manifests = std::fs::read_to_string(output.path().join(name)).unwrap();
        control_plane.apply(&manifests).await.unwrap_or_else(|error| panic!("{name}: {error:#}"));
    }

    let namespace = tier.namespace("release").await.unwrap().name;
    let kubeconfig = control_plane.admin_kubeconfig().display().to_string();
    let scope = format!("watchNamespaces={{{namespace}}},crds.enabled=false");
    // The cluster-wide roles are there already, from the plain manifests, and do not belong to this release.
    let roles = "rbac.aggregateToView=false,rbac.aggregateToEdit=false,rbac.aggregateToAdmin=false";
    let target = ["--namespace", &namespace, "--kubeconfig", &kubeconfig];
    let notes = helm::helm_ok(
        &[&["install", "operator", &chart(), "--set", &scope, "--set", roles], &target[..]].concat(),
    );

    let mut shown: Vec<_> =
        samples(&notes).into_iter().map(|sample| ("NOTES.txt".to_owned(), sample)).collect();
    assert_eq!(shown.len(), 2, "a cluster and a takeover in: {notes}");
    let files = ["mysqlcluster", "mastertakeover", "mastertakeover-dry-run"]
        .map(|name| format!("config/samples/{name}.yaml"));
    for page in ["README.md", "docs/install.md", "docs/gitops.md"].map(str::to_owned).iter().chain(&files) {
        let found = samples(&helm::read(page));
        assert!(!found.is_empty(), "{page} shows no sample");
        shown.extend(found.into_iter().map(|sample| (page.clone(), sample)));
    }
    for (page, sample) in shown {
        let checked = dry_run(control_plane, &namespace, &sample).await;
        assert!(checked.is_ok(), "{page}: {} {sample}", checked.unwrap_err());
    }

    helm::helm_ok(&[&["uninstall", "operator"], &target[..]].concat());
}
