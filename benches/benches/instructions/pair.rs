//! A guest and its host in this process.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use base64::Engine as _;
use bytes::Bytes;
use fate_domain::fault::Fault;
use fate_domain::return_code::ReturnCode;
use fate_edge::log_levels::LogLevels;
use fate_edge::log_queue::LogQueue;
use fate_features::{BatchRows, BoxFuture, FeatureRow, FeatureSource};
use fate_model::{Models, Settings};
use fate_proto::model::{LocalInfo, ModelInfo, Party, PublishRequest, RoleModelInfo};
use fate_proto::proxy::Packet;
use fate_server::{
    CallError, Config, Embedding, HostTransport, PreparedServer, Server, ServerHandle,
};
use tempfile::TempDir;
use tokio::time::Instant;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, fmt, reload};

use crate::made::{Case, GUEST, HOST, SERVICE};

pub(crate) struct Pair {
    guest: ServerHandle,
    /// Servers end with these.
    _servers: [PreparedServer; 2],
    _stores: [TempDir; 2],
}

impl Pair {
    pub(crate) async fn start(case: &Case, models: usize) -> anyhow::Result<Pair> {
        let log = log()?;
        let stores = [tempfile::tempdir()?, tempfile::tempdir()?];
        let [guest_store, host_store] = &stores;
        publish(host_store.path(), case, models, false).await?;
        publish(guest_store.path(), case, models, true).await?;
        let source: Arc<dyn FeatureSource> = Arc::new(Rows::of(case));
        let host = Embedding {
            single_source: Some(Arc::clone(&source)),
            batch_source: Some(source),
            log_levels: Some(log.clone()),
            ..Embedding::default()
        };
        let host = Server::prepare(config(host_store.path())?, host).await?;
        let guest = Embedding {
            own_proxy: Some(Arc::new(Straight(host.handle()))),
            log_levels: Some(log),
            ..Embedding::default()
        };
        let guest = Server::prepare(config(guest_store.path())?, guest).await?;
        Ok(Pair {
            guest: guest.handle(),
            _servers: [guest, host],
            _stores: stores,
        })
    }

    pub(crate) async fn answer(&self, case: &Case, question: Bytes) -> Vec<u8> {
        match case.is_batch() {
            true => self.guest.infer_batch(question).await,
            false => self.guest.infer(question).await,
        }
    }

    /// Fails unless there is a score for every row.
    pub(crate) async fn check(&self, case: &Case, number: usize) -> anyhow::Result<()> {
        let question = case.question(number);
        let rows = String::from_utf8_lossy(&question)
            .matches(r#""id""#)
            .count();
        let answer = String::from_utf8(self.answer(case, question).await)?;
        // A batch has its rows twice.
        let expected = if case.is_batch() { 2 * rows } else { rows };
        let scores = answer.matches(r#""score":"#).count();
        anyhow::ensure!(scores == expected, "{scores} scores: {answer}");
        Ok(())
    }
}

/// The log of a process, as `fate-serving` has it, but nobody reads it.
fn log() -> anyhow::Result<LogLevels> {
    let (filter, handle) = reload::Layer::new(EnvFilter::new("info"));
    let queue = LogQueue::start(std::io::sink())?;
    let lines = fmt::layer().with_ansi(false).with_writer(queue.clone());
    tracing_subscriber::registry()
        .with(filter)
        .with(lines)
        .init();
    Ok(LogLevels::new("info", handle).with_queue(queue))
}

fn config(store: &Path) -> anyhow::Result<Config> {
    let store = store.to_str().context("the temporary directory's name")?;
    let pairs = [
        ("port", "0"),
        ("server.port", "0"),
        ("model.cache.path", store),
        ("batch.inference.max", "2048"),
    ];
    let mut config = Config::from_pairs(pairs)?;
    config.bind = std::net::Ipv4Addr::LOCALHOST.into();
    Ok(config)
}

/// Leaves the model in a store, so often, for the server that will be started on it. The service id leads to the first.
async fn publish(store: &Path, case: &Case, copies: usize, is_guest: bool) -> anyhow::Result<()> {
    let text = |bytes: Vec<u8>| base64::engine::general_purpose::STANDARD.encode(bytes);
    let buffers = case.buffers(is_guest).into_iter();
    let cache: BTreeMap<String, String> = buffers.map(|(key, bytes)| (key, text(bytes))).collect();
    let file = store.join("made.cache");
    std::fs::write(&file, serde_json::to_vec(&cache)?)?;
    let mut settings = Settings::new(store);
    settings.import_path = vec![store.to_owned()];
    let (models, _) = Models::open(settings).await?;
    for copy in 0..copies {
        let mut request = request(copy, is_guest);
        request.load_type = "CACHE".to_owned();
        request.file_path = file.to_string_lossy().into_owned();
        models
            .load(&request)
            .await
            .map_err(|fault| anyhow::anyhow!("{fault}"))?;
        if is_guest {
            request.service_id = if copy == 0 {
                SERVICE.to_owned()
            } else {
                format!("{SERVICE}{copy}")
            };
            models
                .bind(&request)
                .await
                .map_err(|fault| anyhow::anyhow!("{fault}"))?;
        }
    }
    Ok(())
}

fn request(copy: usize, is_guest: bool) -> PublishRequest {
    let role = if is_guest {
        ("guest", GUEST)
    } else {
        ("host", HOST)
    };
    let roles = [("guest", GUEST), ("host", HOST)];
    let party = |party_id: &str| Party {
        party_id: vec![party_id.to_owned()],
    };
    let model = |(role, party_id): (&str, &str)| RoleModelInfo {
        role_model_info: HashMap::from([(
            party_id.to_owned(),
            ModelInfo {
                table_name: format!("{copy}"),
                namespace: format!("{role}#{party_id}#made"),
            },
        )])
        .into_iter()
        .collect(),
    };
    PublishRequest {
        local: Some(LocalInfo {
            role: role.0.to_owned(),
            party_id: role.1.to_owned(),
        }),
        role: roles
            .iter()
            .map(|one| (one.0.to_owned(), party(one.1)))
            .collect(),
        model: roles
            .iter()
            .map(|one| (one.0.to_owned(), model(*one)))
            .collect(),
        ..PublishRequest::default()
    }
}

/// The way to the host without a socket.
#[derive(Debug)]
struct Straight(ServerHandle);

impl HostTransport for Straight {
    fn call<'a>(
        &'a self,
        _: &'a str,
        packet: Packet,
        _: Instant,
    ) -> futures::future::BoxFuture<'a, Result<Packet, CallError>> {
        Box::pin(async { Ok(self.0.unary_call(packet).await) })
    }

    fn address(&self, _: &str) -> Option<String> {
        Some("127.0.0.1:8000".to_owned())
    }
}

/// The host's rows in memory, found as `file-pick` finds them.
#[derive(Debug)]
struct Rows(HashMap<String, FeatureRow>);

impl Rows {
    fn of(case: &Case) -> Self {
        let rows = case.host_rows.iter().enumerate();
        let row = |cells: &Vec<(String, f64)>| {
            let cells = cells.iter();
            FeatureRow::Numbers(
                cells
                    .map(|(name, value)| (name.as_str().into(), *value))
                    .collect(),
            )
        };
        Self(
            rows.map(|(id, cells)| (id.to_string(), row(cells)))
                .collect(),
        )
    }

    fn row(&self, ids: &str) -> Result<FeatureRow, Fault> {
        let id = ids.split('"').nth(3).and_then(|id| self.0.get(id));
        id.cloned()
            .ok_or_else(|| Fault::new(ReturnCode::HOST_FEATURE_NOT_EXIST, "no such row"))
    }
}

impl FeatureSource for Rows {
    fn name(&self) -> &str {
        "made"
    }

    fn fetch<'a>(&'a self, ids: &'a str) -> BoxFuture<'a, Result<FeatureRow, Fault>> {
        Box::pin(async { self.row(ids) })
    }

    fn fetch_batch<'a>(&'a self, ids: &'a [&'a str]) -> BoxFuture<'a, BatchRows> {
        Box::pin(async { Ok(ids.iter().map(|ids| self.row(ids)).collect()) })
    }
}
