//! Changing single addresses of a table's document; names, order and comments of others' members are not touched
//! (comments do not survive, as with every writer of this file).

use super::parse::TIMES;
use super::route::MEMBERS;
use crate::lenient_json::{self, Node, Place, Value};

/// One address of a request.
#[derive(Debug)]
pub(super) struct Change {
    party_id: String,
    /// Empty: the whole party.
    server_type: String,
    address: Node,
}

/// Reads a request: an object or a list of objects. `host` is another name of `ip`, `role` of `serverType`.
pub(super) fn changes(request: &str) -> Result<Vec<Change>, String> {
    let text = |error: &dyn std::fmt::Display| format!("routerInfo: {error}");
    let node = lenient_json::parse(request.as_bytes()).map_err(|error| text(&error))?;
    let root = Place::root(&node);
    let changes = match &node.value {
        Value::List(_) => root
            .items()
            .and_then(|items| items.map(|item| change(&item)).collect()),
        _ => change(&root).map(|change| vec![change]),
    };
    changes.map_err(|error| text(&error))
}

fn change(place: &Place<'_>) -> Result<Change, lenient_json::FormatError> {
    let mut change = Change {
        party_id: place.required("partyId")?.text()?,
        server_type: String::new(),
        address: Node::new(Value::Object(Vec::new())),
    };
    for (name, member) in place.members()? {
        match name {
            "partyId" => {}
            "serverType" | "role" => change.server_type = member.text()?,
            "host" => change.address.set("ip", member.node.clone()),
            name if MEMBERS.contains(&name) => change.address.set(name, member.node.clone()),
            _ => return Err(member.wrong("is not a member of an address")),
        }
    }
    let is_time = TIMES.contains(&change.server_type.as_str());
    if change.party_id.trim().is_empty() || is_time {
        return Err(place
            .wrong("partyId must not be blank, and serverType not a name with another meaning"));
    }
    Ok(change)
}

impl Change {
    pub(super) fn add_to(&self, document: &mut Node, now_ms: i64) -> Result<(), String> {
        if self.server_type.trim().is_empty() {
            return Err("serverType is missing".to_owned());
        }
        let table = table(document)?;
        if table.get(&self.party_id).is_none() {
            let mut party = Node::new(Value::Object(Vec::new()));
            party.set("createTime", number(now_ms));
            table.set(&self.party_id, party);
        }
        let party = self.party(table)?;
        if party.get(&self.server_type).is_none() {
            party.set(&self.server_type, Node::new(Value::List(Vec::new())));
        }
        let addresses = self.addresses(party)?;
        if self.position(addresses).is_some() {
            return Err(self.says("is already exists"));
        }
        addresses.push(self.address.clone());
        party.set("updateTime", number(now_ms));
        Ok(())
    }

    pub(super) fn update_in(&self, document: &mut Node, now_ms: i64) -> Result<(), String> {
        let party = self.party(table(document)?)?;
        let addresses = self.addresses(party)?;
        let position = self.position(addresses);
        match position.and_then(|position| addresses.get_mut(position)) {
            Some(address) => *address = self.address.clone(),
            None => return Err(self.says("is not exists")),
        }
        party.set("updateTime", number(now_ms));
        Ok(())
    }

    pub(super) fn delete_from(&self, document: &mut Node, now_ms: i64) -> Result<(), String> {
        let table = table(document)?;
        let party = self.party(table)?;
        if self.server_type.trim().is_empty() {
            if let Value::Object(parties) = &mut table.value {
                parties.retain(|(party_id, _)| *party_id != self.party_id);
            }
            return Ok(());
        }
        let addresses = self.addresses(party)?;
        let position = self
            .position(addresses)
            .ok_or_else(|| self.says("is not exists"))?;
        addresses.remove(position);
        party.set("updateTime", number(now_ms));
        Ok(())
    }

    fn party<'a>(&self, table: &'a mut Node) -> Result<&'a mut Node, String> {
        let unknown = || format!("there is no configuration with partyId = {}", self.party_id);
        table.get_mut(&self.party_id).ok_or_else(unknown)
    }

    fn addresses<'a>(&self, party: &'a mut Node) -> Result<&'a mut Vec<Node>, String> {
        match party.get_mut(&self.server_type).map(|node| &mut node.value) {
            Some(Value::List(addresses)) => Ok(addresses),
            _ => Err(format!(
                "there is no configuration with partyId = {} and serverType = {}",
                self.party_id, self.server_type
            )),
        }
    }

    fn position(&self, addresses: &[Node]) -> Option<usize> {
        let wanted = key(&self.address);
        addresses.iter().position(|address| key(address) == wanted)
    }

    fn says(&self, what: &str) -> String {
        format!(
            "partyId : {}, serverType : {}, Network Access : {} {what}",
            self.party_id,
            self.server_type,
            key(&self.address)
        )
    }
}

fn table(document: &mut Node) -> Result<&mut Node, String> {
    let table = document.get_mut("route_table");
    table.ok_or_else(|| "missing routing configuration".to_owned())
}

/// What tells addresses of a role apart: the `url`, else `ip:port`.
fn key(address: &Node) -> String {
    let text = |name: &str| match address.get(name).map(|node| &node.value) {
        Some(Value::Text(text) | Value::Number(text)) => text.trim().to_owned(),
        _ => String::new(),
    };
    let (url, ip) = (text("url"), text("ip"));
    if !url.is_empty() {
        return url;
    }
    let host = if ip.is_empty() { text("hostname") } else { ip };
    format!("{host}:{}", text("port"))
}

fn number(value: i64) -> Node {
    Node::new(Value::Number(value.to_string()))
}
