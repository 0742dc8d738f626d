//! Inputs to start from, made of the models of `models/`: `tests/fuzz` writes them into the corpus.

use bytes::Bytes;
use fate_domain::party::Role;
use fate_inference::{Buffers, PIPELINE_KEY, Semantics};
use fate_proto::buffer::{
    ColumnExpandMeta, ColumnExpandParam, FeatureBinningParam, LabelTransformMeta,
    LabelTransformParam, Pipeline,
};
use fate_proto::proxy::Packet;
use prost::Message as _;
use serde_json::Value;

use super::exchange::Exchange;
use super::models::{Set, sets};
use super::request::{MODES, Mode};
use super::{TARGETS, archive, buffers, dsl, java, made, packet, reply, request, tag};

/// The shipped table, and what Gson takes besides.
const ROUTE_TABLES: [&str; 3] = [
    include_str!("../../../conf/route_table.json"),
    r#"{route_table: {default: {default: [{ip = '127.0.0.1', port: 8869}; {ip: localhost, port: 0x1}]}, // a comment
        "10000": {serving: [{url: "http://192.0.2.7:80/unary"}, {hostname: h, ip: "::1", port: "8869"},], createTime: 1}},
       permission: {default_allow: TRUE, allow: [{from: {coordinator: 9999, role: '*'}, to: {coordinator: "*", role: "*"}}]}} rest"#,
    r#"{"route_table":{},"permission":{"default_allow":false,"deny":[],"allow":null}}"#,
];

/// An input for a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seed {
    pub target: &'static str,
    pub bytes: Vec<u8>,
}

/// Seeds for all targets, none longer than its target takes. The stores of a Java node are not made here: a seed is made
/// of them by [`java_stores`].
pub fn all() -> Vec<Seed> {
    let sets = sets();
    let mut seeds = Vec::new();
    for set in &sets {
        component_buffers(set, &mut seeds);
        archives(set, &mut seeds);
        requests(set, &mut seeds);
    }
    replies(&sets, &mut seeds);
    pipelines(&mut seeds);
    made_components(&mut seeds);
    for set in &sets {
        packets(set, &mut seeds);
    }
    seeds.extend(ROUTE_TABLES.map(|text| Seed {
        target: "routes",
        bytes: text.as_bytes().to_vec(),
    }));
    seeds.retain(|seed| {
        let target = TARGETS.iter().find(|target| target.name == seed.target);
        target.is_some_and(|target| seed.bytes.len() <= target.max_len)
    });
    seeds
}

/// A seed of the stores of models and of bindings of a Java node.
pub fn java_stores(load_store: &[u8], bind_store: &[u8]) -> Seed {
    let mut bytes = vec![java::STORES];
    put_part(load_store, &mut bytes);
    bytes.extend_from_slice(bind_store);
    Seed {
        target: "java",
        bytes,
    }
}

fn put_part(part: &[u8], out: &mut Vec<u8>) {
    let length = u16::try_from(part.len()).unwrap_or(u16::MAX);
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&part[..usize::from(length)]);
}

fn component_buffers(set: &Set, seeds: &mut Vec<Seed>) {
    for party in &set.parties {
        let hosts = set.parties.len() - 1;
        for (component, class) in classes(&party.buffers) {
            let of = |suffix: &str| {
                let mut own = party.buffers.iter().filter(|(key, _)| {
                    key.strip_prefix(&component)
                        .is_some_and(|rest| rest.starts_with('.') && rest.ends_with(suffix))
                });
                own.next().map(|(_, bytes)| bytes.clone())
            };
            let (Some(meta), Some(param)) = (of("Meta"), of("Param")) else {
                continue;
            };
            let param = if class.starts_with("HeteroFeatureBinning") {
                narrow_binning(param)
            } else {
                param
            };
            for class in names(&class) {
                for semantics in [Semantics::Fate, Semantics::Java] {
                    let flags = buffers::flags(party.role, semantics, hosts);
                    seeds.push(buffer_seed(class, flags, &meta, &param));
                }
            }
        }
    }
}

/// With three columns, which say as much as twenty.
fn narrow_binning(param: Bytes) -> Bytes {
    let mut param = FeatureBinningParam::decode(param).unwrap();
    let own = param.binning_result.iter_mut();
    let by_class = param.multi_class_result.iter_mut();
    for result in own.chain(by_class.flat_map(|classes| &mut classes.results)) {
        while result.binning_result.len() > 3 {
            result.binning_result.pop_last();
        }
    }
    param.host_results.clear();
    param.header_anonymous.clear();
    param.transform_binning_result = None;
    param.transform_host_results.clear();
    param.transform_multi_class_result = None;
    param.encode_to_vec().into()
}

fn buffer_seed(class: &str, flags: u16, meta: &[u8], param: &[u8]) -> Seed {
    let mut bytes = tag(class).to_le_bytes().to_vec();
    bytes.extend_from_slice(&flags.to_le_bytes());
    put_part(meta, &mut bytes);
    bytes.extend_from_slice(param);
    Seed {
        target: "buffers",
        bytes,
    }
}

/// The class, and others that have the same messages.
fn names(class: &str) -> Vec<&str> {
    let others: &[&str] = match class {
        "HeteroLRGuest" => &["HomoLRGuest", "HomoLRClient", "LocalBaseline"],
        "HeteroFMGuest" => &["HomoFMGuest"],
        "HeteroSecureBoostingTreeGuest" => &[
            "HomoSecureBoostingTreeClient",
            "HeteroFastSecureBoostingTreeGuest",
        ],
        "HeteroFeatureBinningGuest" => &["HomoBinningClient"],
        "OneHotEncoder" => &["HomoOneHotBase"],
        _ => &[],
    };
    [&[class], others].concat()
}

/// What no model here has: a scorecard, whose Param is the runtime conf, and columns that are appended.
fn made_components(seeds: &mut Vec<Seed>) {
    let flags = buffers::flags(Role::Guest, Semantics::Fate, 1) | buffers::BINARY;
    let conf = made::SCORECARD_CONF.as_bytes();
    seeds.push(buffer_seed("Scorecard", flags, b"", conf));
    let expand = ColumnExpandMeta {
        append_header: vec!["age".to_owned(), "sex".to_owned()],
        method: "manual".to_owned(),
        fill_value: vec!["1".to_owned(), "0.5".to_owned()],
        need_run: true,
    };
    let param = ColumnExpandParam {
        header: expand.append_header.clone(),
    };
    let (meta, param) = (expand.encode_to_vec(), param.encode_to_vec());
    seeds.push(buffer_seed("ColumnExpand", flags, &meta, &param));
    let encoder = LabelTransformParam {
        label_encoder: [("0", "a"), ("1", "b"), ("2", "c")]
            .map(|(from, to)| (from.to_owned(), to.to_owned()))
            .into(),
        ..LabelTransformParam::default()
    };
    let meta = LabelTransformMeta { need_run: true };
    let (meta, param) = (meta.encode_to_vec(), encoder.encode_to_vec());
    seeds.push(buffer_seed("LabelTransformer", 0, &meta, &param));
}

/// Component and class of every step of a pipeline.
fn classes(buffers: &Buffers) -> Vec<(String, String)> {
    let pipeline = Pipeline::decode(buffers[PIPELINE_KEY].clone()).unwrap();
    let dsl: Value = serde_json::from_slice(&pipeline.inference_dsl).unwrap();
    let components = dsl["components"].as_object().unwrap();
    let class = |body: &Value| {
        let path = body["CodePath"].as_str().unwrap_or_default();
        path.rsplit('/').next().unwrap_or(path).to_owned()
    };
    components
        .iter()
        .map(|(name, body)| (name.clone(), class(body)))
        .collect()
}

fn pipelines(seeds: &mut Vec<Seed>) {
    for (role, message) in dsl::real_pipelines() {
        let pipeline = Pipeline::decode(message.clone()).unwrap();
        let text: Value = serde_json::from_slice(&pipeline.inference_dsl).unwrap();
        for semantics in [Semantics::Fate, Semantics::Java] {
            let flags = dsl::flags(role, semantics);
            let slim = Pipeline {
                inference_dsl: pipeline.inference_dsl.clone(),
                fate_version: pipeline.fate_version.clone(),
                ..Pipeline::default()
            };
            let whole = slim.encode_to_vec();
            let text = text.to_string().into_bytes();
            for (flags, rest) in [(flags, text), (flags | dsl::WHOLE_MESSAGE, whole)] {
                seeds.push(Seed {
                    target: "dsl",
                    bytes: [&[flags], &rest[..]].concat(),
                });
            }
        }
    }
}

/// What a guest sends to a host, as a text and as a message.
fn packets(set: &Set, seeds: &mut Vec<Seed>) {
    let Some(host) = set.host() else {
        return;
    };
    let packet = request::packet_for(set, host, Mode::Host, &set.rows[1]);
    let text = fate_proxy::packet_json::write_packet(&packet).into_bytes();
    for (mode, rest) in [
        (packet::TEXT, text),
        (packet::MESSAGE, packet.encode_to_vec()),
    ] {
        seeds.push(Seed {
            target: "packet",
            bytes: [&[mode], &rest[..]].concat(),
        });
    }
}

/// The smaller buffers of a party as an archive, as its entries, and as a cache file.
fn archives(set: &Set, seeds: &mut Vec<Seed>) {
    const MOST: usize = 700;
    for party in &set.parties {
        let mut listing = String::from("component_define: {}\nmodel_proto:\n");
        let mut rest = Vec::new();
        let mut small = Buffers::new();
        for (key, bytes) in party.buffers.iter().filter(|(_, bytes)| bytes.len() < MOST) {
            let (component, name) = key.split_once('.').unwrap();
            let (alias, name) = name.split_once(':').unwrap();
            listing.push_str(&format!(
                "  {component}:\n    {alias}:\n      {name}: {name}\n"
            ));
            put_part(
                format!("variables/data/{component}/{alias}/{name}").as_bytes(),
                &mut rest,
            );
            put_part(bytes, &mut rest);
            small.insert(key.clone(), bytes.clone());
        }
        let mut entries = Vec::new();
        put_part(listing.as_bytes(), &mut entries);
        entries.extend_from_slice(&rest);
        for deflated in [true, false] {
            let zip = archive::zip(&entries, deflated).unwrap();
            seeds.push(Seed {
                target: "archive",
                bytes: [&[archive::ZIPPED], &zip[..]].concat(),
            });
            let mode = archive::ENTRIES + u8::from(!deflated);
            seeds.push(Seed {
                target: "archive",
                bytes: [&[mode], &entries[..]].concat(),
            });
        }
        let file = fate_model::foreign::write_cache_file(&small);
        seeds.push(Seed {
            target: "java",
            bytes: [&[java::CACHE_FILE], &file[..]].concat(),
        });
    }
}

fn requests(set: &Set, seeds: &mut Vec<Seed>) {
    let name = &set.name;
    let guest = &set.rows[0];
    let host = set.rows.get(1).map_or("{}", String::as_str);
    let row = |index: i32| {
        format!(r#"{{"index":{index},"featureData":{guest},"sendToRemoteFeatureData":{host}}}"#)
    };
    for (mode, number) in MODES.into_iter().zip(0_u8..) {
        let body = match mode {
            Mode::Guest => format!(
                r#"{{"serviceId":"{name}","caseId":"c","applyId":null,"explain":true,"featureData":{guest},"sendToRemoteFeatureData":{host}}}"#
            ),
            Mode::GuestBatch => {
                format!(
                    r#"{{"serviceId":"{name}","batchDataList":[{},{}]}}"#,
                    row(7),
                    row(-1)
                )
            }
            Mode::Host | Mode::HostPacket => {
                format!(
                    r#"{{"seqno":"s","caseId":"c","featureData":{{}},"sendToRemoteFeatureData":{host}}}"#
                )
            }
            Mode::HostBatch => format!(r#"{{"batchDataList":[{},{}]}}"#, row(0), row(1)),
            Mode::HostLegacy => format!(
                r#"{{"partnerModelInfo":{{"name":"{name}","namespace":{}}},"featureIdMap":{host}}}"#,
                Value::from(set.guest().key.namespace.as_str())
            ),
        };
        let mut bytes = vec![number];
        match mode {
            Mode::Guest | Mode::GuestBatch => bytes.extend_from_slice(body.as_bytes()),
            // Those of the replies.
            Mode::HostPacket => continue,
            _ => {
                bytes.extend_from_slice(&tag(name).to_le_bytes());
                bytes.extend_from_slice(body.as_bytes());
            }
        }
        seeds.push(Seed {
            target: "request",
            bytes,
        });
    }
}

/// What the hosts of a set really reply: single and batch, with and without an explanation and the compact form.
fn replies(sets: &[Set], seeds: &mut Vec<Seed>) {
    let exchange = Exchange::new();
    for set in sets {
        let requests = reply::requests(set, &ids(set));
        for ((flags, request), compact) in (0_u8..)
            .zip(requests)
            .flat_map(|request| [(request.clone(), false), (request, true)])
        {
            let is_batch = flags & reply::BATCH != 0;
            let heard = exchange.overheard(&request, is_batch, compact);
            let mut replies = heard.iter().map(|(_, reply)| &reply[..]);
            let mut bytes = tag(&set.name).to_le_bytes().to_vec();
            bytes.push(flags);
            put_part(replies.next().unwrap_or_default(), &mut bytes);
            bytes.extend_from_slice(replies.next().unwrap_or_default());
            seeds.push(Seed {
                target: "reply",
                bytes,
            });
            for (packet, _) in heard.iter().take(1) {
                seeds.push(host_request(packet));
            }
        }
    }
}

/// The packet of a guest as a request to its host.
fn host_request(packet: &Packet) -> Seed {
    let mode = MODES.iter().position(|mode| *mode == Mode::HostPacket);
    let mut bytes = vec![mode.unwrap() as u8];
    bytes.extend(packet.encode_to_vec());
    Seed {
        target: "request",
        bytes,
    }
}

/// The features of all hosts in one object: here they are looked up by themselves.
fn ids(set: &Set) -> String {
    let mut ids = serde_json::Map::new();
    for row in &set.rows[1..] {
        let row: Value = serde_json::from_str(row).unwrap();
        ids.extend(row.as_object().unwrap().clone());
    }
    Value::from(ids).to_string()
}
