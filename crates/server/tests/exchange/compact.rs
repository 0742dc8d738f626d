//! Tree models between servers of this kind: the hosts' parts in bits, and Java's form whenever anything is in doubt.

use std::fmt::Write as _;
use std::path::Path;

use base64::Engine as _;
use fate_domain::party::Role;
use fate_golden::{Party, Set};
use fate_proto::model::{LocalInfo, ModelInfo, Party as Parties, PublishRequest, RoleModelInfo};
use fate_proto::proxy::Packet;
use fate_proto::proxy::data_transfer_service_client::DataTransferServiceClient;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::cluster::{Node, channel, models};
use crate::false_host::{FalseHost, Manner};

const OFF: (&str, &str) = ("federation.compact", "false");

pub(crate) fn set(name: &str) -> Set {
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models");
    Set::open(models.join(name)).unwrap()
}

fn publish_request(set: &Set, party: &Party, path: &Path) -> PublishRequest {
    let mut request = PublishRequest {
        local: Some(LocalInfo {
            role: party.role.to_string(),
            party_id: party.party_id.clone(),
        }),
        load_type: "CACHE".to_owned(),
        file_path: path.to_str().unwrap().to_owned(),
        service_id: "forest".to_owned(),
        ..PublishRequest::default()
    };
    for party in &set.parties {
        let role = party.role.to_string();
        let ids = request.role.entry(role.clone()).or_insert(Parties {
            party_id: Vec::new(),
        });
        ids.party_id.push(party.party_id.clone());
        let model = ModelInfo {
            table_name: party.key.table_name.clone(),
            namespace: party.key.namespace.clone(),
        };
        let models = request.model.entry(role).or_insert(RoleModelInfo {
            role_model_info: [].into(),
        });
        models.role_model_info.insert(party.party_id.clone(), model);
    }
    request
}

async fn load(node: &Node, set: &Set, party: &Party) {
    let path = node.folder.path().join("party.cache");
    let texts: serde_json::Map<String, Value> = party
        .buffers
        .iter()
        .map(|(key, bytes)| {
            let text = base64::engine::general_purpose::STANDARD.encode(bytes);
            (key.clone(), text.into())
        })
        .collect();
    std::fs::write(&path, Value::Object(texts).to_string()).unwrap();
    let request = publish_request(set, party, &path);
    let mut models = models(node.grpc()).await;
    let loaded = models
        .publish_load(request.clone())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(loaded.status_code, 0, "{}", loaded.message);
    if party.role == Role::Guest {
        let bound = models.publish_bind(request).await.unwrap().into_inner();
        assert_eq!(bound.status_code, 0, "{}", bound.message);
    }
}

/// A host of the set that picks the set's rows.
pub(crate) async fn host(set: &Set, party: &Party, more: &[(&str, &str)]) -> (Node, TempDir) {
    let columns = &party.table.columns;
    let mut lines = String::new();
    for row in &party.table.rows {
        let cells = row.cells.iter().filter(|(_, cell)| !cell.is_empty());
        let cells: Vec<String> = cells
            .map(|(column, cell)| format!("{}:{cell}", columns[*column]))
            .collect();
        writeln!(lines, "{},{}", row.id, cells.join(";")).unwrap();
    }
    let data = tempfile::tempdir().unwrap();
    let path = data.path().join("rows.csv");
    std::fs::write(&path, lines).unwrap();
    let mut pairs = vec![
        ("feature.single.adaptor", "file-pick"),
        ("feature.batch.adaptor", "file-pick"),
        ("host.data.file", path.to_str().unwrap()),
    ];
    pairs.extend_from_slice(more);
    let node = Node::start(&pairs).await;
    load(&node, set, party).await;
    (node, data)
}

pub(crate) async fn guest(set: &Set, routes: &str, more: &[(&str, &str)]) -> Node {
    let mut pairs = vec![("federation.hosts", routes)];
    pairs.extend_from_slice(more);
    let node = Node::start(&pairs).await;
    load(&node, set, set.guest()).await;
    node
}

const ROWS: usize = 12;

pub(crate) fn singles(set: &Set) -> Vec<Value> {
    let table = &set.guest().table;
    let rows = table.rows.iter().take(ROWS);
    rows.map(|row| {
        let features: Value = serde_json::from_str(&row.json(&table.columns, true)).unwrap();
        json!({"serviceId": "forest", "featureData": features, "sendToRemoteFeatureData": {"id": row.id}})
    })
    .collect()
}

/// The same rows, and one that no host knows.
fn batch(set: &Set) -> Value {
    let rows: Vec<Value> = singles(set)
        .into_iter()
        .zip(0..)
        .map(|(mut row, index)| {
            row["index"] = json!(index * 3);
            row
        })
        .chain([json!({"index": 1, "sendToRemoteFeatureData": {"id": "nobody"}})])
        .collect();
    json!({"serviceId": "forest", "caseId": "c1", "batchDataList": rows})
}

/// Everything that the answers say, but for the time of loading.
async fn answers(guest: &Node, set: &Set) -> Vec<Value> {
    let mut answers = Vec::new();
    for question in singles(set) {
        answers.push(guest.infer(&question.to_string()).await);
    }
    answers.push(guest.infer_batch(&batch(set).to_string()).await);
    for answer in &mut answers {
        assert_eq!(answer["retcode"], 0, "{answer}");
        answer["data"].as_object_mut().unwrap().remove("timestamp");
    }
    answers[..ROWS]
        .iter()
        .for_each(|answer| assert!(!answer["data"]["score"].is_null(), "{answer}"));
    answers
}

#[tokio::test]
async fn the_form_changes_nothing_in_an_answer() {
    for name in [
        "sbt_binary_missing",
        "sbt_multiclass",
        "sbt_mix",
        "sbt_two_hosts",
    ] {
        let set = set(name);
        let mut expected: Option<Vec<Value>> = None;
        for (at_host, at_guest) in [(&[][..], &[][..]), (&[OFF], &[]), (&[], &[OFF])] {
            let (mut nodes, mut routes) = (Vec::new(), Vec::new());
            for party in set.hosts() {
                let (node, data) = host(&set, party, at_host).await;
                routes.push(format!("{}={}", party.party_id, node.grpc()));
                nodes.push((node, data));
            }
            let guest = guest(&set, &routes.join(","), at_guest).await;
            let answers = answers(&guest, &set).await;
            let codes = answers[ROWS]["batchDataList"].as_array().unwrap().iter();
            let codes: Vec<_> = codes.map(|row| row["retcode"].as_i64().unwrap()).collect();
            assert_eq!(codes[..3], [0, 2113, 0], "{name}");
            assert_eq!(codes.iter().sum::<i64>(), 2113, "{name}");
            match &expected {
                Some(expected) => assert_eq!(&answers, expected, "{name}"),
                None => expected = Some(answers),
            }
        }
    }
}

pub(crate) fn body(packet: &Packet) -> Value {
    serde_json::from_slice(&packet.body.as_ref().unwrap().value).unwrap()
}

/// The packets of a guest for its first single and its batch.
async fn packets(set: &Set, more: &[(&str, &str)]) -> Vec<Packet> {
    let host = FalseHost::start(Manner::Says("{}".to_owned())).await;
    let guest = guest(set, &format!("10000={}", host.address), more).await;
    guest.infer(&singles(set)[0].to_string()).await;
    guest.infer_batch(&batch(set).to_string()).await;
    host.asked.lock().clone()
}

async fn ask(host: &Node, packet: &Packet) -> Value {
    let mut client = DataTransferServiceClient::new(channel(host.grpc()).await);
    body(
        &client
            .unary_call(packet.clone())
            .await
            .unwrap()
            .into_inner(),
    )
}

fn with_offer(packet: &Packet, offer: Value) -> Packet {
    let mut members = body(packet);
    members["compact"] = offer;
    let mut packet = packet.clone();
    packet.body.as_mut().unwrap().value = members.to_string().into();
    packet
}

#[tokio::test]
async fn a_host_uses_the_form_only_when_it_counts_alike() {
    for name in ["sbt_binary", "sbt_mix"] {
        let set = set(name);
        let asked = packets(&set, &[]).await;
        let digest = body(&asked[0])["compact"].clone();
        assert_eq!(digest.as_str().unwrap().len(), 16);
        assert_eq!(body(&asked[1])["compact"], digest);

        let (node, _data) = host(&set, &set.hosts()[0], &[]).await;
        let single = ask(&node, &asked[0]).await;
        assert_eq!(single["data"], json!({"retcode": 0}));
        assert_eq!(single["compact"]["digest"], digest);
        let many = ask(&node, &asked[1]).await;
        assert_eq!(many["compact"]["rows"].as_array().unwrap().len(), ROWS);
        // Only the row that failed is listed.
        assert_eq!(many["batchDataList"].as_array().unwrap().len(), 1);
        assert_eq!(many["batchDataList"][0]["retcode"], 113);

        let java = [
            ask(&node, &with_offer(&asked[0], Value::Null)).await,
            ask(&node, &with_offer(&asked[1], Value::Null)).await,
        ];
        assert!(
            java[0]["data"].as_object().unwrap().len() == 2,
            "{}",
            java[0]
        );
        assert_eq!(java[1]["batchDataList"].as_array().unwrap().len(), ROWS + 1);
        for offer in [
            json!("0123456789abcdef"),
            json!(7),
            json!({"digest": digest}),
        ] {
            for (packet, java) in asked.iter().zip(&java) {
                assert_eq!(ask(&node, &with_offer(packet, offer.clone())).await, *java);
            }
        }
        let (off, _data) = host(&set, &set.hosts()[0], &[OFF]).await;
        for (packet, java) in asked.iter().zip(&java) {
            assert_eq!(ask(&off, packet).await, *java);
        }
        let mut old = asked[0].clone();
        old.header.as_mut().unwrap().operator = "199".to_owned();
        assert!(ask(&node, &old).await.get("compact").is_none());

        // A cache holds Java's form, which other nodes share.
        for plain in [OFF, ("remoteModelInferenceResultCacheSwitch", "true")] {
            let asked = packets(&set, &[plain]).await;
            let mut offers = asked.iter().map(|packet| body(packet)["compact"].clone());
            assert!(offers.all(|offer| offer.is_null()), "{plain:?}");
        }
    }
}

#[tokio::test]
async fn hosts_that_do_not_know_the_form_are_understood() {
    let set = set("sbt_binary");
    let asked = packets(&set, &[OFF]).await;
    let (node, _data) = host(&set, &set.hosts()[0], &[]).await;
    for (packet, is_batch) in asked.iter().zip([false, true]) {
        let says = Manner::Says(ask(&node, packet).await.to_string());
        let old = FalseHost::start(says).await;
        let guest = guest(&set, &format!("10000={}", old.address), &[]).await;
        let answer = match is_batch {
            false => guest.infer(&singles(&set)[0].to_string()).await,
            true => guest.infer_batch(&batch(&set).to_string()).await,
        };
        assert_eq!(answer["retcode"], 0, "{answer}");
        let score = match is_batch {
            false => &answer["data"]["score"],
            true => &answer["batchDataList"][0]["data"]["score"],
        };
        let id = &set.guest().table.rows[0].id;
        let expected = set.predictions[id.as_str()].score.unwrap();
        assert!(
            (score.as_f64().unwrap() - expected).abs() < 1e-12,
            "{answer}"
        );
    }
}

#[tokio::test]
async fn what_a_host_says_in_the_form_is_judged() {
    let set = set("sbt_binary");
    let asked = packets(&set, &[]).await;
    let (node, _data) = host(&set, &set.hosts()[0], &[]).await;
    let (single, many) = (ask(&node, &asked[0]).await, ask(&node, &asked[1]).await);
    let bits = many["compact"]["bits"].as_str().unwrap().to_owned();
    let listed = |index: i64, more: &str| -> Value {
        serde_json::from_str(&format!(r#"[{{"index":{index}{more}}}]"#)).unwrap()
    };
    for (member, value, code) in [
        ("/compact/digest", json!("0123456789abcdef"), 108),
        ("/compact/bits", json!("AAAA"), 108),
        ("/compact/bits", json!(""), 108),
        ("/compact/bits", json!("*"), 108),
        ("/compact/bits", json!("/".repeat(bits.len())), 108),
        ("/compact/bits", json!(7), 108),
        ("/compact/bits", json!("A".repeat(1 << 20)), 108),
        ("/compact", json!({}), 108),
        ("/compact", json!(7), 108),
        ("/compact/rows", json!(vec![0; ROWS]), 108),
        ("/compact/rows", json!([0, "x"]), 108),
        ("/compact/rows", json!(vec![0; 100_000]), 108),
        // A part of a row in both forms, and a failure beside a part.
        ("/batchDataList", listed(0, r#","data":{}"#), 105),
        ("/batchDataList", listed(0, r#","retcode":113"#), 105),
        ("/batchDataList", listed(0, ""), 0),
    ] {
        let is_of_batch = member.starts_with("/batch") || member.ends_with("rows");
        for (reply, is_batch) in [(&single, false), (&many, true)] {
            if is_of_batch && !is_batch {
                continue;
            }
            let mut reply = reply.clone();
            reply
                .as_object_mut()
                .unwrap()
                .remove("singleInferenceResultMap");
            *reply.pointer_mut(member).unwrap() = value.clone();
            let host = FalseHost::start(Manner::Says(reply.to_string())).await;
            let guest = guest(&set, &format!("10000={}", host.address), &[]).await;
            let (code_of, answer) = match is_batch {
                false => ("/retcode", guest.infer(&singles(&set)[0].to_string()).await),
                true => {
                    let answer = guest.infer_batch(&batch(&set).to_string()).await;
                    match answer["retcode"] == 0 {
                        true => ("/batchDataList/0/retcode", answer),
                        false => ("/retcode", answer),
                    }
                }
            };
            let shown = value.to_string();
            let shown = &shown[..shown.len().min(60)];
            assert_eq!(
                answer.pointer(code_of).unwrap(),
                code,
                "{member} {shown}: {answer}"
            );
        }
    }
}
