//! Contract 04 A.5.1, A.5.3.

use std::path::PathBuf;

use super::*;

fn grpc(endpoint: &str) -> (String, Option<TlsSettings>) {
    match target(endpoint) {
        Target::Grpc { address, tls } => (address.to_string(), tls),
        other => panic!("{endpoint}: {other:?}"),
    }
}

fn fault(endpoint: &str) -> String {
    match target(endpoint) {
        Target::Unusable(reason) => reason,
        other => panic!("{endpoint}: {other:?}"),
    }
}

#[test]
fn addresses_in_every_spelling() {
    for (endpoint, expected) in [
        (
            r#"{"ip":"127.0.0.1","port":8869,"useSSL":false}"#,
            "127.0.0.1:8869",
        ),
        (r#"{"ip":"10.0.0.1","port":"30110"}"#, "10.0.0.1:30110"),
        (r#"{"ip":"10.0.0.1","port":8869.0}"#, "10.0.0.1:8869"),
        (
            r#"{"ip":"serving-proxy.fate-9999","port":8869}"#,
            "serving-proxy.fate-9999:8869",
        ),
        (r#"{"ip":"a","hostname":"b","port":1}"#, "a:1"),
        (r#"{"hostname":"b","port":1}"#, "b:1"),
        (r#"{"ip":"","hostname":" b ","port":1}"#, "b:1"),
        (r#"{"ip":"::1","port":1}"#, "[::1]:1"),
        (r#"{"ip":"[::1]","port":1}"#, "[::1]:1"),
        (r#"{ip: 10.0.0.1; port = 1}"#, "10.0.0.1:1"),
        (r#"{"ip":"a","port":1,"useSSL":"yes"}"#, "a:1"),
        (
            r#"{"ip":"a","port":1,"useSSL":true,"negotiationType":"PLAINTEXT"}"#,
            "a:1",
        ),
        (r#"{"ip":"a","port":1,"negotiationType":"TLS"}"#, "a:1"),
    ] {
        assert_eq!(grpc(endpoint), (expected.to_owned(), None), "{endpoint}");
    }
}

#[test]
fn a_secured_address_stays_secured() {
    let files = r#""certChainFile":"c.crt ","privateKeyFile":"c.pem","caFile":"ca.crt""#;
    for negotiation in [
        r#""negotiationType":"TLS","#,
        "",
        r#""negotiationType":"","#,
    ] {
        for flag in ["true", "\"TRUE\""] {
            let (_, tls) = grpc(&format!(
                r#"{{"ip":"a","port":1,"useSSL":{flag},{negotiation}{files}}}"#
            ));
            let tls = tls.unwrap();
            assert_eq!(tls.cert_chain_file, Some(PathBuf::from("c.crt")));
            assert_eq!(
                (tls.ca_file, tls.server_name),
                (Some(PathBuf::from("ca.crt")), None)
            );
        }
    }
    // Java would send in the clear.
    let (_, tls) =
        grpc(r#"{"ip":"a","port":1,"useSSL":true,"negotiationType":"TLS","serverName":"n"}"#);
    let expected = TlsSettings {
        server_name: Some("n".to_owned()),
        ..TlsSettings::default()
    };
    assert_eq!(tls, Some(expected));
}

#[test]
fn what_cannot_work_is_named_and_costs_no_other_address() {
    for (endpoint, part) in [
        ("{}", "neither ip nor hostname nor url"),
        (r#"{"ip":"a"}"#, "port 0 is not a TCP port"),
        (r#"{"ip":"a","port":65536}"#, "port 65536"),
        (r#"{"ip":"a","port":-1}"#, "port -1"),
        (
            r#"{"ip":"a b","port":1}"#,
            "neither a name nor an IP address",
        ),
        (
            r#"{"ip":"a/b","port":1}"#,
            "neither a name nor an IP address",
        ),
        (
            r#"{"ip":"a","port":1,"useSSL":true,"negotiationType":"tls"}"#,
            "negotiationType `tls`",
        ),
        (
            r#"{"ip":"a","port":1,"useSSL":true,"certChainFile":"c"}"#,
            "belong together",
        ),
        (
            r#"{"ip":"a","port":1,"useSSL":true,"privateKeyFile":"c"}"#,
            "belong together",
        ),
        (r#"{"url":"ftp://a/unary"}"#, "does not begin with http"),
        (r#"{"url":"/unary"}"#, "does not begin with http"),
        (r#"{"url":"http:// a/"}"#, "is not a URL"),
        (r#"{"url":"http://u:secret@a/unary"}"#, "user name"),
    ] {
        let text = fault(endpoint);
        assert!(
            text.contains(part) && !text.contains("secret"),
            "{endpoint}: {text}"
        );
        let two = with_endpoint(&format!(r#"{endpoint},{{"ip":"good","port":1}}"#));
        assert_eq!(table(&two).routes(side("1", "r")).unwrap()[1].fault(), None);
    }
}

#[test]
fn http_addresses() {
    for url in [
        "http://127.0.0.1:8059/unary",
        "https://proxy.example/unary",
        "http://[::1]:80/",
    ] {
        let Target::Http(http) = target(&format!(r#"{{"ip":"ignored","port":1,"url":" {url} "}}"#))
        else {
            panic!("{url}")
        };
        assert_eq!(http.uri.to_string(), url);
    }
    let Target::Http(http) = target(r#"{"url":"https://a/unary","caFile":"ca.crt"}"#) else {
        panic!()
    };
    assert_eq!(http.tls.ca_file, Some(PathBuf::from("ca.crt")));
    // Blank is no url.
    assert_eq!(grpc(r#"{"ip":"a","port":1,"url":" "}"#).0, "a:1");
}

#[test]
fn the_way_back_is_refused() {
    let own = OwnAddresses::new([
        "0.0.0.0:8869".parse().unwrap(),
        "0.0.0.0:8059".parse().unwrap(),
    ]);
    for endpoint in [
        r#"{"ip":"127.0.0.1","port":8869,"useSSL":false}"#,
        r#"{"ip":"localhost","port":"8869"}"#,
        r#"{"ip":"::1","port":8869,"useSSL":true}"#,
        r#"{"url":"http://127.0.0.1:8059/unary"}"#,
        r#"{"url":"http://[::1]:8059/unary"}"#,
    ] {
        let table = RouteTable::parse(with_endpoint(endpoint).as_bytes(), &own).unwrap();
        let route = &table.routes(side("1", "r")).unwrap()[0];
        assert!(
            route.fault().unwrap().contains("leads back to this proxy"),
            "{endpoint}"
        );
    }
    let other = with_endpoint(r#"{"ip":"127.0.0.1","port":8870}"#);
    assert!(
        RouteTable::parse(other.as_bytes(), &own)
            .unwrap()
            .warnings()
            .is_empty()
    );
}

#[test]
fn errors_name_line_column_and_path() {
    for (text, expected) in [
        (
            "",
            "line 1, column 1: a value is expected, but the text ends",
        ),
        ("[]", "line 1, column 1: must be an object"),
        ("{}", "line 1, column 1: `route_table` is missing"),
        (
            r#"{"route_table":{}}"#,
            "line 1, column 1: `permission` is missing",
        ),
        (
            r#"{"route_table":[],"permission":{}}"#,
            "line 1, column 16, route_table: must be an object",
        ),
        (
            "{\"route_table\":{\n  \"10000\":{\n    \"serving\":{}}},\"permission\":{}}",
            "line 3, column 15, route_table.10000.serving: must be a list",
        ),
        (
            "{\"route_table\":{\"1\":{\"default\":[{\"ip\":\"a\",\n\"port\":\"http\"}]}},\"permission\":{}}",
            "line 2, column 8, route_table.1.default[0].port: must be an integer",
        ),
        (
            r#"{"route_table":{"1":{"default":[{},]}},"permission":{}}"#,
            "line 1, column 36, route_table.1.default[1]: must be an object",
        ),
        (
            r#"{"route_table":{"1":{"default":[{"ip":null}]}},"permission":{}}"#,
            "line 1, column 39, route_table.1.default[0].ip: must be a text",
        ),
        (
            r#"{"route_table":{},"permission":{"deny":[{"from":{}}]}}"#,
            "line 1, column 41, permission.deny[0]: `to` is missing",
        ),
        (
            r#"{"route_table":{},"permission":{"default_allow":{}}}"#,
            "line 1, column 49, permission.default_allow: must be true or false",
        ),
    ] {
        assert_eq!(error(text), expected, "{text}");
    }
}

#[test]
fn a_misspelled_member_is_warned_of() {
    let table = table(&with_endpoint(r#"{"ip":"a","port":1,"useSsl":true}"#));
    let [warning] = table.warnings() else {
        panic!("{:?}", table.warnings())
    };
    assert_eq!(warning.path, "route_table.default.default[0].useSsl");
    assert!(!warning.is_fault);
}

/// As the KubeFATE chart writes it: quoted ports, comments of the template gone, a trailing newline.
#[test]
fn a_table_of_a_helm_chart() {
    let table = table(
        r#"{
    "route_table": {
        "default": {
            "default": [
                {
                    "ip": "serving-proxy",
                    "port": "8869",
                    "useSSL": false
                }
            ]
        },
        "9999": {
            "serving": [
                {"ip": "serving-server", "port": "8000"}
            ]
        }
    },
    "permission": {
        "default_allow": true
    }
}
"#,
    );
    assert_eq!(
        table.routes(side("9999", "serving")).unwrap()[0].shown,
        "serving-server:8000"
    );
    assert!(table.warnings().is_empty() && table.allows(side("1", "a"), side("2", "b")));
}

#[test]
fn the_shipped_files_are_strict_json_without_a_warning() {
    let read = |name: &str| {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../../conf")
            .join(name);
        std::fs::read_to_string(path).unwrap()
    };
    let text = read("route_table.json");
    serde_json::from_str::<serde_json::Value>(&text).unwrap();
    let table = table(&text);
    assert_eq!(table.warnings(), []);
    assert_eq!(table.all_routes().count(), 4);
    let text = read("auth_config.json");
    serde_json::from_str::<serde_json::Value>(&text).unwrap();
    assert_eq!(
        crate::auth::Keys::parse(text.as_bytes())
            .unwrap()
            .own()
            .unwrap()
            .party_id,
        "9999"
    );
}
