//! The chart: its values are configurations, and Helm makes sound manifests of them.

use std::process::Command;

use serde_json::Value;

use super::properties::Role;
use super::{conf, is_installed, longest_drain_ms, read, succeed};

const CHART: &str = "helm/fate-serving";
/// One that Helm may know; some builds take an old one by default.
const KUBERNETES: &str = "1.30.0";

fn values() -> Value {
    serde_yaml_ng::from_str(&read(conf(CHART).join("values.yaml"))).unwrap()
}

/// Properties with their templates filled in.
fn properties(values: &Value, role: &str) -> Vec<(String, String)> {
    let properties = values[role]["properties"].as_object().unwrap();
    let text = |value: &Value| match value {
        Value::String(text) => match (text.find("{{"), text.rfind("}}")) {
            (Some(begin), Some(end)) => format!("{}name{}", &text[..begin], &text[end + 2..]),
            _ => text.clone(),
        },
        other => other.to_string(),
    };
    properties
        .iter()
        .map(|(key, value)| (key.clone(), text(value)))
        .collect()
}

#[test]
fn the_values_are_configurations() {
    let values = values();
    let server = properties(&values, "server");
    let proxy = properties(&values, "proxy");
    for (role, given) in [(Role::Server, &server), (Role::Proxy, &proxy)] {
        for (key, _) in given {
            assert!(role.knows(key), "{key} is no key of a {role:?}");
        }
    }
    fn borrowed(given: &[(String, String)]) -> impl Iterator<Item = (&str, &str)> {
        given
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()))
    }
    fate_server::Config::from_pairs(borrowed(&server)).unwrap();
    fate_proxy::Config::from_pairs(borrowed(&proxy)).unwrap();
    // Keys that the values show in comments.
    let text = read(conf(CHART).join("values.yaml"));
    let shown = text.lines().filter_map(|line| line.strip_prefix("    # "));
    for key in shown
        .filter_map(|line| line.split_once(": "))
        .map(|pair| pair.0)
    {
        let is_prose = key.contains(' ');
        assert!(is_prose || Role::Server.knows(key), "{key}");
    }
    let grace = values["terminationGracePeriodSeconds"].as_u64().unwrap();
    let pause = values["preStopSeconds"].as_u64().unwrap();
    assert!((grace - pause) * 1000 > longest_drain_ms());
}

fn manifests(text: &str) -> Vec<Value> {
    serde_yaml_ng::Deserializer::from_str(text)
        .map(|document| serde::Deserialize::deserialize(document).unwrap())
        .collect()
}

#[test]
fn helm_makes_manifests() {
    if !is_installed("helm") {
        return;
    }
    let chart = conf(CHART);
    succeed(
        Command::new("helm")
            .args(["lint", "--strict", "--kube-version", KUBERNETES])
            .arg(&chart),
    );
    let text = succeed(
        Command::new("helm")
            .args(["template", "party", "--kube-version", KUBERNETES])
            .arg(&chart),
    );
    let documents = manifests(&text);
    let of_kind = |kind: &str| {
        documents
            .iter()
            .filter(|one| one["kind"] == kind)
            .collect::<Vec<_>>()
    };
    assert_eq!(of_kind("Service").len(), 4);
    let mut workloads = of_kind("StatefulSet");
    workloads.extend(of_kind("Deployment"));
    assert_eq!(workloads.len(), 2);
    for workload in workloads {
        let pod = &workload["spec"]["template"]["spec"];
        assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
        let container = &pod["containers"][0];
        for (probe, path) in [
            ("startupProbe", "/livez"),
            ("livenessProbe", "/livez"),
            ("readinessProbe", "/readyz"),
        ] {
            assert_eq!(container[probe]["httpGet"]["path"], path);
        }
        // Every volume that is mounted exists, the claimed one aside.
        let volumes: Vec<&Value> = pod["volumes"].as_array().unwrap().iter().collect();
        for mount in container["volumeMounts"].as_array().unwrap() {
            let is_claimed =
                workload["spec"]["volumeClaimTemplates"][0]["metadata"]["name"] == mount["name"];
            assert!(
                is_claimed || volumes.iter().any(|one| one["name"] == mount["name"]),
                "{mount}"
            );
        }
        let selector = &workload["spec"]["selector"]["matchLabels"];
        assert_eq!(
            selector,
            &workload["spec"]["template"]["metadata"]["labels"]
        );
    }
    // What is mounted as a file is one.
    let folder = tempfile::tempdir().unwrap();
    for secret in of_kind("Secret") {
        for (name, text) in secret["stringData"].as_object().unwrap() {
            let path = folder.path().join(name);
            std::fs::write(&path, text.as_str().unwrap()).unwrap();
            let notes = if name == "application.properties" {
                fate_proxy::Config::from_file(&path)
                    .unwrap()
                    .notes()
                    .to_vec()
            } else {
                fate_server::Config::from_file(&path)
                    .unwrap()
                    .notes()
                    .to_vec()
            };
            assert!(
                notes.iter().all(|note| !note.text.contains("is not a key")),
                "{notes:?}"
            );
        }
    }
    let tables = of_kind("ConfigMap");
    let table = tables[0]["data"]["route_table.json"].as_str().unwrap();
    let own = fate_proxy::route_table::OwnAddresses::new(Vec::new());
    let table = fate_proxy::route_table::RouteTable::parse(table.as_bytes(), &own).unwrap();
    assert_eq!(table.warnings(), []);
}

/// Values that the shipped ones have not.
#[test]
fn changed_values_arrive() {
    if !is_installed("helm") {
        return;
    }
    let volume = r#"[{"name":"keys","secret":{"secretName":"keys"}}]"#;
    let mount = r#"[{"name":"keys","mountPath":"/etc/keys"}]"#;
    let mut helm = Command::new("helm");
    helm.args(["template", "party", "--kube-version", KUBERNETES]);
    for (key, value) in [
        (r"server.properties.serving\.model\.share", "0.5"),
        (r"server.properties.serving\.max\.inflight", "1000000"),
        ("server.extraVolumes", volume),
        ("server.extraVolumeMounts", mount),
        ("proxy.extraVolumes", volume),
        ("proxy.extraVolumeMounts", mount),
        ("proxy.replicas", "1"),
    ] {
        helm.args(["--set-json", &format!("{key}={value}")]);
    }
    let text = succeed(helm.arg(conf(CHART)));
    for line in ["serving.model.share=0.5", "serving.max.inflight=1000000"] {
        assert!(text.lines().any(|one| one.trim() == line), "{line}");
    }
    let documents = manifests(&text);
    let of_kind = |kind: &str| documents.iter().filter(|one| one["kind"] == kind).count();
    assert_eq!(of_kind("PodDisruptionBudget"), 1, "one role has several");
    let pods = documents.iter().map(|one| &one["spec"]["template"]["spec"]);
    let pods: Vec<&Value> = pods.filter(|pod| pod.is_object()).collect();
    assert_eq!(pods.len(), 2);
    for pod in pods {
        let has = |list: &Value| {
            let mut entries = list.as_array().unwrap().iter();
            entries.any(|one| one["name"] == "keys")
        };
        assert!(has(&pod["volumes"]) && has(&pod["containers"][0]["volumeMounts"]));
    }
}
