//! The Helm chart and what is rendered from it, checked with the real helm.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod helm;
mod on_server;
mod rights;

use helm::{DEFAULT, Rendered, chart, golden_rules, repository, values_file};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;

const VALUES_FILES: [&str; 5] = ["default", "namespaced", "single", "ha", "monitoring"];

#[test]
fn every_shape_lints_and_renders_sound_objects() {
    for name in VALUES_FILES {
        let file = values_file(name);
        helm::helm_ok(&["lint", "--strict", "--kube-version", helm::KUBERNETES, "--values", &file, &chart()]);

        let rendered = Rendered::of(&["--values", &file]);
        let mut seen = BTreeSet::new();
        for object in &rendered.objects {
            let metadata = &object["metadata"];
            let identity = format!("{} {}/{}", object["kind"], metadata["namespace"], metadata["name"]);
            assert!(metadata["name"].is_string(), "{name}: no name in {object}");
            assert!(seen.insert(identity.clone()), "{name}: rendered twice: {identity}");
            for label in ["name", "instance", "component", "part-of", "version", "managed-by"] {
                let key = format!("app.kubernetes.io/{label}");
                assert!(metadata["labels"][&key].is_string(), "{name}: {identity} lacks {key}");
            }
            let kind = object["kind"].as_str().unwrap();
            let cluster_wide = kind.starts_with("Cluster") || kind == "CustomResourceDefinition";
            assert_eq!(metadata["namespace"].is_null(), cluster_wide, "{name}: {identity}");
        }
    }
}

#[test]
fn unknown_or_unfit_values_are_refused_by_name() {
    for (set, expected) in [
        ("replicas=3", "'replicas' not allowed"),
        ("image.tga=1", "'tga' not allowed"),
        ("image.tag=latest", "/image/tag"),
        ("image.digest=sha256:1", "/image/digest"),
        ("metrics.serviceMonitor.enable=true", "'enable' not allowed"),
        ("watchNamespaces={Shop}", "/watchNamespaces/0"),
        ("terminationGracePeriodSeconds=10", "/terminationGracePeriodSeconds"),
        ("log.format=xml", "/log/format"),
        ("leaderElection.renewDeadlineSeconds=15", "less than leaseDurationSeconds"),
        ("leaderElection.retryPeriodSeconds=6", "at most half of renewDeadlineSeconds"),
        ("serviceAccount.create=false", "serviceAccount.name must be set"),
        (r"commonLabels.app\.kubernetes\.io/name=x", "app.kubernetes.io/name"),
    ] {
        let error = helm::helm_template(&["--set", set]).expect_err(set);
        assert!(error.contains(expected), "--set {set}: expected {expected:?} in: {error}");
    }
}

#[test]
fn the_schema_is_closed_and_knows_exactly_the_values() {
    let schema: Value =
        serde_json::from_str(&helm::read("charts/mysql-takeover/values.schema.json")).unwrap();
    let values: Value = serde_saphyr::from_str(&helm::read("charts/mysql-takeover/values.yaml")).unwrap();
    helm::assert_closed(&schema, &values, "values");
}

#[test]
fn the_operator_has_these_rights_and_no_others() {
    let cluster_wide = Rendered::of(DEFAULT);
    assert_eq!(cluster_wide.one("ClusterRole", "lab-mysql-takeover")["rules"], golden_rules(None));
    assert_eq!(cluster_wide.of_kind("Role").len(), 1, "only the Lease's");

    let namespaced = Rendered::of(&["--values", &values_file("namespaced")]);
    let mut roles = namespaced.of_kind("Role");
    roles.retain(|role| role["metadata"]["name"] == "operators-lab-mysql-takeover");
    let places: Vec<_> = roles.iter().map(|role| role["metadata"]["namespace"].as_str().unwrap()).collect();
    assert_eq!(places, ["shop", "billing"]);
    for role in roles {
        assert_eq!(role["rules"], golden_rules(Some(json!(["orders-db-operator", "orders-db-replication"]))));
    }
    assert!(
        namespaced.of_kind("ClusterRoleBinding").is_empty(),
        "a namespaced release binds nothing cluster-wide"
    );

    for rendered in [&cluster_wide, &namespaced] {
        let lease = rendered.one("Role", "lab-mysql-takeover-lease");
        assert_eq!(lease["metadata"]["namespace"], "operators");
        assert_eq!(
            lease["rules"],
            json!([
                {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["create"]},
                {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"],
                 "resourceNames": ["lab-mysql-takeover"], "verbs": ["get", "update"]},
            ])
        );
        for binding in
            rendered.of_kind("RoleBinding").into_iter().chain(rendered.of_kind("ClusterRoleBinding"))
        {
            let account =
                json!([{"kind": "ServiceAccount", "name": "lab-mysql-takeover", "namespace": "operators"}]);
            assert_eq!(binding["subjects"], account);
        }
        let roles = rendered.of_kind("Role").into_iter().chain(rendered.of_kind("ClusterRole"));
        assert!(roles.into_iter().all(|role| !role["rules"].to_string().contains('*')), "no wildcard");
    }
}

#[test]
fn only_admins_of_a_namespace_may_move_its_writes() {
    let rendered = Rendered::of(DEFAULT);
    for (role, aggregated_to) in [("view", "view edit admin"), ("edit", "edit admin"), ("admin", "admin")] {
        let object = rendered.one("ClusterRole", &format!("lab-mysql-takeover-{role}"));
        for target in ["view", "edit", "admin"] {
            let label =
                &object["metadata"]["labels"][format!("rbac.authorization.k8s.io/aggregate-to-{target}")];
            assert_eq!(label == "true", aggregated_to.contains(target), "{role} in {target}");
        }
        let may_create_takeovers = object["rules"].as_array().unwrap().iter().any(|rule| {
            let has = |list: &str, item: &str| rule[list].as_array().unwrap().contains(&json!(item));
            has("resources", "mastertakeovers") && has("verbs", "create")
        });
        assert_eq!(may_create_takeovers, role == "admin", "{role}");
    }
    let without = "rbac.aggregateToView=false,rbac.aggregateToEdit=false,rbac.aggregateToAdmin=false";
    assert_eq!(Rendered::of(&["--set", without]).of_kind("ClusterRole").len(), 1);
}

#[test]
fn the_pod_fits_the_restricted_standard() {
    for name in VALUES_FILES {
        let rendered = Rendered::of(&["--values", &values_file(name)]);
        let pod = rendered.pod();
        assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
        assert!(pod["securityContext"]["runAsUser"].as_i64().unwrap() > 0, "by number, not by name");
        assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
        for host in ["hostNetwork", "hostPID", "hostIPC"] {
            assert!(pod[host].is_null());
        }
        for container in pod["containers"].as_array().unwrap() {
            let context = &container["securityContext"];
            assert_eq!(context["allowPrivilegeEscalation"], false);
            assert_eq!(context["readOnlyRootFilesystem"], true);
            assert_eq!(context["capabilities"], json!({"drop": ["ALL"]}));
            assert!(container["resources"]["limits"]["memory"].is_string());
        }
        assert!(pod["terminationGracePeriodSeconds"].as_i64().unwrap() >= 60);
    }
}

#[test]
fn images_replicas_and_namespaces_reach_the_pod() {
    let default = Rendered::of(DEFAULT);
    assert_eq!(default.pod()["containers"][0]["image"], "mysql-takeover:0.1.0");
    assert_eq!(default.pod()["containers"][0]["imagePullPolicy"], "IfNotPresent");
    assert!(!default.text.contains("--watch-namespaces"), "none means all");
    assert_eq!(default.of_kind("PodDisruptionBudget").len(), 1);

    let digest = format!("sha256:{}", "0123456789abcdef".repeat(4));
    let ha = Rendered::of(&["--values", &values_file("ha"), "--set", "image.tag=ignored"]);
    let image = format!("registry.example.com:5000/databases/mysql-takeover@{digest}");
    assert_eq!(ha.pod()["containers"][0]["image"], image);

    let namespaced = Rendered::of(&["--values", &values_file("namespaced")]);
    let arguments = namespaced.pod()["containers"][0]["args"].as_array().unwrap();
    assert!(arguments.contains(&json!("--watch-namespaces=shop,billing")), "{arguments:?}");

    let single = Rendered::of(&["--values", &values_file("single")]);
    assert!(single.of_kind("PodDisruptionBudget").is_empty(), "with one replica it would block every drain");
    assert_eq!(single.pod()["serviceAccountName"], "existing");
    for kind in ["CustomResourceDefinition", "ClusterRole", "Role", "ServiceAccount"] {
        assert!(single.of_kind(kind).is_empty(), "{kind}");
    }
}

#[test]
fn monitoring_is_opt_in_and_complete() {
    for kind in ["ServiceMonitor", "PrometheusRule", "NetworkPolicy"] {
        assert!(Rendered::of(DEFAULT).of_kind(kind).is_empty(), "{kind}");
    }
    let file = values_file("monitoring");
    let disabled = "MySQLTakeoverNoLeader";
    let set = format!("metrics.prometheusRule.disabledAlerts={{{disabled}}}");
    let rendered = Rendered::of(&["--values", &file, "--set", &set]);
    for kind in ["ServiceMonitor", "PrometheusRule"] {
        let object = rendered.one(kind, "lab-mysql-takeover");
        assert_eq!(object["metadata"]["labels"]["release"], "kube-prometheus-stack");
    }
    assert_eq!(
        rendered.one("ServiceMonitor", "lab-mysql-takeover")["spec"]["endpoints"][0]["honorLabels"],
        true
    );

    let source: Value =
        serde_saphyr::from_str(&helm::read("charts/mysql-takeover/files/alerts.yaml")).unwrap();
    let all = source["groups"][0]["rules"].as_array().unwrap().len();
    let rules = rendered.one("PrometheusRule", "lab-mysql-takeover")["spec"]["groups"][0]["rules"]
        .as_array()
        .unwrap();
    assert_eq!(rules.len(), all - 1, "one is disabled");
    for rule in rules {
        assert_ne!(rule["alert"], disabled);
        for annotation in ["summary", "description", "runbook_url"] {
            assert!(rule["annotations"][annotation].is_string(), "{rule}: {annotation}");
        }
        assert!(["critical", "warning", "info"].contains(&rule["labels"]["severity"].as_str().unwrap()));
    }
}

#[test]
fn the_definitions_are_those_of_the_types() {
    let source = repository().join("crds");
    let names = helm::yaml_files(&source);
    assert_eq!(names, helm::yaml_files(&repository().join("charts/mysql-takeover/files/crds")));
    assert!(!names.is_empty(), "no definitions in {}", source.display());

    let kept = Rendered::of(DEFAULT);
    let removed = Rendered::of(&["--set", "crds.keep=false"]);
    for name in names {
        let text = fs::read_to_string(source.join(&name)).unwrap();
        let copy = helm::read(&format!("charts/mysql-takeover/files/crds/{name}"));
        assert!(text == copy, "{name} is out of date; run: HELM=<helm binary> config/render.sh");

        let definition: Value = serde_saphyr::from_str(&text).unwrap();
        let object_name = definition["metadata"]["name"].as_str().unwrap();
        let rendered = kept.one("CustomResourceDefinition", object_name);
        helm::assert_same(&rendered["spec"], &definition["spec"], object_name);
        assert_eq!(rendered["metadata"]["annotations"]["helm.sh/resource-policy"], "keep");
        let annotations = &removed.one("CustomResourceDefinition", object_name)["metadata"]["annotations"];
        assert!(annotations["helm.sh/resource-policy"].is_null());
    }
}

#[test]
fn the_plain_manifests_are_rendered_from_the_chart() {
    let output = helm::Scratch::new("plain-manifests");
    helm::render_plain_manifests(output.path());
    for name in ["install.yaml", "install-namespaced.yaml"] {
        let rendered = fs::read_to_string(output.path().join(name)).unwrap();
        assert!(!rendered.contains("Helm"), "{name} calls itself a part of a Helm release");
        helm::parse(&rendered);
        let committed = helm::read(&format!("config/{name}"));
        assert!(
            rendered == committed,
            "config/{name} is out of date; run: HELM=<helm binary> config/render.sh"
        );
    }
}
