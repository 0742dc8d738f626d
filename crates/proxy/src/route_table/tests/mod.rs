#![allow(clippy::unwrap_used, reason = "tests")]

mod editing;
mod lookup;
mod reading;
mod refresh;
mod strange;

use super::*;

fn table(text: &str) -> RouteTable {
    RouteTable::parse(text.as_bytes(), &OwnAddresses::default())
        .unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn error(text: &str) -> String {
    match RouteTable::parse(text.as_bytes(), &OwnAddresses::default()) {
        Ok(_) => panic!("{text} was read"),
        Err(error) => error.to_string(),
    }
}

fn side<'a>(party_id: &'a str, role: &'a str) -> PartyRole<'a> {
    PartyRole { party_id, role }
}

/// `endpoint` as the only address there is.
fn with_endpoint(endpoint: &str) -> String {
    format!(r#"{{"route_table":{{"default":{{"default":[{endpoint}]}}}},"permission":{{}}}}"#)
}

fn target(endpoint: &str) -> Target {
    let table = table(&with_endpoint(endpoint));
    let route = table.routes(side("1", "r")).unwrap()[0].clone();
    assert_eq!(
        route.fault().is_some(),
        table.warnings().iter().any(|warning| warning.is_fault)
    );
    route.target
}
