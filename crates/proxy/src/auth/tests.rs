#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::HashMap;

use fate_proto::proxy::{AuthInfo, Command, Data, Metadata, Model, Task};

use super::*;

const NOW: i64 = 1_700_000_000_000;

const FILE: &str = r#"{
  "self_party_id": "9999", "apply_id": "file-apply", "if_use_auth": false, "request_expire_seconds": 8,
  "access_keys": [
    {"party_id": "9999", "app_key": "11", "app_secret": "11111"},
    {"party_id": "10000", "app_key": "22", "app_secret": "22222"},
    {"party_id": "10001", "app_key": "33", "app_secret": "33333"},
    {"party_id": "exchange", "app_key": "44", "app_secret": "44444", "speaks_for": ["10002", "10003"]}
  ]
}"#;

fn auth(content: &str) -> (tempfile::TempDir, Arc<Auth>) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("auth_config.json");
    std::fs::write(&path, content).unwrap();
    let auth = Auth::load(path);
    (directory, auth)
}

fn topic(party_id: &str, name: &str) -> Option<Topic> {
    Some(Topic {
        name: name.to_owned(),
        party_id: party_id.to_owned(),
        role: "serving".to_owned(),
        callback: None,
    })
}

/// Contract 04 H.1, 1, with other parties.
fn packet(from: &str, to: &str) -> Packet {
    Packet {
        header: Some(Metadata {
            task: Some(Task {
                task_id: String::new(),
                model: Some(Model {
                    namespace: "host#10000#arbiter-10000#guest-9999#host-10000#model".to_owned(),
                    table_name: "2020040111152695637611".to_owned(),
                }),
            }),
            src: topic(from, "myPartyName"),
            dst: topic(to, "partnerPartyName"),
            command: Some(Command {
                name: "federatedInference".to_owned(),
            }),
            operator: "216".to_owned(),
            ..Metadata::default()
        }),
        body: Some(Data {
            key: String::new(),
            value: br#"{"caseId":"c1"}"#.as_slice().into(),
        }),
        auth: None,
    }
}

/// Signed by whoever holds the secret.
fn signed(mut packet: Packet, timestamp: i64, app_key: &str, secret: &str) -> Packet {
    let signature = Signature::of(&packet, timestamp, secret).to_text();
    packet.auth = Some(AuthInfo {
        timestamp,
        app_key: app_key.to_owned(),
        signature,
        ..AuthInfo::default()
    });
    packet
}

/// `AuthUtils.checkAuthentication` of the Java proxy with the keys of [`FILE`], as the contract describes it.
fn java_lets_in(packet: &Packet, now_ms: i64) -> bool {
    let secrets = HashMap::from([
        ("11", "11111"),
        ("22", "22222"),
        ("33", "33333"),
        ("44", "44444"),
    ]);
    let auth = packet.auth.clone().unwrap_or_default();
    if now_ms >= auth.timestamp + 8 * 1000 {
        return false;
    }
    let expected = match secrets.get(auth.app_key.as_str()) {
        Some(secret) => Signature::of(packet, auth.timestamp, secret).to_text(),
        None => String::new(),
    };
    auth.signature == expected
}

/// Java lets the packet in; here it is refused.
fn refused(packet: &Packet) -> Refusal {
    assert!(
        java_lets_in(packet, NOW),
        "the Java proxy would refuse it as well"
    );
    auth(FILE).1.check(packet, NOW).unwrap_err()
}

#[test]
fn signatures_are_those_of_the_contract() {
    let signature = |packet: &Packet| Signature::of(packet, NOW, "11111").to_text();
    assert_eq!(
        signature(&packet("9999", "10000")),
        "UlCcg/e2MrclbJ2uqQe3i69EhRU="
    );

    let mut other = packet("9999", "10000");
    let header = other.header.as_mut().unwrap();
    header.task = Some(Task {
        task_id: "t1".to_owned(),
        model: Some(Model {
            namespace: "host#10000#guest-9999#host-10000#model".to_owned(),
            table_name: "2020<&>='\u{2028}é中".to_owned(),
        }),
    });
    header.src = topic("9999", "partyName");
    (header.version, header.ack) = (7, 3);
    header.conf = Some(fate_proto::proxy::Conf {
        overall_timeout: 1000,
        max_retries: 2,
        ..fate_proto::proxy::Conf::default()
    });
    other.body = Some(Data {
        key: "k".to_owned(),
        value: br#"{"a":1}??>>"#.as_slice().into(),
    });
    assert_eq!(signature(&other), "1M6JR1RsvjPswAi0bmo2lrLazlI=");
}

#[test]
fn what_is_signed_as_agreed_is_let_in_once() {
    let (_directory, auth) = auth(FILE);
    let packet = signed(packet("10000", "9999"), NOW - 7999, "22", "22222");
    assert!(java_lets_in(&packet, NOW));
    assert_eq!(auth.check(&packet, NOW), Ok(()));
    assert_eq!(auth.check(&packet, NOW), Err(Refusal::Repeated));
}

#[test]
fn hole_1_an_unknown_key_with_an_empty_signature() {
    for app_key in ["", "99"] {
        let mut packet = packet("10000", "9999");
        packet.auth = Some(AuthInfo {
            timestamp: NOW,
            app_key: app_key.to_owned(),
            ..AuthInfo::default()
        });
        assert_eq!(refused(&packet), Refusal::UnknownKey);
    }
    // A known key with an empty signature is refused by both.
    let mut packet = signed(packet("10000", "9999"), NOW, "22", "22222");
    packet.auth.as_mut().unwrap().signature.clear();
    assert!(!java_lets_in(&packet, NOW));
    assert_eq!(
        auth(FILE).1.check(&packet, NOW),
        Err(Refusal::WrongSignature)
    );
}

#[test]
fn hole_2_a_key_of_another_party() {
    let packet = signed(packet("10000", "9999"), NOW, "33", "33333");
    let expected = Refusal::OtherParty {
        owner: "10001".to_owned(),
        claimed: "10000".to_owned(),
    };
    assert_eq!(refused(&packet), expected);
}

#[test]
fn hole_3_a_repetition_and_the_future() {
    let packet_again = signed(packet("10000", "9999"), NOW, "22", "22222");
    assert!(java_lets_in(&packet_again, NOW) && java_lets_in(&packet_again, NOW + 1));
    let (_directory, auth) = auth(FILE);
    assert_eq!(auth.check(&packet_again, NOW), Ok(()));
    let mut with_other_nonce = packet_again;
    with_other_nonce.auth.as_mut().unwrap().nonce = "other".to_owned();
    assert!(java_lets_in(&with_other_nonce, NOW + 7999));
    assert_eq!(
        auth.check(&with_other_nonce, NOW + 7999),
        Err(Refusal::Repeated)
    );

    for ahead in [8000, 86_400_000 * 365] {
        let packet = signed(packet("10000", "9999"), NOW + ahead, "22", "22222");
        assert_eq!(refused(&packet), Refusal::FromFuture(ahead));
    }
    let barely = signed(packet("10000", "9999"), NOW + 7999, "22", "22222");
    assert_eq!(auth.check(&barely, NOW), Ok(()));
    // It is valid for two windows: so long it must be remembered.
    assert_eq!(auth.check(&barely, NOW + 15_998), Err(Refusal::Repeated));
}

#[test]
fn hole_4_the_comparison_looks_at_every_byte() {
    let signature = Signature::of(&packet("9999", "10000"), NOW, "11111");
    let right = signature.to_text();
    assert!(signature.is(&right));
    for position in 0..right.len() {
        let mut wrong = right.clone().into_bytes();
        wrong[position] ^= 1;
        assert!(
            !signature.is(std::str::from_utf8(&wrong).unwrap()),
            "{position}"
        );
    }
    assert!(
        !signature.is("") && !signature.is(&right[..27]) && !signature.is(&format!("{right}="))
    );
}

#[test]
fn hole_5_no_text_shows_a_secret_or_an_expected_signature() {
    let (_directory, auth) = auth(FILE);
    let mut packet = signed(packet("10000", "9999"), NOW, "22", "22222");
    let right = packet.auth.as_ref().unwrap().signature.clone();
    packet.auth.as_mut().unwrap().signature = "wrong".to_owned();
    let refusal = auth.check(&packet, NOW).unwrap_err();
    let shown = format!("{refusal} {refusal:?} {auth:?} {:?}", auth.keys());
    for secret in [right.as_str(), "11111", "22222", "33333"] {
        assert!(!shown.contains(secret), "{shown}");
    }
}

#[test]
fn an_empty_secret_would_be_everybodys() {
    let file = r#"{"self_party_id":"1","request_expire_seconds":8,"access_keys":[{"party_id":"1","app_key":"k","app_secret":""}]}"#;
    let error = Keys::parse(file.as_bytes()).unwrap_err().to_string();
    assert!(
        error.ends_with("access_keys[0].app_secret: must not be empty"),
        "{error}"
    );
}

#[test]
fn what_is_changed_or_old_is_refused() {
    let (_directory, auth) = auth(FILE);
    let right = signed(packet("10000", "9999"), NOW, "22", "22222");
    let mut body = right.clone();
    body.body.as_mut().unwrap().value = br#"{"caseId":"c2"}"#.as_slice().into();
    let mut header = right.clone();
    header.header.as_mut().unwrap().operator = "200".to_owned();
    let mut time = right.clone();
    time.auth.as_mut().unwrap().timestamp += 1;
    for packet in [body, header, time] {
        assert!(!java_lets_in(&packet, NOW));
        assert_eq!(auth.check(&packet, NOW), Err(Refusal::WrongSignature));
    }
    assert!(!java_lets_in(&right, NOW + 8000));
    assert_eq!(auth.check(&right, NOW + 8000), Err(Refusal::Expired(8000)));
    assert_eq!(
        auth.check(&packet("10000", "9999"), NOW),
        Err(Refusal::Expired(NOW))
    );
    let mut odd = right;
    odd.auth.as_mut().unwrap().timestamp = i64::MIN;
    assert_eq!(auth.check(&odd, NOW), Err(Refusal::Expired(i64::MAX)));
}

#[test]
fn an_exchange_speaks_for_those_it_is_trusted_with() {
    let (_directory, auth) = auth(FILE);
    let of = |party: &str| signed(packet(party, "9999"), NOW, "44", "44444");
    assert_eq!(auth.check(&of("10002"), NOW), Ok(()));
    assert_eq!(auth.check(&of("10003"), NOW), Ok(()));
    assert!(matches!(
        auth.check(&of("10000"), NOW),
        Err(Refusal::OtherParty { .. })
    ));
}

#[test]
fn packets_to_others_are_signed() {
    let (_directory, auth) = auth(FILE);
    let mut unsigned = packet("9999", "10000");
    unsigned.auth = Some(AuthInfo {
        app_key: "stranger".to_owned(),
        nonce: "n".to_owned(),
        version: "216".to_owned(),
        service_id: "s".to_owned(),
        ..AuthInfo::default()
    });
    let signature = auth.sign(&unsigned, NOW).unwrap().unwrap();
    let expected = AuthInfo {
        timestamp: NOW,
        app_key: "11".to_owned(),
        signature: "UlCcg/e2MrclbJ2uqQe3i69EhRU=".to_owned(),
        apply_id: "file-apply".to_owned(),
        nonce: "n".to_owned(),
        version: "216".to_owned(),
        service_id: "s".to_owned(),
    };
    assert_eq!(signature, expected);
    unsigned.auth = Some(signature);
    assert!(java_lets_in(&unsigned, NOW));

    unsigned.auth.as_mut().unwrap().apply_id = "own".to_owned();
    let signature = auth.sign(&unsigned, NOW).unwrap().unwrap();
    assert_eq!(signature.apply_id, "own");
}

#[test]
fn packets_to_oneself_are_not_signed() {
    let (_directory, auth) = auth(FILE);
    assert_eq!(auth.sign(&packet("10000", "9999"), NOW), Ok(None));
}

#[test]
fn without_a_key_of_its_own_a_party_cannot_sign() {
    let no_key = Err(Fault::new(ReturnCode::PROXY_AUTH, "add auth info error"));
    let (_directory, other) =
        auth(&FILE.replace("\"self_party_id\": \"9999\"", "\"self_party_id\": \"7\""));
    assert_eq!(other.sign(&packet("9999", "10000"), NOW), no_key);
    let (_directory, none) = auth("{");
    assert!(none.fault().is_some());
    assert_eq!(none.sign(&packet("9999", "10000"), NOW), no_key);
    let right = signed(packet("10000", "9999"), NOW, "22", "22222");
    assert_eq!(none.check(&right, NOW), Err(Refusal::NoKeys));
}

#[test]
fn a_bad_file_leaves_the_keys_in_force_and_removed_keys_are_gone() {
    let (_directory, auth) = auth(FILE);
    std::fs::write(auth.path(), "{\"self_party_id\":").unwrap();
    auth.reload();
    assert!(
        auth.fault().unwrap().starts_with("line 1, column 18: "),
        "{:?}",
        auth.fault()
    );
    assert_eq!(auth.keys().unwrap().len(), 4);

    std::fs::write(
        auth.path(),
        FILE.replace("\"party_id\": \"9999\"", "\"party_id\": \"1\""),
    )
    .unwrap();
    auth.reload();
    assert_eq!(auth.fault(), None);
    // Java keeps signing with the key that the file no longer gives to this party.
    assert!(auth.sign(&packet("9999", "10000"), NOW).is_err());
}

#[test]
fn the_file_is_as_lenient_as_java_and_not_more() {
    let keys = |text: &str| Keys::parse(text.as_bytes());
    let with = |members: &str| format!("{{{members}, \"access_keys\": []}} // end");
    assert!(keys(&with("self_party_id: 9999; request_expire_seconds = '8'")).is_ok());
    for members in [
        "\"request_expire_seconds\": 8",
        "\"self_party_id\": \"1\"",
        "\"self_party_id\": \"1\", \"request_expire_seconds\": 0",
        "\"self_party_id\": \"1\", \"request_expire_seconds\": 9999999999",
    ] {
        assert!(keys(&with(members)).is_err(), "{members}");
    }
    let numbers = r#"{"self_party_id":"1","request_expire_seconds":8,"access_keys":[{"party_id":"1","app_key":11,"app_secret":"s"}]}"#;
    assert_eq!(keys(numbers).unwrap().own().unwrap().app_key, "11.0");
}
