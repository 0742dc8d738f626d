//! FATE-Flow's transfer endpoint for the buffers of golden sets (contract 01 §3.7 FATEFLOW).

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::header;
use axum::response::Response;
use axum::routing::post;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use fate_domain::model_key::ModelKey;
use fate_golden::Set;
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::publish;

type Models = HashMap<ModelKey, BTreeMap<String, Bytes>>;

/// The path that the built-in allow rule of a server asks for.
const PATH: &str = "/v1/model/transfer";

/// Answers until it is dropped.
#[derive(Debug)]
pub(crate) struct TransferEndpoint {
    address: SocketAddr,
    task: JoinHandle<()>,
}

#[derive(Deserialize)]
struct Asked {
    name: String,
    namespace: String,
}

#[derive(Serialize)]
struct Given {
    retcode: i32,
    retmsg: &'static str,
    data: BTreeMap<String, String>,
}

impl TransferEndpoint {
    pub(crate) async fn start(sets: &[Arc<Set>]) -> io::Result<TransferEndpoint> {
        let models: Models = sets
            .iter()
            .flat_map(|set| &set.parties)
            .map(|party| (publish::key_of(party), party.buffers.clone()))
            .collect();
        let routes = Router::new()
            .route(PATH, post(transfer))
            .with_state(Arc::new(models));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let task = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, routes).await {
                tracing::error!(%error, "the transfer endpoint has failed");
            }
        });
        Ok(TransferEndpoint { address, task })
    }

    /// What a load request names as `filePath`.
    pub(crate) fn url(&self) -> String {
        format!("http://{}{PATH}", self.address)
    }
}

impl Drop for TransferEndpoint {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn transfer(State(models): State<Arc<Models>>, body: Bytes) -> Response {
    let buffers = serde_json::from_slice::<Asked>(&body)
        .ok()
        .and_then(|asked| models.get(&ModelKey::new(asked.name, asked.namespace)));
    let given = match buffers {
        Some(buffers) => Given {
            retcode: 0,
            retmsg: "success",
            data: buffers
                .iter()
                .map(|(key, buffer)| (key.clone(), STANDARD.encode(buffer)))
                .collect(),
        },
        None => Given {
            retcode: 100,
            retmsg: "no such model",
            data: BTreeMap::new(),
        },
    };
    // Texts and numbers can always be written.
    let text = serde_json::to_vec(&given).unwrap_or_default();
    let mut response = Response::new(Body::from(text));
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        header::HeaderValue::from_static("application/json"),
    );
    response
}
