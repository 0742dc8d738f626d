//! Contract 04 A.5.2.

use super::*;

fn shown(table: &RouteTable, party_id: &str, role: &str) -> Result<Vec<String>, String> {
    let routes = table.routes(side(party_id, role));
    let routes = routes.map(|routes| routes.iter().map(|route| route.shown.clone()).collect());
    routes.map_err(|error| error.to_string())
}

#[test]
fn the_party_goes_before_default_and_the_role_before_default() {
    let table = table(
        r#"{"route_table":{
            "10000":{"createTime":1,"serving":[{"ip":"a","port":1},{"ip":"b","port":2}],"default":[{"ip":"c","port":3}],"empty":[]},
            "10001":{"updateTime":"x","serving":[{"ip":"d","port":4}]},
            "default":{"serving":[{"ip":"e","port":5}],"default":[{"hostname":"f","port":6}]}},
          "permission":{}}"#,
    );
    let found = |party_id, role| shown(&table, party_id, role);
    assert_eq!(found("10000", "serving").unwrap(), ["a:1", "b:2"]);
    assert_eq!(found("10000", "fateflow").unwrap(), ["c:3"]);
    assert_eq!(found("9", "serving").unwrap(), ["e:5"]);
    assert_eq!(found("9", "fateflow").unwrap(), ["f:6"]);
    // A listed party never gets the addresses of the default party.
    let no_role = "No available endpoint for this service: fateflow. Considering adding a default endpoint, or check if the list is empty?";
    assert_eq!(found("10001", "fateflow").unwrap_err(), no_role);
    let empty = "No available endpoint for this service: empty. Considering adding a default endpoint, or check if the list is empty?";
    assert_eq!(found("10000", "empty").unwrap_err(), empty);
    // Times are no roles.
    assert_eq!(found("10000", "createTime").unwrap(), ["c:3"]);
    assert!(found("10001", "updateTime").is_err());
    assert!(table.lists_party("10001") && !table.lists_party("9"));
}

#[test]
fn without_a_default_party_others_are_unknown() {
    let table = table(r#"{"route_table":{"1":{}},"permission":{}}"#);
    let text =
        "No available endpoint for the coordinator: 2. Considering adding a default endpoint?";
    assert_eq!(shown(&table, "2", "serving").unwrap_err(), text);
}

/// A table with these rules and `default_allow`.
fn rules(default_allow: bool, allow: &[[&str; 4]], deny: &[[&str; 4]]) -> RouteTable {
    let list = |rules: &[[&str; 4]]| {
        let rules = rules.iter().map(|[from, from_role, to, to_role]| {
            format!(
                r#"{{"from":{{"coordinator":"{from}","role":"{from_role}"}},"to":{{"coordinator":"{to}","role":"{to_role}"}}}}"#
            )
        });
        rules.collect::<Vec<_>>().join(",")
    };
    table(&format!(
        r#"{{"route_table":{{}},"permission":{{"default_allow":{default_allow},"allow":[{}],"deny":[{}]}}}}"#,
        list(allow),
        list(deny)
    ))
}

/// Java's `hasRule`, as slow and as literal as the contract words it.
fn java_has_rule(rules: &[[&str; 4]], from: PartyRole<'_>, to: PartyRole<'_>) -> bool {
    let wider = |side: PartyRole<'_>| {
        let (party, role) = (side.party_id.to_owned(), side.role.to_owned());
        [
            (party.clone(), role),
            (party, "*".to_owned()),
            ("*".to_owned(), "*".to_owned()),
        ]
    };
    for (party, role) in wider(from) {
        let set: Vec<_> = rules
            .iter()
            .filter(|rule| rule[0] == party && rule[1] == role)
            .collect();
        if !set.is_empty() {
            let hit = |(party, role): &(String, String)| {
                set.iter().any(|rule| rule[2] == *party && rule[3] == *role)
            };
            return wider(to).iter().any(hit);
        }
    }
    false
}

#[test]
fn rules_match_as_in_java_in_every_combination() {
    let rules_of_interest = [
        ["9999", "serving", "10000", "serving"],
        ["9999", "serving", "10000", "*"],
        ["9999", "serving", "*", "*"],
        ["9999", "*", "10000", "serving"],
        ["9999", "*", "*", "*"],
        ["*", "*", "10000", "serving"],
        ["*", "*", "*", "*"],
        ["*", "serving", "10000", "serving"],
        ["9999", "serving", "*", "serving"],
        ["", "", "", ""],
    ];
    let sides = [
        ("9999", "serving"),
        ("9999", "proxy"),
        ("8", "serving"),
        ("10000", "serving"),
        ("10000", "x"),
        ("", ""),
    ];
    let mut checked = 0;
    for first in rules_of_interest {
        for second in rules_of_interest {
            let both = [first, second];
            for (allow, deny) in [
                (&both[..], &both[..0]),
                (&both[..0], &both[..]),
                (&both[..1], &both[1..]),
            ] {
                for default_allow in [false, true] {
                    let table = rules(default_allow, allow, deny);
                    for (from, to) in sides
                        .iter()
                        .flat_map(|from| sides.iter().map(move |to| (from, to)))
                    {
                        let (from, to) = (side(from.0, from.1), side(to.0, to.1));
                        let expected = !java_has_rule(deny, from, to)
                            && (java_has_rule(allow, from, to) || default_allow);
                        assert_eq!(
                            table.allows(from, to),
                            expected,
                            "{allow:?} {deny:?} {from:?} {to:?}"
                        );
                        checked += 1;
                    }
                }
            }
        }
    }
    assert_eq!(checked, 100 * 3 * 2 * 36);
}

#[test]
fn only_the_closest_set_is_asked() {
    let deny = [
        ["9999", "serving", "10000", "serving"],
        ["*", "*", "*", "*"],
    ];
    let table = rules(true, &[], &deny);
    assert!(!table.allows(side("9999", "serving"), side("10000", "serving")));
    // The party's own set does not forbid it, and the wider one is not asked.
    assert!(table.allows(side("9999", "serving"), side("10001", "serving")));
    assert!(!table.allows(side("1", "serving"), side("10001", "serving")));
}

#[test]
fn a_role_of_any_party_never_matches_and_is_warned_of() {
    let table = rules(true, &[], &[["*", "serving", "10000", "serving"]]);
    assert!(table.allows(side("9999", "serving"), side("10000", "serving")));
    let [warning] = table.warnings() else {
        panic!("{:?}", table.warnings())
    };
    assert_eq!(warning.path, "permission.deny[0].from");
    assert!(!warning.is_fault);
}

#[test]
fn nothing_said_is_nothing_allowed() {
    let table = table(r#"{"route_table":{},"permission":{}}"#);
    assert!(!table.allows(side("1", "a"), side("2", "b")));
}
