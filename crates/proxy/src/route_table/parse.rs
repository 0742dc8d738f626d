//! Reading a table (contract 04 A.5.1).

use std::collections::HashMap;
use std::fmt;

use super::permission::{ANY, Permission, Rules};
use super::route::MEMBERS;
use super::{OwnAddresses, PartyRole, Roles, Route, RouteTable};
use crate::lenient_json::{self, FormatError, Place, Position};

/// Members of a party's object that are no roles.
pub(super) const TIMES: [&str; 2] = ["createTime", "updateTime"];

/// Something in a table that does not do what it seems to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// Where.
    pub at: Position,
    /// As in [`FormatError::path`].
    pub path: String,
    /// What is the matter.
    pub text: String,
    /// Whether it is an address that calls cannot be sent to. Such a table is used, but not saved.
    pub is_fault: bool,
}

impl fmt::Display for Warning {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}, {}: {}", self.at, self.path, self.text)
    }
}

impl RouteTable {
    /// Reads a file's content. Nothing of it is used unless all of it can be read.
    ///
    /// # Errors
    /// It is no JSON or not of the table's form; the error names line, column and path.
    pub fn parse(content: &[u8], own: &OwnAddresses) -> Result<Self, FormatError> {
        let document = lenient_json::parse(content)?;
        let root = Place::root(&document);
        let mut warnings = Vec::new();
        let parties = parties(&root.required("route_table")?, own, &mut warnings)?;
        let permission = permission(&root.required("permission")?, &mut warnings)?;
        Ok(Self {
            parties,
            permission,
            warnings,
            document,
        })
    }
}

fn parties(
    place: &Place<'_>,
    own: &OwnAddresses,
    warnings: &mut Vec<Warning>,
) -> Result<HashMap<String, Roles>, FormatError> {
    let mut parties = HashMap::new();
    for (party_id, party) in place.members()? {
        let mut roles = Roles::new();
        for (role, addresses) in party.members()?.filter(|(name, _)| !TIMES.contains(name)) {
            let routes = routes(&addresses, own, warnings)?;
            roles.insert(role.to_owned(), routes);
        }
        parties.insert(party_id.to_owned(), roles);
    }
    Ok(parties)
}

fn routes(
    place: &Place<'_>,
    own: &OwnAddresses,
    warnings: &mut Vec<Warning>,
) -> Result<Vec<Route>, FormatError> {
    let mut routes = Vec::new();
    for endpoint in place.items()? {
        for (name, member) in endpoint.members()? {
            if !MEMBERS.contains(&name) {
                warnings.push(warning(
                    &member,
                    "is not a member of an address and is ignored",
                    false,
                ));
            }
        }
        let route = Route::read(&endpoint, own)?;
        if let Some(fault) = route.fault() {
            let text = format!("calls will not be sent there: {fault}");
            warnings.push(warning(&endpoint, text, true));
        }
        routes.push(route);
    }
    Ok(routes)
}

fn permission(place: &Place<'_>, warnings: &mut Vec<Warning>) -> Result<Permission, FormatError> {
    let mut permission = Permission::default();
    for (name, member) in place.members()? {
        match name {
            "default_allow" => permission.default_allow = member.flag()?,
            "allow" => permission.allow = rules(&member, warnings)?,
            "deny" => permission.deny = rules(&member, warnings)?,
            _ => warnings.push(warning(
                &member,
                "is not a member of permission and is ignored",
                false,
            )),
        }
    }
    Ok(permission)
}

fn rules(place: &Place<'_>, warnings: &mut Vec<Warning>) -> Result<Rules, FormatError> {
    let mut rules = Rules::default();
    for rule in place.items()? {
        let (from, to) = (side(&rule, "from", warnings)?, side(&rule, "to", warnings)?);
        rules.add(borrowed(&from), borrowed(&to));
    }
    Ok(rules)
}

/// Party id and role of one side of a rule; what is missing is empty.
fn side(
    rule: &Place<'_>,
    name: &str,
    warnings: &mut Vec<Warning>,
) -> Result<(String, String), FormatError> {
    let place = rule.required(name)?;
    let text = |name: &str| match place.get(name)? {
        Some(member) => member.text(),
        None => Ok(String::new()),
    };
    let (party_id, role) = (text("coordinator")?, text("role")?);
    if party_id == ANY && role != ANY {
        let text = "the rule never matches: `*` as coordinator needs `*` as role";
        warnings.push(warning(&place, text, false));
    }
    Ok((party_id, role))
}

fn borrowed((party_id, role): &(String, String)) -> PartyRole<'_> {
    PartyRole { party_id, role }
}

fn warning(place: &Place<'_>, text: impl Into<String>, is_fault: bool) -> Warning {
    Warning {
        at: place.node.at,
        path: place.path.clone(),
        text: text.into(),
        is_fault,
    }
}
