//! One proxy with a table of the test's own.

use std::time::{Duration, Instant};

use bytes::Bytes;
use fate_proto::proxy::data_transfer_service_client::DataTransferServiceClient;
use fate_proto::proxy::{Data, Metadata, Packet, Topic};
use fate_proto::router::RouterOperatetRequest;
use fate_proto::router::router_table_service_client::RouterTableServiceClient;
use fate_proxy::RunningProxy;
use serde_json::Value;
use tempfile::TempDir;
use tonic::transport::Channel;
use tonic::{Request, Status};

use crate::fake_peer::LARGE;
use crate::parties::{document, start_proxy};

pub(crate) struct LoneProxy {
    pub(crate) proxy: RunningProxy,
    _folder: TempDir,
}

impl LoneProxy {
    pub(crate) async fn start(routes: &Value, properties: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let properties: Vec<(&str, String)> = properties
            .iter()
            .map(|(key, value)| (*key, (*value).to_owned()))
            .collect();
        let proxy = start_proxy(&folder, "9999", routes, &properties).await;
        Self {
            proxy,
            _folder: folder,
        }
    }

    /// A client of the intra port.
    pub(crate) async fn intra(&self) -> DataTransferServiceClient<Channel> {
        let address = format!("http://{}", self.proxy.intra_addr);
        DataTransferServiceClient::connect(address)
            .await
            .unwrap()
            .max_decoding_message_size(LARGE)
            .max_encoding_message_size(LARGE)
    }

    /// The code and text in the answer to a packet, or 0 and the body.
    pub(crate) async fn send(&self, packet: Packet) -> (i64, String) {
        outcome(self.intra().await.unary_call(packet).await)
    }

    pub(crate) async fn save_routes(&self, routes: &Value) {
        let address = format!("http://{}", self.proxy.intra_addr);
        let mut client = RouterTableServiceClient::connect(address).await.unwrap();
        let request = RouterOperatetRequest {
            router_info: document(routes).to_string(),
        };
        let saved = client.save_router(request).await.unwrap().into_inner();
        assert_eq!(saved.status_code, 0, "{}", saved.message);
    }
}

pub(crate) fn outcome(answer: Result<tonic::Response<Packet>, Status>) -> (i64, String) {
    let body = answer.unwrap().into_inner().body.unwrap_or_default().value;
    let text = String::from_utf8_lossy(&body).into_owned();
    match serde_json::from_str::<Value>(&text) {
        Ok(error) if error["retcode"].is_i64() => {
            let message = error["retmsg"].as_str().unwrap().to_owned();
            (error["retcode"].as_i64().unwrap(), message)
        }
        _ => (0, text),
    }
}

/// From party 9999 to another.
pub(crate) fn packet_to(party_id: &str, body: impl Into<Bytes>) -> Packet {
    let topic = |party_id: &str| {
        Some(Topic {
            name: "partyName".to_owned(),
            party_id: party_id.to_owned(),
            role: "serving".to_owned(),
            callback: None,
        })
    };
    Packet {
        header: Some(Metadata {
            src: topic("9999"),
            dst: topic(party_id),
            operator: "216".to_owned(),
            ..Metadata::default()
        }),
        body: Some(Data {
            key: String::new(),
            value: body.into(),
        }),
        auth: None,
    }
}

pub(crate) fn with_timeout(packet: Packet, timeout: Duration) -> Request<Packet> {
    let mut request = Request::new(packet);
    request.set_timeout(timeout);
    request
}

/// Waits for a state that is reached soon.
pub(crate) async fn until(what: &str, is_so: impl AsyncFn() -> bool) {
    let started = Instant::now();
    while !is_so().await {
        assert!(started.elapsed() < Duration::from_secs(20), "{what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
