//! The proxy's route table: a file that administrators and their tools write, in Gson's lenient JSON. Input: the text.
//!
//! Promises: a table that is read is the same after it is written and read again; a lookup gives addresses or says why
//! not; no address in use leads to the proxy itself.

use std::net::{Ipv4Addr, SocketAddr};

use fate_proxy::route_table::{DEFAULT, OwnAddresses, PartyRole, RouteTable, Target};
use serde_json::value::RawValue;

pub(super) fn run(text: &[u8]) {
    let own =
        OwnAddresses::new([8869, 8879].map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port))));
    let table = match RouteTable::parse(text, &own) {
        Ok(table) => table,
        Err(fault) => return assert!(!fault.to_string().is_empty()),
    };
    for written in [table.document().compact(), table.document().pretty()] {
        let is_json = serde_json::from_str::<&RawValue>(&written).is_ok();
        assert!(is_json, "{written}");
        let again = RouteTable::parse(written.as_bytes(), &own).unwrap();
        assert_eq!(again.document().compact(), table.document().compact());
        assert_eq!(again.warnings().len(), table.warnings().len());
        look_up_all(&table, &again);
    }
    for route in table.all_routes() {
        if let Target::Grpc { address, .. } = &route.target {
            assert!(!own.contains(&address.host, address.port), "{route:?}");
        }
    }
}

/// Every party and role of a table, and some that are not there.
fn look_up_all(table: &RouteTable, again: &RouteTable) {
    let parties = table.document().get("route_table");
    let listed = parties.map_or(&[][..], |parties| parties.members());
    let mut places: Vec<PartyRole<'_>> = listed
        .iter()
        .flat_map(|(party_id, roles)| {
            let roles = roles.members().iter().map(|(role, _)| role.as_str());
            roles.map(|role| PartyRole { party_id, role })
        })
        .collect();
    places.truncate(16);
    places.push(PartyRole {
        party_id: "10000",
        role: "serving",
    });
    places.push(PartyRole {
        party_id: DEFAULT,
        role: DEFAULT,
    });
    for to in &places {
        let routes = table.routes(*to);
        assert_eq!(routes, again.routes(*to));
        assert!(routes.is_ok_and(|routes| !routes.is_empty()) || again.routes(*to).is_err());
        for from in &places {
            assert_eq!(table.allows(*from, *to), again.allows(*from, *to));
        }
    }
}
