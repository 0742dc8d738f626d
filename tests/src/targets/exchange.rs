//! Guests and hosts in one process without a network: every set of `models/`, loaded and bound under its name.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fate_domain::fault::Fault;
use fate_domain::model_key::ModelKey;
use fate_domain::return_code::ReturnCode;
use fate_features::{BatchRows, BoxFuture, FeatureRow, FeatureSource};
use fate_federation::{
    Admission, Answer, CallError, Gatherings, Guest, GuestSettings, Host, HostSettings,
    HostTransport,
};
use fate_golden::PartyModel;
use fate_model::{Models, Settings, foreign};
use fate_proto::model::{LocalInfo, ModelInfo, Party, PublishRequest, RoleModelInfo};
use fate_proto::proxy::{Data, Packet};
use parking_lot::Mutex;
use serde_json::Value;
use tokio::runtime::Runtime;
use tokio::time::Instant;

use super::models::{Set, sets};

/// Rows of a batch: few, so that a small input reaches the limit.
const BATCH_MAX: usize = 16;

/// A party of each kind, and the clock they live by.
#[derive(Debug)]
pub(super) struct Exchange {
    runtime: Runtime,
    /// Their names are also table names and service ids.
    pub(super) sets: Vec<Set>,
    /// Asks `host`.
    guest: Guest,
    /// Gets `replies`, whatever it asks.
    answered: Guest,
    replies: Arc<Mutex<Vec<Bytes>>>,
    host: Host,
}

impl Exchange {
    pub(super) fn new() -> Exchange {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        let sets = sets();
        let models = runtime.block_on(load(&sets));
        let admission: Arc<dyn Admission> = Arc::new(Everybody);
        let source: Arc<dyn FeatureSource> = Arc::new(Echo);
        let host = Host {
            models: models.clone(),
            single: Some(Arc::clone(&source)),
            batch: Some(source),
            admission: Arc::clone(&admission),
            settings: HostSettings {
                batch_max: BATCH_MAX,
                compact: true,
                details: true,
                min_hit_rate: None,
                model_calls: None,
            },
        };
        let replies = Arc::default();
        let guest = |transport: Arc<dyn HostTransport>| Guest {
            models: models.clone(),
            transport,
            admission: Arc::clone(&admission),
            results: None,
            gatherings: Gatherings::default(),
            settings: GuestSettings {
                single_timeout: Duration::from_secs(3),
                batch_timeout: Duration::from_secs(3),
                batch_max: BATCH_MAX,
                message_max: 32 << 20,
                service_role_name: "serving".to_owned(),
                compact: true,
                details: false,
                min_hit_rate: None,
                model_calls: None,
                coalescing: None,
            },
        };
        Exchange {
            guest: guest(Arc::new(ToHost(host.clone()))),
            answered: guest(Arc::new(Replies(Arc::clone(&replies)))),
            sets,
            runtime,
            replies,
            host,
        }
    }

    pub(super) fn infer(&self, body: &[u8]) -> Answer {
        let body = Bytes::copy_from_slice(body);
        self.runtime.block_on(self.guest.infer(body))
    }

    pub(super) fn infer_batch(&self, body: &[u8]) -> Answer {
        let body = Bytes::copy_from_slice(body);
        self.runtime.block_on(self.guest.infer_batch(body))
    }

    /// The guest's answer when its hosts, by party id, reply so.
    pub(super) fn infer_answered(&self, body: &str, is_batch: bool, replies: [&[u8]; 2]) -> Answer {
        *self.replies.lock() = replies.map(Bytes::copy_from_slice).to_vec();
        let body = Bytes::copy_from_slice(body.as_bytes());
        if is_batch {
            self.runtime.block_on(self.answered.infer_batch(body))
        } else {
            self.runtime.block_on(self.answered.infer(body))
        }
    }

    /// What passes between a guest and its hosts, in the order of the packets; with or without the compact form.
    pub(super) fn overheard(
        &self,
        body: &str,
        is_batch: bool,
        compact: bool,
    ) -> Vec<(Packet, Bytes)> {
        let heard = Arc::default();
        let mut guest = self.guest.clone();
        guest.settings.compact = compact;
        guest.transport = Arc::new(Overheard {
            host: self.host.clone(),
            heard: Arc::clone(&heard),
        });
        let body = Bytes::copy_from_slice(body.as_bytes());
        let answer = if is_batch {
            self.runtime.block_on(guest.infer_batch(body))
        } else {
            self.runtime.block_on(guest.infer(body))
        };
        assert!(answer.record.return_code.is_success(), "{answer:?}");
        std::mem::take(&mut *heard.lock())
    }

    /// The body of the host's reply, and the code that it counts.
    pub(super) fn unary_call(&self, packet: Packet) -> (Bytes, ReturnCode) {
        let (reply, record) = self.runtime.block_on(self.host.unary_call(packet));
        (reply.body.unwrap().value, record.return_code)
    }
}

/// Loads every party of every set into one node, under the set's name.
async fn load(sets: &[Set]) -> Models {
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings {
        import_path: vec![folder.path().to_owned()],
        home: folder.path().to_owned(),
        ..Settings::new(folder.path())
    };
    let (models, _) = Models::open(settings).await.unwrap();
    for set in sets {
        for party in &set.parties {
            let file = folder.path().join("buffers");
            std::fs::write(&file, foreign::write_cache_file(&party.buffers)).unwrap();
            let request = load_request(set, party, &file);
            models.load(&request).await.unwrap();
        }
        let request = PublishRequest {
            service_id: set.name.clone(),
            ..load_request(set, &set.parties[0], Path::new(""))
        };
        models.bind(&request).await.unwrap();
    }
    models
}

fn load_request(set: &Set, own: &PartyModel, file: &Path) -> PublishRequest {
    let mut role: BTreeMap<String, Party> = BTreeMap::new();
    let mut model: BTreeMap<String, RoleModelInfo> = BTreeMap::new();
    for party in &set.parties {
        let name = party.role.to_string();
        let info = ModelInfo {
            table_name: set.name.clone(),
            namespace: party.key.namespace.clone(),
        };
        let parties = role.entry(name.clone()).or_default();
        parties.party_id.push(party.party_id.clone());
        let models = model.entry(name).or_default();
        models.role_model_info.insert(party.party_id.clone(), info);
    }
    PublishRequest {
        local: Some(LocalInfo {
            role: own.role.to_string(),
            party_id: own.party_id.clone(),
        }),
        role,
        model,
        load_type: "CACHE".to_owned(),
        file_path: file.to_string_lossy().into_owned(),
        ..PublishRequest::default()
    }
}

/// The key under which a party of a set is loaded.
pub(super) fn key_of(set: &str, party: &PartyModel) -> ModelKey {
    ModelKey::new(set, &party.key.namespace)
}

/// Lets everybody in.
#[derive(Debug)]
struct Everybody;

impl Admission for Everybody {
    fn pass(&self, _resource: &str, _times: u32) -> bool {
        true
    }
}

/// What is looked up is what is found: a request's ids reach the host's plan as its features.
#[derive(Debug)]
struct Echo;

impl FeatureSource for Echo {
    fn name(&self) -> &str {
        "echo"
    }

    fn fetch<'a>(&'a self, ids: &'a str) -> BoxFuture<'a, Result<FeatureRow, Fault>> {
        Box::pin(async move { Ok(FeatureRow::Json(ids.to_owned())) })
    }

    fn fetch_batch<'a>(&'a self, ids: &'a [&'a str]) -> BoxFuture<'a, BatchRows> {
        let rows = ids
            .iter()
            .map(|ids| Ok(FeatureRow::Json((*ids).to_owned())));
        let rows = Ok(rows.collect());
        Box::pin(async move { rows })
    }
}

type Call<'a> = futures::future::BoxFuture<'a, Result<Packet, CallError>>;

#[derive(Debug)]
struct ToHost(Host);

impl HostTransport for ToHost {
    fn address(&self, _party_id: &str) -> Option<String> {
        None
    }

    fn call<'a>(&'a self, _party_id: &'a str, packet: Packet, _deadline: Instant) -> Call<'a> {
        Box::pin(async move { Ok(self.0.unary_call(packet).await.0) })
    }
}

/// Asks the host and writes down what was said.
#[derive(Debug)]
struct Overheard {
    host: Host,
    heard: Arc<Mutex<Vec<(Packet, Bytes)>>>,
}

impl HostTransport for Overheard {
    fn address(&self, _party_id: &str) -> Option<String> {
        None
    }

    fn call<'a>(&'a self, _party_id: &'a str, packet: Packet, _deadline: Instant) -> Call<'a> {
        Box::pin(async move {
            let reply = self.host.unary_call(packet.clone()).await.0;
            let body = reply.body.clone().unwrap_or_default().value;
            self.heard.lock().push((packet, body));
            Ok(reply)
        })
    }
}

/// The first reply is that of party 10000, the second that of any other.
#[derive(Debug)]
struct Replies(Arc<Mutex<Vec<Bytes>>>);

impl HostTransport for Replies {
    fn address(&self, _party_id: &str) -> Option<String> {
        None
    }

    fn call<'a>(&'a self, party_id: &'a str, _packet: Packet, _deadline: Instant) -> Call<'a> {
        let value = self.0.lock()[usize::from(party_id != "10000")].clone();
        let body = Some(Data {
            key: String::new(),
            value,
        });
        Box::pin(async move {
            Ok(Packet {
                body,
                ..Packet::default()
            })
        })
    }
}

/// The members that every answer has, with the code that was counted.
pub(super) fn check_envelope(body: &[u8], code: ReturnCode) -> Value {
    let answer: Value = serde_json::from_slice(body).unwrap();
    assert_eq!(answer["retcode"], code.0, "{answer}");
    assert!(answer["retmsg"].is_string(), "{answer}");
    assert!(answer["data"].is_object(), "{answer}");
    answer
}

/// A single answer of a guest: a success has a score.
pub(super) fn check_single(answer: &Answer) {
    let record = &answer.record;
    let body = check_envelope(&answer.body, record.return_code);
    if record.return_code.is_success() {
        check_score(&body["data"]);
    }
    assert!(body.get("batchDataList").is_none());
}

/// A batch answer: every row that succeeded has a score, and the counted failures are those of the rows.
pub(super) fn check_batch(answer: &Answer) {
    let record = &answer.record;
    let body = check_envelope(&answer.body, record.return_code);
    let rows = body["batchDataList"].as_array().unwrap();
    let by_index = body["singleInferenceResultMap"].as_object().unwrap();
    assert_eq!(rows.len(), by_index.len(), "{body}");
    let mut failed = 0;
    for row in rows {
        assert_eq!(by_index.get(&row["index"].to_string()), Some(row), "{body}");
        if row["retcode"] == 0 {
            check_score(&row["data"]);
        } else {
            failed += 1;
        }
    }
    if record.return_code.is_success() {
        assert_eq!(rows.len(), record.rows as usize, "{body}");
        assert_eq!(failed, record.failed_rows, "{body}");
    } else {
        assert!(rows.is_empty(), "{body}");
    }
}

/// One finite number or several.
fn check_score(data: &Value) {
    let is_number = |score: &Value| score.as_f64().is_some_and(f64::is_finite);
    let is_score = match &data["score"] {
        Value::Array(scores) => !scores.is_empty() && scores.iter().all(is_number),
        score => is_number(score),
    };
    assert!(is_score, "{data}");
}
