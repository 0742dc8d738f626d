//! `checkHealthService`: the route table, the way to every address in it, memory (contract 04 A.9). Every address has a
//! record, reached or not; Java has none of those that are not.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use fate_edge::health_check::{Record, Report, Status, connect, memory};
use futures::{StreamExt as _, stream};

use crate::node::Node;
use crate::route_table::{Route, Target, TlsSettings};

/// Java's word for an address that takes connections (contract 04 §B).
pub(crate) const REACHED: &str = "telneted";
/// Addresses that are tried at the same time.
const AT_ONCE: usize = 32;
/// Addresses that are tried at all.
const MAX_ADDRESSES: usize = 1000;
/// For one address, and for all of them together.
const PATIENCE: Duration = Duration::from_secs(2);
const WHOLE_PATIENCE: Duration = Duration::from_secs(10);

/// Looks at everything.
pub(crate) async fn check(node: &Node) -> Report {
    let mut records = vec![table_record(node)];
    let table = node.table.current();
    // Of routes that are listed more than once, one.
    let routes: BTreeMap<String, Route> = table
        .iter()
        .flat_map(|table| table.all_routes())
        .map(|route| (shown(route), route.clone()))
        .collect();
    let tried = stream::iter(routes.values().take(MAX_ADDRESSES)).map(route_records);
    let tried = tried.buffered(AT_ONCE);
    let tried = tried.take_until(tokio::time::sleep(WHOLE_PATIENCE));
    let tried: Vec<Vec<Record>> = tried.collect().await;
    let untried = routes.len() - tried.len();
    records.extend(tried.into_iter().flatten());
    if untried > 0 {
        let msg = format!("{untried} more addresses were not tried");
        records.push(record("check router", msg, Status::Warn));
    }
    records.extend(memory());
    Report { records }
}

fn table_record(node: &Node) -> Record {
    let (msg, status) = match (node.table.current(), node.table.fault()) {
        (Some(_), None) => (
            "check router file : router info is found".to_owned(),
            Status::Ok,
        ),
        (Some(_), Some(fault)) => (
            format!("check router file : {fault}; the table before it is in force"),
            Status::Warn,
        ),
        (None, fault) => {
            let cause = fault.map_or_else(String::new, |fault| format!(": {fault}"));
            (
                format!("check router file : no router info found{cause}"),
                Status::Error,
            )
        }
    };
    record("check route_table.json exist", msg, status)
}

fn shown(route: &Route) -> String {
    match &route.target {
        Target::Http(target) => target.uri.to_string(),
        _ => route.shown.clone(),
    }
}

pub(crate) async fn route_records(route: &Route) -> Vec<Record> {
    let (url, tls) = match &route.target {
        Target::Unusable(cause) => {
            let msg = format!("{}: {cause}", route.shown);
            return vec![record("check router", msg, Status::Error)];
        }
        Target::OwnServer => return Vec::new(),
        Target::Grpc { address, tls } => (format!("http://{address}"), tls.as_ref()),
        Target::Http(target) => {
            let is_secured = target.uri.scheme_str() == Some("https");
            (target.uri.to_string(), is_secured.then_some(&target.tls))
        }
    };
    let name = match &route.target {
        Target::Grpc { address, .. } => format!("{} {}", address.host, address.port),
        _ => url.clone(),
    };
    let reached = tokio::time::timeout(PATIENCE, connect(&url)).await;
    let reached = match reached {
        Ok(Ok(())) => record("check router", format!("{name}: {REACHED}"), Status::Ok),
        Ok(Err(cause)) => record("check router", format!("{name}: {cause}"), Status::Error),
        Err(_) => record(
            "check router",
            format!("{name}: no answer within 2 s"),
            Status::Error,
        ),
    };
    let files = tls.map(|tls| certificate_record(&name, tls));
    std::iter::once(reached).chain(files).collect()
}

/// Whether the files are there; whether they fit each other is said when they are used.
fn certificate_record(name: &str, tls: &TlsSettings) -> Record {
    let files = [&tls.cert_chain_file, &tls.private_key_file, &tls.ca_file];
    let missing = files.into_iter().flatten().find(|path| !is_file(path));
    match missing {
        None => record(
            "check cert file",
            format!("{name}: certificate files are found"),
            Status::Ok,
        ),
        Some(path) => {
            let msg = format!("{name}: {} is not found", path.display());
            record("check cert file", msg, Status::Error)
        }
    }
}

fn is_file(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| metadata.is_file())
}

fn record(check_item_name: &'static str, msg: String, health_check_status: Status) -> Record {
    Record {
        check_item_name,
        msg,
        health_check_status,
    }
}
