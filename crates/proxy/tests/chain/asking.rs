//! Clients.

use std::net::SocketAddr;

use bytes::Bytes;
use fate_edge::dial::Dialer;
use fate_proto::inference::InferenceMessage;
use fate_proto::inference::inference_service_client::InferenceServiceClient;
use http_body_util::{BodyExt as _, Full};
use hyper::{Method, Request};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;

/// One HTTP exchange: status and body.
pub(crate) async fn http(
    address: SocketAddr,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> (u16, String) {
    let client: Client<Dialer, Full<Bytes>> =
        Client::builder(TokioExecutor::new()).build(Dialer::plain());
    let mut request = Request::builder()
        .method(method)
        .uri(format!("http://{address}{path}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::from(body.to_owned())).unwrap();
    let answer = client.request(request).await.unwrap();
    let status = answer.status().as_u16();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

/// `POST`, for answers that are always 200.
pub(crate) async fn post(address: SocketAddr, path: &str, body: &str) -> String {
    let (status, text) = http(address, Method::POST, path, &[], body).await;
    assert_eq!(status, 200, "{path}: {text}");
    text
}

/// A batch over gRPC: the answer's body.
pub(crate) async fn batch(address: SocketAddr, body: String) -> Bytes {
    let mut client = InferenceServiceClient::connect(format!("http://{address}"))
        .await
        .unwrap();
    let request = InferenceMessage {
        body: body.into(),
        ..InferenceMessage::default()
    };
    let answer = client.batch_inference(request).await.unwrap();
    answer.into_inner().body
}
