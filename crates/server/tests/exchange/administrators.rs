//! `admin.token`: changes over HTTP need it, everything else does not.

use std::net::SocketAddr;

use fate_proto::common_service::QueryPropsRequest;
use fate_proto::common_service::common_service_client::CommonServiceClient;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::cluster::{Node, channel};

const TOKEN: &str = "7f-open-sesame";
const CHANGES: [&str; 6] = [
    "POST /server/model/unbind",
    "POST /server/model/transfer",
    "POST /server/model/semantics",
    "POST /server/service/weight/update",
    "GET /server/alterSysLogLevel/info",
    "GET /server/alterPkgLogLevel?level=info&pkgName=a",
];

/// Status and body.
async fn ask(address: SocketAddr, line: &str, header: &str) -> (u16, String) {
    let mut connection = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = format!(
        "{line} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{header}Content-Length: 2\r\n\r\n{{}}"
    );
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (
        head.split(' ').nth(1).unwrap().parse().unwrap(),
        body.to_owned(),
    )
}

#[tokio::test]
async fn changes_need_the_token_and_questions_do_not() {
    let node = Node::start(&[("admin.token", TOKEN)]).await;
    let wrong = format!("Authorization: Bearer {TOKEN}x\r\n");
    let right = format!("Authorization: Bearer {TOKEN}\r\n");
    for change in CHANGES {
        for header in ["", "Authorization: Bearer \r\n", wrong.as_str()] {
            let (status, body) = ask(node.http(), change, header).await;
            assert_eq!(status, 401, "{change}: {body}");
            let document: Value = serde_json::from_str(&body).unwrap();
            assert_eq!(document["error"], "Unauthorized");
            assert!(!body.contains(TOKEN), "{body}");
        }
        let (status, body) = ask(node.http(), change, &right).await;
        assert_ne!(status, 401, "{change}: {body}");
    }
    for question in [
        "GET /health",
        "GET /readyz",
        "GET /metrics",
        "POST /v1/inference",
    ] {
        let (status, body) = ask(node.http(), question, "").await;
        assert_eq!(status, 200, "{question}: {body}");
    }
    let mut common = CommonServiceClient::new(channel(node.grpc()).await);
    let props = common
        .list_props(QueryPropsRequest::default())
        .await
        .unwrap();
    let props = String::from_utf8(props.into_inner().data.to_vec()).unwrap();
    assert!(
        props.contains("admin.token") && !props.contains(TOKEN),
        "{props}"
    );
}

#[tokio::test]
async fn without_a_token_changes_are_as_open_as_the_java_server_s() {
    let node = Node::start(&[]).await;
    for change in CHANGES {
        let (status, body) = ask(node.http(), change, "").await;
        assert_ne!(status, 401, "{change}: {body}");
    }
}
