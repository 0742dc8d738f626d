#![allow(clippy::unwrap_used, reason = "tests")]

use fate_proto::proxy::{AuthInfo, Data, Metadata, Model, Packet, Task, Topic};
use fate_registry::Snapshot;

use super::*;
use crate::route_table::OwnAddresses;
use crate::wire_packet::WirePacket;

/// Contract 04 H.1, 3.
const MODEL_KEY: &str = "0d376e2d1f25b7b47fe48e1c0feaf194";

const KEYS: &str = r#"{"self_party_id":"10000","request_expire_seconds":8,"access_keys":[
    {"party_id":"10000","app_key":"own","app_secret":"1"},{"party_id":"9999","app_key":"guest","app_secret":"2"}]}"#;

const ALLOWED: &str = r#"{"default_allow":true}"#;

/// A proxy of party 10000 on ports 8869 and 8059.
struct Setup {
    table: Option<String>,
    registry: Option<Registry>,
    pairs: Vec<(&'static str, String)>,
    directory: tempfile::TempDir,
}

impl Setup {
    fn new() -> Self {
        Self {
            table: None,
            registry: None,
            pairs: vec![
                ("coordinator", "10000".to_owned()),
                ("useZkRouter", "false".to_owned()),
            ],
            directory: tempfile::tempdir().unwrap(),
        }
    }

    fn table(mut self, parties: &str, permission: &str) -> Self {
        self.table = Some(format!(
            r#"{{"route_table":{{{parties}}},"permission":{permission}}}"#
        ));
        self
    }

    fn bad_table(mut self) -> Self {
        self.table = Some("{".to_owned());
        self
    }

    /// A server at `a:1` that has registered `service` in `environment`.
    fn registered(mut self, environment: &str, service: &str) -> Self {
        let url = format!("grpc://a:1/serving/{environment}/{service}?version=216");
        self.registry = Some(Registry::fixed(Snapshot::of_list([(
            "serving",
            environment,
            service,
            url,
        )])));
        self
    }

    fn set(mut self, key: &'static str, value: &str) -> Self {
        self.pairs.push((key, value.to_owned()));
        self
    }

    fn signed(self) -> Self {
        let path = self.directory.path().join("auth_config.json");
        std::fs::write(&path, KEYS).unwrap();
        let path = path.display().to_string();
        self.set("auth.open", "true").set("auth.file", &path)
    }

    fn build(&self) -> Forwarder {
        let pairs = self.pairs.iter().map(|(key, value)| (*key, value.as_str()));
        let config = Config::from_pairs(pairs).unwrap();
        let path = self.directory.path().join("route_table.json");
        if let Some(table) = &self.table {
            std::fs::write(&path, table).unwrap();
        }
        let own =
            OwnAddresses::new(["0.0.0.0:8869", "0.0.0.0:8059"].map(|text| text.parse().unwrap()));
        Forwarder::new(
            &config,
            RunningTable::load(path, own),
            self.registry.clone(),
        )
    }

    fn packet(&self, arrival: Arrival, packet: Packet) -> Result<String, (i32, String)> {
        let sent = self.build().packet(arrival, WirePacket::encoded(packet));
        shown(sent.map(|(route, _)| route))
    }

    fn inference(&self, service_id: &str) -> Result<String, (i32, String)> {
        shown(self.build().inference(service_id, "inference"))
    }
}

fn shown(outcome: Result<Route, Fault>) -> Result<String, (i32, String)> {
    outcome
        .map(|route| route.shown)
        .map_err(|fault| (fault.code.0, fault.message))
}

fn refused(code: i32, text: &str) -> Result<String, (i32, String)> {
    Err((code, text.to_owned()))
}

fn to(address: &str) -> Result<String, (i32, String)> {
    Ok(address.to_owned())
}

fn topic(party_id: &str, role: &str) -> Option<Topic> {
    Some(Topic {
        name: "name".to_owned(),
        party_id: party_id.to_owned(),
        role: role.to_owned(),
        callback: None,
    })
}

/// From party 9999 to party 10000, for the registered model.
fn packet() -> Packet {
    Packet {
        header: Some(Metadata {
            task: Some(Task {
                task_id: String::new(),
                model: Some(Model {
                    namespace: "host#10000#arbiter-10000#guest-9999#host-10000#model".to_owned(),
                    table_name: "2020040111152695637611".to_owned(),
                }),
            }),
            src: topic("9999", "serving"),
            dst: topic("10000", "serving"),
            operator: "216".to_owned(),
            ..Metadata::default()
        }),
        body: Some(Data {
            key: String::new(),
            value: "{}".into(),
        }),
        auth: None,
    }
}

fn changed(change: impl FnOnce(&mut Metadata)) -> Packet {
    let mut packet = packet();
    change(packet.header.as_mut().unwrap());
    packet
}

const BOTH: [Arrival; 2] = [Arrival::Intra, Arrival::Inter];
const SERVER: &str = r#""10000":{"serving":[{"ip":"b","port":2}]}"#;

#[test]
fn the_route_table_serves_both_ways() {
    let setup = Setup::new().table(SERVER, ALLOWED);
    for arrival in BOTH {
        assert_eq!(setup.packet(arrival, packet()), to("b:2"));
    }
}

#[test]
fn the_registry_goes_first_for_other_parties_only() {
    let setup = Setup::new()
        .table(SERVER, ALLOWED)
        .registered(MODEL_KEY, "unaryCall");
    assert_eq!(setup.packet(Arrival::Inter, packet()), to("a:1"));
    assert_eq!(setup.packet(Arrival::Intra, packet()), to("b:2"));
    let other_model = changed(|header| header.task = None);
    assert_eq!(setup.packet(Arrival::Inter, other_model), to("b:2"));
    let without_table = Setup::new().registered(MODEL_KEY, "unaryCall");
    assert_eq!(without_table.packet(Arrival::Inter, packet()), to("a:1"));
    let other_service = Setup::new()
        .table(SERVER, ALLOWED)
        .registered(MODEL_KEY, "inference");
    assert_eq!(other_service.packet(Arrival::Inter, packet()), to("b:2"));
}

#[test]
fn a_first_generation_guest_finds_its_model_in_the_registry() {
    let setup = Setup::new().registered(MODEL_KEY, "unaryCall");
    let mut old = changed(|header| {
        header.operator.clear();
        header.task = None;
    });
    old.body.as_mut().unwrap().value = r#"{"partnerModelInfo":{"name":"2020040111152695637611","namespace":"host#10000#arbiter-10000#guest-9999#host-10000#model"}}"#.into();
    assert_eq!(setup.packet(Arrival::Inter, old), to("a:1"));
    let odd = changed(|header| header.operator = "two".to_owned());
    let text = "For input string: \"two\"";
    assert_eq!(
        setup.packet(Arrival::Inter, odd.clone()),
        refused(110, text)
    );
    // Nobody reads it where there is no registry.
    assert_eq!(
        Setup::new()
            .table(SERVER, ALLOWED)
            .packet(Arrival::Inter, odd),
        to("b:2")
    );
}

#[test]
fn packets_need_two_parties() {
    let setup = Setup::new().table(SERVER, ALLOWED);
    for arrival in BOTH {
        for (packet, text) in [
            (Packet::default(), "host id is null"),
            (changed(|header| header.dst = None), "host id is null"),
            (
                changed(|header| header.dst = topic("", "serving")),
                "host id is null",
            ),
            (changed(|header| header.src = None), "guest id is null"),
        ] {
            assert_eq!(setup.packet(arrival, packet), refused(110, text));
        }
    }
}

#[test]
fn without_a_table_there_is_no_route() {
    let text = "serving-proxy can not find router info ";
    for setup in [Setup::new(), Setup::new().bad_table()] {
        assert_eq!(setup.packet(Arrival::Inter, packet()), refused(128, text));
        assert_eq!(setup.inference("s"), refused(128, text));
    }
}

#[test]
fn what_the_table_does_not_list_is_an_error_of_its_own() {
    let setup = Setup::new().table(r#""10000":{"fateflow":[]}"#, ALLOWED);
    let no_role = "No available endpoint for this service: serving. Considering adding a default endpoint, or check if the list is empty?";
    assert_eq!(
        setup.packet(Arrival::Inter, packet()),
        refused(110, no_role)
    );
    assert_eq!(setup.inference("s"), refused(110, no_role));
    let setup = Setup::new().table("", ALLOWED);
    let no_party =
        "No available endpoint for the coordinator: 10000. Considering adding a default endpoint?";
    assert_eq!(
        setup.packet(Arrival::Inter, packet()),
        refused(110, no_party)
    );
    assert_eq!(setup.inference("s"), refused(110, no_party));
}

#[test]
fn the_table_wants_a_whole_destination() {
    let setup = Setup::new().table(SERVER, ALLOWED);
    let nameless = changed(|header| header.dst.as_mut().unwrap().name.clear());
    let text = "one of dstTopic name, coordinator, role is null. dstTopic: partyId: \"10000\"\nrole: \"serving\"\n";
    assert_eq!(
        setup.packet(Arrival::Inter, nameless.clone()),
        refused(110, text)
    );
    let roleless = changed(|header| header.dst.as_mut().unwrap().role = " ".to_owned());
    assert_eq!(setup.packet(Arrival::Intra, roleless).unwrap_err().0, 110);
    // The registry does not look at it.
    let registered = Setup::new().registered(MODEL_KEY, "unaryCall");
    assert_eq!(registered.packet(Arrival::Inter, nameless), to("a:1"));
}

const DENIED: &str = r#"{"default_allow":true,"deny":[{"from":{"coordinator":"9999","role":"*"},"to":{"coordinator":"10000","role":"*"}}]}"#;
const DENIED_TEXT: &str = "serving-proxy can not find router info : the permission rules do not let party 9999, role serving reach party 10000, role serving";

#[test]
fn the_rules_guard_table_and_registry() {
    let table = Setup::new().table(SERVER, DENIED);
    let both = Setup::new()
        .table(SERVER, DENIED)
        .registered(MODEL_KEY, "unaryCall");
    for arrival in BOTH {
        assert_eq!(table.packet(arrival, packet()), refused(128, DENIED_TEXT));
    }
    // Java lets this one pass.
    assert_eq!(
        both.packet(Arrival::Inter, packet()),
        refused(128, DENIED_TEXT)
    );
    let other = changed(|header| header.src = topic("9998", "serving"));
    assert_eq!(both.packet(Arrival::Inter, other), to("a:1"));
}

#[test]
fn the_rules_guard_only_what_they_are_asked_to() {
    let with = |enforce: &str| {
        let setup = Setup::new()
            .table(SERVER, DENIED)
            .registered(MODEL_KEY, "unaryCall");
        let setup = setup.set("permission.enforce", enforce);
        (
            setup.packet(Arrival::Inter, packet()),
            setup.packet(Arrival::Intra, packet()),
        )
    };
    let denied = || refused(128, DENIED_TEXT);
    assert_eq!(with("zk,table"), (denied(), denied()));
    assert_eq!(with("zk"), (denied(), to("b:2")));
    assert_eq!(with("table"), (to("a:1"), denied()));
    assert_eq!(with("none"), (to("a:1"), to("b:2")));
}

#[test]
fn unknown_rules_forbid_and_no_rules_do_not() {
    let missing = Setup::new().registered(MODEL_KEY, "unaryCall");
    assert_eq!(missing.packet(Arrival::Inter, packet()), to("a:1"));
    let bad = Setup::new().bad_table().registered(MODEL_KEY, "unaryCall");
    assert_eq!(
        bad.packet(Arrival::Inter, packet()),
        refused(128, DENIED_TEXT)
    );
}

#[test]
fn a_route_to_this_proxy_is_not_followed() {
    let shipped_by_java =
        r#""default":{"default":[{"ip":"127.0.0.1","port":8869,"useSSL":false}]}"#;
    let setup = Setup::new().table(shipped_by_java, ALLOWED);
    let text = "grpc unaryCall error 127.0.0.1:8869: it leads back to this proxy (127.0.0.1:8869)";
    assert_eq!(setup.packet(Arrival::Intra, packet()), refused(105, text));
    let text = "remote rpc exception: 127.0.0.1:8869: it leads back to this proxy (127.0.0.1:8869)";
    assert_eq!(setup.inference("s"), refused(105, text));
}

#[test]
fn half_a_tls_identity_is_never_sent_in_the_clear() {
    let half = r#""10000":{"serving":[{"ip":"b","port":2,"useSSL":true,"certChainFile":"c"}]}"#;
    let (code, text) = Setup::new()
        .table(half, ALLOWED)
        .packet(Arrival::Intra, packet())
        .unwrap_err();
    assert!(
        code == 105
            && text.starts_with("grpc unaryCall error b:2: certChainFile and privateKeyFile"),
        "{text}"
    );
}

fn signed(setup: &Setup, arrival: Arrival, packet: Packet) -> Packet {
    let sent = setup.build().packet(arrival, WirePacket::encoded(packet));
    sent.unwrap().1.packet().clone()
}

#[test]
fn other_parties_must_sign_and_own_servers_need_not() {
    let setup = Setup::new().table(SERVER, ALLOWED).signed();
    assert_eq!(setup.packet(Arrival::Intra, packet()), to("b:2"));
    let unsigned = refused(129, "check authentication failed");
    assert_eq!(setup.packet(Arrival::Inter, packet()), unsigned);
    // Java lets it in: an unknown key, an empty signature, the present time.
    let mut empty = packet();
    empty.auth = Some(AuthInfo {
        timestamp: fate_edge::clock::now_ms(),
        ..AuthInfo::default()
    });
    assert_eq!(setup.packet(Arrival::Inter, empty), unsigned);
    // The signature is looked at before the route is.
    let unknown = changed(|header| header.dst = topic("7", "serving"));
    assert_eq!(setup.packet(Arrival::Inter, unknown), unsigned);
    // The parties before the signature.
    assert_eq!(
        setup.packet(Arrival::Inter, Packet::default()),
        refused(110, "host id is null")
    );
}

#[test]
fn what_one_proxy_signs_the_other_lets_in() {
    let peer = r#""9999":{"default":[{"ip":"c","port":3}]}"#;
    let sender = Setup::new().table(peer, ALLOWED).signed();
    let outbound = changed(|header| {
        header.src = topic("10000", "serving");
        header.dst = topic("9999", "serving");
    });
    let sent = signed(&sender, Arrival::Intra, outbound.clone());
    assert_eq!(
        (&sent.header, &sent.body),
        (&outbound.header, &outbound.body)
    );
    assert_eq!(sent.auth.as_ref().unwrap().app_key, "own");

    let receiver = Setup::new()
        .table(r#""9999":{"serving":[{"ip":"d","port":4}]}"#, ALLOWED)
        .signed();
    let path = receiver.directory.path().join("auth_config.json");
    std::fs::write(
        path,
        KEYS.replace(r#""self_party_id":"10000""#, r#""self_party_id":"9999""#),
    )
    .unwrap();
    assert_eq!(receiver.packet(Arrival::Inter, sent.clone()), to("d:4"));
    // Delivered to this party, it keeps the sender's signature.
    assert_eq!(signed(&receiver, Arrival::Inter, sent.clone()), sent);
}

#[test]
fn without_a_key_nothing_is_sent() {
    let setup = Setup::new()
        .table(r#""default":{"default":[{"ip":"c","port":3}]}"#, ALLOWED)
        .signed();
    std::fs::write(
        setup.directory.path().join("auth_config.json"),
        KEYS.replace("\"party_id\":\"10000\"", "\"party_id\":\"1\""),
    )
    .unwrap();
    let outbound = changed(|header| header.dst = topic("9999", "serving"));
    assert_eq!(
        setup.packet(Arrival::Intra, outbound),
        refused(129, "add auth info error")
    );
}

#[test]
fn a_packet_without_signatures_passes_byte_for_byte() {
    let setup = Setup::new().table(SERVER, ALLOWED);
    let mut bytes = WirePacket::encoded(packet()).bytes().to_vec();
    // A field that nobody here knows.
    bytes.extend_from_slice(&[15 << 3, 1]);
    let received = WirePacket::received(bytes.clone().into()).unwrap();
    let (_, sent) = setup.build().packet(Arrival::Intra, received).unwrap();
    assert_eq!(sent.bytes(), &bytes);
}

#[test]
fn applications_reach_the_server_of_their_service_id() {
    let setup = Setup::new()
        .table(SERVER, ALLOWED)
        .registered("lr-1", "inference");
    assert_eq!(setup.inference("lr-1"), to("a:1"));
    assert_eq!(
        shown(setup.build().inference("lr-1", "batchInference")),
        to("b:2")
    );
    assert_eq!(setup.inference("lr-2"), to("b:2"));
    assert_eq!(
        Setup::new().table(SERVER, ALLOWED).inference("lr-1"),
        to("b:2")
    );
    // The proxy asks in its own role; rules for other roles say nothing about it.
    let denied = r#"{"default_allow":true,"deny":[{"from":{"coordinator":"10000","role":"proxy"},"to":{"coordinator":"10000","role":"serving"}}]}"#;
    let (code, text) = Setup::new()
        .table(SERVER, denied)
        .inference("lr-1")
        .unwrap_err();
    assert!(
        code == 128 && text.ends_with("party 10000, role proxy reach party 10000, role serving"),
        "{text}"
    );
    let role = Setup::new().table(r#""10000":{"inference":[{"ip":"b","port":2}]}"#, ALLOWED);
    assert_eq!(
        role.set("inference.service.name", "inference")
            .inference("s"),
        to("b:2")
    );
}

#[test]
fn an_unbound_service_id_is_named_with_the_code_that_java_gives() {
    let text = "service id lr-2 is not bound: no serving-server has registered it, and the route table names no usable server of party 10000";
    let default = r#""default":{"default":[{"ip":"exchange","port":8869}]}"#;
    let url = r#""10000":{"serving":[{"url":"http://b/unary"}]}"#;
    for (parties, code) in [
        (default, 105),
        (url, 105),
        (r#""10000":{}"#, 110),
        ("", 110),
    ] {
        let setup = Setup::new()
            .table(parties, ALLOWED)
            .registered("lr-1", "inference");
        assert_eq!(setup.inference("lr-2"), refused(code, text), "{parties}");
        assert_eq!(setup.inference("lr-1"), to("a:1"));
    }
    let setup = Setup::new().registered("lr-1", "inference");
    assert_eq!(setup.inference("lr-2"), refused(128, text));
    assert_eq!(setup.inference("").unwrap_err().0, 128);
    // Without a registry the default may well be this party's server.
    assert_eq!(
        Setup::new().table(default, ALLOWED).inference("lr-2"),
        to("exchange:8869")
    );
}

#[test]
fn names_of_strangers_are_shortened() {
    let setup = Setup::new().table(SERVER, "{}");
    let long = "x".repeat(100_000);
    let packet = changed(|header| header.src = topic(&long, "serving"));
    assert!(setup.packet(Arrival::Inter, packet).unwrap_err().1.len() < 400);
}

/// The addresses that are tried one after the other when none can be reached, sorted.
fn all_tried(
    first: Result<Route, Fault>,
    another: impl Fn(&[Route]) -> Option<Route>,
) -> Vec<String> {
    let mut tried = vec![first.unwrap()];
    while let Some(next) = another(&tried) {
        assert!(!tried.contains(&next) && tried.len() < 10);
        tried.push(next);
    }
    let mut shown: Vec<String> = tried.into_iter().map(|route| route.shown).collect();
    shown.sort();
    shown
}

fn all_tried_for(setup: &Setup, arrival: Arrival) -> Vec<String> {
    let forwarder = setup.build();
    let first = forwarder.packet(arrival, WirePacket::encoded(packet()));
    all_tried(first.map(|(route, _)| route), |tried| {
        forwarder.another(arrival, &packet(), tried)
    })
}

#[test]
fn what_could_not_be_reached_is_tried_elsewhere() {
    let several = r#""10000":{"serving":[{"ip":"b","port":2},{"ip":"c","port":3},{"ip":"x"},{"url":"http://d/unary"}]}"#;
    let setup = Setup::new().table(several, ALLOWED);
    assert_eq!(
        all_tried_for(&setup, Arrival::Intra),
        ["b:2", "c:3", "http://d/unary"]
    );
    let several = r#""10000":{"serving":[{"ip":"b","port":2},{"ip":"c","port":3}]}"#;
    let forwarder = Setup::new().table(several, ALLOWED).build();
    let servers = all_tried(forwarder.inference("s", "inference"), |tried| {
        forwarder.another_server("s", "inference", tried)
    });
    assert_eq!(servers, ["b:2", "c:3"]);
}

#[test]
fn the_route_table_does_not_stand_in_for_the_registry() {
    let url = |host: &str, weight: u32| {
        format!("grpc://{host}:1/serving/{MODEL_KEY}/unaryCall?version=216&weight={weight}")
    };
    let list = [url("a", 100), url("e", 50), url("drained", 0)];
    let list = list
        .into_iter()
        .map(|url| ("serving", MODEL_KEY, "unaryCall", url));
    let mut setup = Setup::new().table(SERVER, ALLOWED);
    setup.registry = Some(Registry::fixed(Snapshot::of_list(list)));
    assert_eq!(all_tried_for(&setup, Arrival::Inter), ["a:1", "e:1"]);
    assert_eq!(all_tried_for(&setup, Arrival::Intra), ["b:2"]);
}
