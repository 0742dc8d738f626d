//! FATE-Flow's transfer endpoint (contract 03 §5.6), served by ourselves as long as servings load.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::net::SocketAddr;
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
use fate_inference::Buffers;
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// Buffers by the name that they are published under.
pub(crate) type Models = HashMap<ModelKey, Buffers>;

/// How FATE-Flow's path ends, and what the built-in allow rule of a server asks for.
const PATH: &str = "/v1/model/transfer";

/// Answers until it is dropped.
#[derive(Debug)]
pub(crate) struct TransferEndpoint {
    url: String,
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
    /// Listens at an address of this machine, port 0 for any. Models are nobody else's business, and servings send
    /// no credentials: the path begins with a word that only the load request tells.
    pub(crate) async fn start(models: Arc<Models>, at: SocketAddr) -> io::Result<TransferEndpoint> {
        let path = format!("/{}{PATH}", secret_word());
        let routes = Router::new()
            .route(&path, post(transfer))
            .with_state(models);
        let listener = TcpListener::bind(at).await?;
        let address = listener.local_addr()?;
        let task = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, routes).await {
                tracing::error!(%error, "the transfer endpoint has failed");
            }
        });
        Ok(TransferEndpoint {
            url: format!("http://{address}{path}"),
            task,
        })
    }

    /// What a load request names as `filePath`.
    pub(crate) fn url(&self) -> String {
        self.url.clone()
    }
}

/// 128 bits; the standard library seeds its hashers from the system's randomness.
fn secret_word() -> String {
    let word = || RandomState::new().hash_one(0u8);
    format!("{:016x}{:016x}", word(), word())
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
            retcode: 404,
            retmsg: "model not found",
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
