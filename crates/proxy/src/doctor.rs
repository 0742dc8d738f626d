//! What `fate-serving doctor` finds out about a proxy's configuration: everything that it will need is tried once. Nothing
//! is started, registered or changed.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use fate_edge::config::{Level, Note};
use fate_edge::doctor::{Finding, Verdict, certificate, clock, configuration, disk};
use fate_edge::health_check::{Record, Status};
use fate_edge::small_file;
use fate_registry::ZooKeeperSettings;
use fate_registry::tree;
use futures::{StreamExt as _, stream};
use tokio::time::timeout;

use crate::auth::Keys;
use crate::config::Config;
use crate::health_check::{REACHED, route_records};
use crate::lenient_json;
use crate::route_table::{OwnAddresses, Route, RouteTable, Target};
use crate::watched_file;

/// For reading the registry.
const REGISTRY_PATIENCE: Duration = Duration::from_secs(10);
/// Routes that are tried.
const MAX_ROUTES: usize = 200;
const ROUTES_AT_ONCE: usize = 16;

/// Looks at everything, one line for each thing.
pub async fn examine(config: &Config) -> Vec<Finding> {
    let mut findings = configuration("proxy", config.notes());
    findings.push(disk("proxy disk", &config.state_path));
    findings.extend(look_at_registry(config).await);
    findings.extend(look_at_table(config).await);
    if config.auth_open {
        findings.push(look_at_keys(&config.auth_file));
    }
    if let Some(tls) = &config.inter_tls {
        let files = [
            ("certificate of the inter port", &tls.cert_chain),
            ("authority of the inter port", &tls.ca),
        ];
        findings.extend(files.map(|(what, path)| certificate(what, path)));
    }
    findings
}

async fn look_at_registry(config: &Config) -> Option<Finding> {
    let asked = config.registry.as_ref()?;
    let shown = asked.servers.join(",");
    let what = "zookeeper";
    let addresses = match shown.parse() {
        Ok(addresses) => addresses,
        Err(error) => {
            return Some(Finding::new(
                Verdict::Fail,
                what,
                format!("zk.url: {error}"),
            ));
        }
    };
    let settings = ZooKeeperSettings {
        login: crate::registration::login(asked),
        ..ZooKeeperSettings::new(addresses, "proxy")
    };
    Some(
        match timeout(REGISTRY_PATIENCE, tree::read(&settings)).await {
            Err(_) => {
                let seconds = REGISTRY_PATIENCE.as_secs();
                Finding::new(
                    Verdict::Fail,
                    what,
                    format!("{shown}: no answer within {seconds} s"),
                )
            }
            Ok(Err(error)) => Finding::new(Verdict::Fail, what, error.to_string()),
            Ok(Ok(tree)) => {
                let servings = tree.leaves.iter().filter(|leaf| leaf.project == "serving");
                let text = format!(
                    "{shown} can be read, {} providers of servings",
                    servings.count()
                );
                Finding::new(Verdict::Ok, what, text)
            }
        },
    )
}

fn read_table(config: &Config) -> Result<RouteTable, String> {
    let path = &config.route_table;
    let in_file = |cause: &dyn std::fmt::Display| format!("{}: {cause}", path.display());
    let content =
        watched_file::read(path, lenient_json::MAX_BYTES).map_err(|cause| in_file(&cause))?;
    let ports = [config.inter, config.intra].into_iter().chain(config.http);
    let own = OwnAddresses::new(ports.map(SocketAddr::from));
    RouteTable::parse(&content, &own).map_err(|cause| in_file(&cause))
}

/// What a table without an address means; with a registry this party's servers are found all the same.
const NO_ADDRESSES: &str = "has no addresses: packets to other parties will not be forwarded";

/// What `--check-config` says of the files that the configuration names: of a route table that it cannot be used, or has
/// nothing in it, of keys that there are none.
pub fn about_files(config: &Config) -> Vec<Note> {
    let keys = config.auth_open.then(|| look_at_keys(&config.auth_file));
    let keys = keys.filter(|finding| finding.verdict == Verdict::Fail);
    let about_keys = keys.map(|finding| Note {
        level: Level::Warning,
        line: None,
        text: format!("auth.file: {}", finding.text),
    });
    about_table(config).into_iter().chain(about_keys).collect()
}

fn about_table(config: &Config) -> Option<Note> {
    let text = match read_table(config) {
        Err(cause) => format!("route.table: {cause}"),
        Ok(table) if table.all_routes().next().is_none() => {
            format!(
                "route.table: {} {NO_ADDRESSES}",
                config.route_table.display()
            )
        }
        Ok(_) => return None,
    };
    Some(Note {
        level: Level::Warning,
        line: None,
        text,
    })
}

async fn look_at_table(config: &Config) -> Vec<Finding> {
    let what = "route table";
    let path = &config.route_table;
    let table = match read_table(config) {
        Ok(table) => table,
        Err(cause) => return vec![Finding::new(Verdict::Fail, what, cause)],
    };
    let routes: BTreeMap<&str, &Route> = table
        .all_routes()
        .map(|route| (route.shown.as_str(), route))
        .collect();
    let first = match routes.len() {
        0 => {
            let text = format!("{} {NO_ADDRESSES}", path.display());
            Finding::new(Verdict::Warn, what, text)
        }
        count => {
            let text = format!("{} is in order, {count} addresses", path.display());
            Finding::new(Verdict::Ok, what, text)
        }
    };
    let mut findings = vec![first];
    let warnings = table.warnings().iter();
    findings.extend(warnings.map(|text| Finding::new(Verdict::Warn, what, text.to_string())));
    let tried = stream::iter(routes.values().take(MAX_ROUTES)).map(|route| look_at_route(route));
    let tried: Vec<Vec<Finding>> = tried.buffered(ROUTES_AT_ONCE).collect().await;
    findings.extend(tried.into_iter().flatten());
    if routes.len() > MAX_ROUTES {
        let text = format!(
            "{} more addresses were not tried",
            routes.len() - MAX_ROUTES
        );
        findings.push(Finding::new(Verdict::Warn, what, text));
    }
    findings
}

async fn look_at_route(route: &Route) -> Vec<Finding> {
    let records = route_records(route).await;
    let mut findings: Vec<Finding> = records.into_iter().map(finding).collect();
    findings.extend(look_at_files(route));
    if let Target::Http(target) = &route.target {
        findings.extend(clock(&target.uri.to_string()).await);
    }
    findings
}

fn finding(record: Record) -> Finding {
    let verdict = match record.health_check_status {
        Status::Ok => Verdict::Ok,
        Status::Warn => Verdict::Warn,
        Status::Error => Verdict::Fail,
    };
    let what = record.check_item_name.trim_start_matches("check ");
    // Java's word, which peers know.
    let text = match record.msg.strip_suffix(REACHED) {
        Some(address) => format!("{address}takes connections"),
        None => record.msg,
    };
    Finding::new(verdict, what, text)
}

/// Until when a route's certificates are good; whether they are there is said already.
fn look_at_files(route: &Route) -> Vec<Finding> {
    let tls = match &route.target {
        Target::Grpc { tls, .. } => tls.as_ref(),
        Target::Http(target) => Some(&target.tls),
        Target::OwnServer | Target::Unusable(_) => None,
    };
    let files = tls
        .into_iter()
        .flat_map(|tls| [&tls.cert_chain_file, &tls.ca_file]);
    let there = files.flatten().filter(|path| path.exists());
    there
        .map(|path| certificate(&format!("certificate of {}", route.shown), path))
        .collect()
}

fn look_at_keys(path: &Path) -> Finding {
    let what = "keys";
    let read = small_file::read(path).map_err(|error| error.to_string());
    let keys = read.and_then(|content| Keys::parse(&content).map_err(|error| error.to_string()));
    match keys {
        Ok(keys) if keys.own().is_none() => {
            let text = format!(
                "{}: party {} has no key in it; its packets cannot be signed",
                path.display(),
                keys.self_party_id
            );
            Finding::new(Verdict::Fail, what, text)
        }
        Ok(keys) => {
            let text = format!(
                "{} is in order, for party {}",
                path.display(),
                keys.self_party_id
            );
            Finding::new(Verdict::Ok, what, text)
        }
        Err(cause) => Finding::new(Verdict::Fail, what, format!("{}: {cause}", path.display())),
    }
}
