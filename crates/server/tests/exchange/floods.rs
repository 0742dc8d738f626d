//! Clients that send too much, or begin and do not go on: the node's memory is bounded and others are served.

use std::net::SocketAddr;

use fate_proto::inference::InferenceMessage;
use fate_proto::inference::inference_service_client::InferenceServiceClient;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tonic::Code;

use crate::cluster::{Node, channel, http};

const LIMITS: &[(&str, &str)] = &[
    ("serving.max.body.bytes", "1000000"),
    ("serving.max.message.bytes", "900000"),
];

/// A request of this many bytes for a service that there is not.
fn request(bytes: usize) -> String {
    let head = r#"{"serviceId":"nobody","filler":""#;
    format!("{head}{}\"}}", "y".repeat(bytes - head.len() - 2))
}

async fn post(node: &Node, bytes: usize) -> Value {
    let body = request(bytes);
    let (status, answer) = http(node.http(), "POST /v1/inference", body.as_bytes()).await;
    assert_eq!(status, 200);
    serde_json::from_str(&answer).unwrap()
}

async fn grpc_code(node: &Node, bytes: usize) -> Code {
    let message = InferenceMessage {
        body: request(bytes).into_bytes().into(),
        ..InferenceMessage::default()
    };
    let mut client = InferenceServiceClient::new(channel(node.grpc()).await);
    match client.inference(message).await {
        Ok(_) => Code::Ok,
        Err(status) => status.code(),
    }
}

/// Sends most of a body and waits.
async fn half_a_post(address: SocketAddr) -> TcpStream {
    let mut connection = TcpStream::connect(address).await.unwrap();
    let head = "POST /v1/inference HTTP/1.1\r\nHost: x\r\nContent-Length: 800001\r\n\r\n";
    connection.write_all(head.as_bytes()).await.unwrap();
    connection.write_all(&vec![b' '; 800_000]).await.unwrap();
    connection
}

/// Waits until the node has read, or given back, so many bytes.
async fn until_held(node: &Node, bytes: u64) {
    loop {
        let (_, answer) = http(node.http(), "GET /ready", b"").await;
        let ready: Value = serde_json::from_str(&answer).unwrap();
        if ready["heldBytes"] == bytes {
            return;
        }
    }
}

#[tokio::test]
async fn a_message_over_the_limit_is_refused_on_both_edges() {
    let node = Node::start(LIMITS).await;
    assert_eq!(post(&node, 890_000).await["retcode"], 104);
    assert_eq!(grpc_code(&node, 890_000).await, Code::Ok);
    let answer = post(&node, 910_000).await;
    assert_eq!(answer["retcode"], 100);
    assert_eq!(answer["retmsg"], "request body is larger than 900000 bytes");
    assert_eq!(grpc_code(&node, 910_000).await, Code::OutOfRange);
}

#[tokio::test]
async fn bodies_held_by_others_are_124_and_small_requests_are_served() {
    let node = Node::start(LIMITS).await;
    let holder = half_a_post(node.http()).await;
    until_held(&node, 800_000).await;
    let refused = post(&node, 400_000).await;
    assert_eq!(refused["retcode"], 124, "{refused}");
    assert_eq!(grpc_code(&node, 400_000).await, Code::ResourceExhausted);
    assert_eq!(post(&node, 1000).await["retcode"], 104);
    assert_eq!(grpc_code(&node, 1000).await, Code::Ok);
    drop(holder);
    until_held(&node, 0).await;
    assert_eq!(post(&node, 400_000).await["retcode"], 104);
    assert_eq!(grpc_code(&node, 400_000).await, Code::Ok);
}

#[tokio::test]
async fn a_body_that_does_not_go_on_is_100_and_holds_nothing() {
    let node = Node::start(LIMITS).await;
    let mut connection = TcpStream::connect(node.http()).await.unwrap();
    let head = "POST /v1/inference HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{";
    connection.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // The server closes: what would follow cannot be the next request.
    connection.read_to_end(&mut answer).await.unwrap();
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.contains(r#"{"retcode":100,"#), "{answer}");
    assert!(answer.contains("request body did not arrive"), "{answer}");
    assert_eq!(post(&node, 890_000).await["retcode"], 104);
}
