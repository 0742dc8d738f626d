#![allow(clippy::unwrap_used, reason = "tests")]

use fate_proto::address::Endpoint;
use fate_proto::proxy::{Command, Conf, Data, Metadata, Model, Packet, Task, Topic};
use proptest::prelude::*;

use super::*;

fn topic(name: &str, party_id: &str) -> Topic {
    Topic {
        name: name.to_owned(),
        party_id: party_id.to_owned(),
        role: "serving".to_owned(),
        callback: None,
    }
}

/// Contract 04 H.1, 2.
#[test]
fn every_escape_of_the_signed_text() {
    let packet = Packet {
        header: Some(Metadata {
            task: Some(Task {
                task_id: "t1".to_owned(),
                model: Some(Model {
                    namespace: "host#10000#guest-9999#host-10000#model".to_owned(),
                    table_name: "2020<&>='\u{2028}é中".to_owned(),
                }),
            }),
            src: Some(topic("partyName", "9999")),
            dst: Some(topic("partnerPartyName", "10000")),
            command: Some(Command {
                name: "federatedInference".to_owned(),
            }),
            operator: "216".to_owned(),
            version: 7,
            ack: 3,
            conf: Some(Conf {
                overall_timeout: 1000,
                max_retries: 2,
                ..Conf::default()
            }),
        }),
        body: Some(Data {
            key: "k".to_owned(),
            value: br#"{"a":1}??>>"#.as_slice().into(),
        }),
        auth: None,
    };
    assert_eq!(
        signed_header(&packet),
        r#"{"task":{"taskId":"t1","model":{"namespace":"host#10000#guest-9999#host-10000#model","tableName":"2020\u003c\u0026\u003e\u003d\u0027\u2028é中"}},"src":{"name":"partyName","partyId":"9999","role":"serving"},"dst":{"name":"partnerPartyName","partyId":"10000","role":"serving"},"command":{"name":"federatedInference"},"operator":"216","version":"7","ack":"3","conf":{"overallTimeout":"1000","maxRetries":2}}"#
    );
    assert_eq!(
        signed_body(&packet),
        r#"{"key":"k","value":"eyJhIjoxfT8/Pj4="}"#
    );
}

#[test]
fn unset_and_empty_messages() {
    assert_eq!(signed_header(&Packet::default()), "{}");
    assert_eq!(signed_body(&Packet::default()), "{}");
    let packet = Packet {
        header: Some(Metadata {
            task: Some(Task::default()),
            ..Metadata::default()
        }),
        ..Packet::default()
    };
    assert_eq!(signed_header(&packet), r#"{"task":{}}"#);
    assert_eq!(write_packet(&Packet::default()), "{\n}");
    assert_eq!(
        write_packet(&packet),
        "{\n  \"header\": {\n    \"task\": {\n    }\n  }\n}"
    );
}

#[test]
fn control_characters_and_other_fields() {
    let mut source = topic("\u{0}\u{1f}\u{7f}\t\u{8}\n\r\u{c}\"\\/\u{2029}", "");
    source.callback = Some(Endpoint {
        port: -1,
        use_ssl: true,
        ..Endpoint::default()
    });
    let packet = Packet {
        header: Some(Metadata {
            src: Some(source),
            version: i64::MIN,
            ..Metadata::default()
        }),
        ..Packet::default()
    };
    assert_eq!(
        signed_header(&packet),
        "{\"src\":{\"name\":\"\\u0000\\u001f\u{7f}\\t\\b\\n\\r\\f\\\"\\\\/\\u2029\",\"role\":\"serving\",\"callback\":{\"port\":-1,\"useSSL\":true}},\"version\":\"-9223372036854775808\"}"
    );
}

#[test]
fn a_packet_over_http() {
    let text = "{\n  \"header\": {\n    \"dst\": {\n      \"partyId\": \"10000\"\n    },\n    \"version\": \"7\"\n  },\n  \"body\": {\n    \"value\": \"AAE\\u003d\"\n  }\n}";
    let packet = read_packet(text).unwrap();
    assert_eq!(&*packet.body.as_ref().unwrap().value, [0, 1]);
    assert_eq!(write_packet(&packet), text.replace("\\u003d", "="));
}

/// Contract 04 H.1, 5.
#[test]
fn what_is_a_packet_and_what_not() {
    let party = |text: &str| {
        read_packet(text)
            .unwrap()
            .header
            .unwrap()
            .dst
            .unwrap()
            .party_id
    };
    assert_eq!(party(r#"{"header":{"dst":{"partyId":10000}}}"#), "10000");
    assert_eq!(party(r#"{"header":{"dst":{"partyId":true}}}"#), "true");
    assert_eq!(
        party(r#"{"header":{"dst":{"partyId":null,"callback":null}}}"#),
        ""
    );
    let header = |text: &str| read_packet(text).unwrap().header.unwrap();
    assert_eq!(header(r#"{"header":{"version":7}}"#).version, 7);
    assert_eq!(header(r#"{"header":{"version":"7","ack":7.0}}"#).ack, 7);
    let body = |value: &str| {
        let packet = read_packet(&format!("{{\"body\":{{\"value\":\"{value}\"}}}}")).unwrap();
        packet.body.unwrap().value.to_vec()
    };
    for value in ["+/8=", "+/8", "-_8=", "-_8"] {
        assert_eq!(body(value), [0xfb, 0xff], "{value}");
    }
    assert_eq!(read_packet("{}").unwrap(), Packet::default());
    for text in [
        r#"{"unknown":1}"#,
        "",
        "null",
        "[]",
        "{",
        "{} {}",
        r#"{"body":{"value":"*"}}"#,
        r#"{"body":{"value":"a"}}"#,
        r#"{"body":[]}"#,
        r#"{"header":{"version":1.5}}"#,
        r#"{"header":{"version":"x"}}"#,
        r#"{"header":{"conf":{"maxRetries":2147483648}}}"#,
        r#"{"header":{"operator":{}}}"#,
        r#"{"header":{"ack":1,"ack":2}}"#,
        r#"{"header":{"src":{"callback":{"useSSL":1}}}}"#,
    ] {
        assert!(read_packet(text).is_err(), "{text}");
    }
}

fn packets() -> impl Strategy<Value = Packet> {
    let text = ".{0,12}";
    let value = proptest::collection::vec(any::<u8>(), 0..40);
    (text, text, any::<i64>(), any::<i32>(), value).prop_map(|(one, two, long, int, value)| {
        Packet {
            header: Some(Metadata {
                task: Some(Task {
                    task_id: one.clone(),
                    model: None,
                }),
                src: Some(topic(&two, &one)),
                ack: long,
                conf: Some(Conf {
                    max_retries: int,
                    ..Conf::default()
                }),
                ..Metadata::default()
            }),
            body: Some(Data {
                key: two,
                value: value.into(),
            }),
            auth: None,
        }
    })
}

proptest! {
    #[test]
    fn what_is_written_reads_back(packet in packets()) {
        prop_assert_eq!(read_packet(&write_packet(&packet)).unwrap(), packet);
    }

    #[test]
    fn no_text_is_too_strange(text: String) {
        let _ = read_packet(&text);
    }
}
