//! What `fate-serving doctor` finds out about a server's configuration: everything that it will need is tried once. Nothing
//! is started, registered or changed.

use std::path::Path;
use std::time::Duration;

use fate_cache::{RedisCache, RedisSettings};
use fate_edge::doctor::{Finding, Verdict, address, certificate, clock, configuration, disk};
use fate_registry::ZooKeeperSettings;
use fate_registry::tree::{self, Tree};
use futures::future::join_all;
use tokio::time::{sleep, timeout};

use crate::config::{Config, RegistryConfig, ResultCacheConfig};
use crate::features;

/// For reading the registry.
const REGISTRY_PATIENCE: Duration = Duration::from_secs(10);
/// For a Redis to answer.
const REDIS_PATIENCE: Duration = Duration::from_secs(4);

/// Looks at everything, one line for each thing.
pub async fn examine(config: &Config) -> Vec<Finding> {
    let mut findings = configuration("server", config.notes());
    findings.push(disk("server disk", &config.cache_path));
    if let Some(registry) = &config.registry {
        findings.extend(look_at_registry(config, registry).await);
    }
    findings.extend(look_at_addresses(config).await);
    if let Some(ResultCacheConfig::Redis(settings)) = &config.result_cache {
        findings.push(look_at_redis(settings).await);
    }
    findings.extend(look_at_sources(config).await);
    let authorities = [
        ("model.transfer.ca", config.transfer_ca.as_deref()),
        ("http.adapter.ca", config.http_adapter_ca.as_deref()),
        ("redis.tls.ca", redis_authority(config)),
    ];
    let authorities = authorities
        .into_iter()
        .filter_map(|(key, path)| Some((key, path?)));
    findings.extend(authorities.map(|(key, path)| certificate(key, path)));
    for source in &config.sources {
        let files = source.certificates();
        findings.extend(files.map(|(setting, path)| {
            certificate(&format!("feature source {} {setting}", source.name), path)
        }));
    }
    findings
}

fn redis_authority(config: &Config) -> Option<&Path> {
    match &config.result_cache {
        Some(ResultCacheConfig::Redis(settings)) => settings.tls.as_ref()?.ca.as_deref(),
        _ => None,
    }
}

async fn look_at_registry(config: &Config, registry: &RegistryConfig) -> Vec<Finding> {
    let settings = ZooKeeperSettings {
        login: registry.login.clone(),
        ..ZooKeeperSettings::new(registry.addresses.clone(), "serving")
    };
    let what = "zookeeper";
    let fail = |text: String| vec![Finding::new(Verdict::Fail, what, text)];
    match timeout(REGISTRY_PATIENCE, tree::read(&settings)).await {
        Err(_) => {
            let seconds = REGISTRY_PATIENCE.as_secs();
            fail(format!(
                "{}: no answer within {seconds} s",
                registry.addresses
            ))
        }
        Ok(Err(error)) => fail(error.to_string()),
        Ok(Ok(tree)) => {
            let login = match &registry.login {
                Some(login) => format!("as {}", login.user),
                None => "without a login".to_owned(),
            };
            let text = format!(
                "{} can be read {login}, {} providers",
                registry.addresses,
                tree.leaves.len()
            );
            let mut findings = vec![Finding::new(Verdict::Ok, what, text)];
            findings.extend(registry.routes.then(|| registered_proxies(&tree)));
            findings.extend(
                config
                    .transfer_url
                    .is_none()
                    .then(|| registered_fate_flow(&tree)),
            );
            findings
        }
    }
}

fn providers(tree: &Tree, project: &str, service: &str) -> usize {
    let leaves = tree.leaves.iter();
    let found = leaves.filter(|leaf| leaf.project == project && leaf.service.ends_with(service));
    found.count()
}

fn registered_proxies(tree: &Tree) -> Finding {
    match providers(tree, "proxy", "unaryCall") {
        0 => {
            let text = "none is registered: guest models that need hosts answer 106";
            Finding::new(Verdict::Warn, "registered proxy", text)
        }
        count => Finding::new(Verdict::Ok, "registered proxy", format!("{count} found")),
    }
}

fn registered_fate_flow(tree: &Tree) -> Finding {
    match providers(tree, "flow", "transfer") {
        0 => {
            let text = "none is registered, and model.transfer.url is not set: loads must name a url or a file";
            Finding::new(Verdict::Warn, "registered FATE-Flow", text)
        }
        count => Finding::new(
            Verdict::Ok,
            "registered FATE-Flow",
            format!("{count} found"),
        ),
    }
}

async fn look_at_addresses(config: &Config) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(url) = &config.transfer_url {
        // Only loads need it.
        findings.push(address("FATE-Flow", url, Verdict::Warn).await);
        findings.extend(clock(url).await);
    }
    if let Some(url) = config
        .http_adapter_url
        .as_ref()
        .filter(|_| asks_over_http(config))
    {
        findings.push(address("feature service", url, Verdict::Fail).await);
    }
    if let Some(proxy) = &config.proxy {
        let url = format!("http://{proxy}");
        findings.push(address("proxy", &url, Verdict::Fail).await);
    }
    let hosts = config.federation_hosts.iter();
    let hosts = hosts.map(|(party, host)| async move {
        let what = format!("host {party}");
        address(&what, &format!("http://{host}"), Verdict::Fail).await
    });
    findings.extend(join_all(hosts).await);
    findings
}

/// Java's file names an address even where nobody asks there.
fn asks_over_http(config: &Config) -> bool {
    let sources = [
        &config.single_source,
        &config.batch_source,
        &config.batch_single_source,
    ];
    let mut names = sources.into_iter().flatten();
    names.any(|name| name.to_lowercase().contains("http"))
}

async fn look_at_redis(settings: &RedisSettings) -> Finding {
    let what = "redis";
    let cache = match RedisCache::start(settings) {
        Ok(cache) => cache,
        Err(error) => return Finding::new(Verdict::Fail, what, error.to_string()),
    };
    let connected = async {
        while !cache.is_connected() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    match timeout(REDIS_PATIENCE, connected).await {
        Ok(()) => Finding::new(Verdict::Ok, what, format!("{} answers", settings.nodes)),
        Err(_) => {
            let text = format!(
                "{:?} cannot be used, the log says why: every host will be asked",
                settings.nodes
            );
            Finding::new(Verdict::Warn, what, text)
        }
    }
}

async fn look_at_sources(config: &Config) -> Vec<Finding> {
    let finding = |(name, outcome): (String, Result<(), String>)| {
        let what = format!("feature source {name}");
        match outcome {
            Ok(()) => Finding::new(Verdict::Ok, &what, "answers"),
            Err(cause) => Finding::new(Verdict::Fail, &what, cause),
        }
    };
    features::probe(config)
        .await
        .into_iter()
        .map(finding)
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on shall fail")]

    use super::*;

    fn lines(findings: &[Finding]) -> Vec<String> {
        findings.iter().map(Finding::to_string).collect()
    }

    #[tokio::test]
    async fn what_is_there_and_what_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let there = listener.local_addr().unwrap().to_string();
        let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let gone = closed.local_addr().unwrap().to_string();
        drop(closed);
        let hosts = format!("10000={there},10001={gone}");
        let transfer = format!("http://{gone}/v1/model/transfer");
        let config = Config::from_pairs([
            ("model.cache.path", folder.path().to_str().unwrap()),
            ("proxy", there.as_str()),
            ("federation.hosts", hosts.as_str()),
            ("model.transfer.ca", "/nowhere/ca.pem"),
            ("model.transfer.url", transfer.as_str()),
            ("feature.single.adaptor", "mock"),
        ])
        .unwrap();
        let found = examine(&config).await;
        let found = lines(&found);
        let has = |start: &str| found.iter().any(|line| line.starts_with(start));
        assert!(has("ok   server configuration: "), "{found:?}");
        assert!(has("ok   proxy: ") && has("ok   host 10000: "), "{found:?}");
        assert!(has("FAIL host 10001: "), "{found:?}");
        assert!(has("warn FATE-Flow: "), "{found:?}");
        let mock = "note server configuration: feature.single.adaptor gives the same made-up";
        assert!(has(mock), "{found:?}");
        assert!(has("FAIL model.transfer.ca: /nowhere/ca.pem"), "{found:?}");
        assert!(
            found.iter().any(|line| line.contains(" disk: ")),
            "{found:?}"
        );
        assert!(
            !has("ok   zookeeper") && !has("FAIL zookeeper"),
            "{found:?}"
        );
    }

    #[tokio::test]
    async fn certificates_of_feature_sources() {
        let folder = tempfile::tempdir().unwrap();
        let config = Config::from_pairs([
            ("model.cache.path", folder.path().to_str().unwrap()),
            ("http.adapter.ca", "/nowhere/http.pem"),
            ("feature.single.adaptor", "sources"),
            ("feature.sources", "profile"),
            ("feature.source.profile.type", "redis"),
            ("feature.source.profile.url", "rediss://:hunter2@h"),
            ("feature.source.profile.tls.ca", "/nowhere/redis.pem"),
        ]);
        let found = lines(&examine(&config.unwrap()).await);
        for start in [
            "FAIL http.adapter.ca: /nowhere/http.pem",
            "FAIL feature source profile tls.ca: /nowhere/redis.pem",
        ] {
            let has = found.iter().any(|line| line.starts_with(start));
            assert!(has, "{start}: {found:?}");
        }
        let cause = "profile: /nowhere/redis.pem: No such file";
        assert!(found.iter().any(|line| line.contains(cause)), "{found:?}");
        assert!(!found.concat().contains("hunter2"), "{found:?}");
    }
}
