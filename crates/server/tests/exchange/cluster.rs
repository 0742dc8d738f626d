//! Starting nodes on loopback ports and talking to them.

use std::net::SocketAddr;
use std::time::Duration;

use fate_proto::inference::InferenceMessage;
use fate_proto::inference::inference_service_client::InferenceServiceClient;
use fate_proto::model::model_service_client::ModelServiceClient;
use fate_proto::model::{
    LocalInfo, ModelInfo, Party, PublishRequest, PublishResponse, RoleModelInfo,
};
use fate_server::{Config, RunningServer, Server};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic::transport::Channel;

use crate::example::{self, GUEST, HOST, VERSION};

/// One running server with a store of its own.
pub(crate) struct Node {
    pub(crate) server: RunningServer,
    pub(crate) folder: TempDir,
}

impl Node {
    /// Starts a node with these properties besides the ones every test node has.
    pub(crate) async fn start(pairs: &[(&str, &str)]) -> Node {
        Node::start_in(tempfile::tempdir().unwrap(), pairs).await
    }

    /// Stops it and starts another one on its store.
    pub(crate) async fn restart(self, pairs: &[(&str, &str)]) -> Node {
        self.server.drain().await;
        Node::start_in(self.folder, pairs).await
    }

    async fn start_in(folder: TempDir, pairs: &[(&str, &str)]) -> Node {
        let path = folder.path().to_str().unwrap().to_owned();
        let mut all = vec![
            ("port", "0"),
            ("server.port", "0"),
            ("model.cache.path", path.as_str()),
            ("model.import.path", path.as_str()),
        ];
        all.extend_from_slice(pairs);
        let mut config = Config::from_pairs(all).unwrap();
        config.bind = std::net::Ipv4Addr::LOCALHOST.into();
        let server = Server::start(config).await.unwrap();
        Node { server, folder }
    }

    pub(crate) fn grpc(&self) -> SocketAddr {
        self.server.grpc_addr
    }

    pub(crate) fn http(&self) -> SocketAddr {
        self.server.http_addr.unwrap()
    }

    /// Publishes the example's part of this role from a cache file in the node's folder.
    pub(crate) async fn load_example(&self, role: &str) -> PublishResponse {
        let path = self.folder.path().join(format!("{role}.cache"));
        example::write_cache(&path, role);
        let mut request = publish_request(role);
        request.load_type = "CACHE".to_owned();
        request.file_path = path.to_str().unwrap().to_owned();
        let mut models = models(self.grpc()).await;
        models.publish_load(request).await.unwrap().into_inner()
    }

    pub(crate) async fn bind_example(&self, service_id: &str) -> PublishResponse {
        let mut request = publish_request("guest");
        request.service_id = service_id.to_owned();
        let mut models = models(self.grpc()).await;
        models.publish_bind(request).await.unwrap().into_inner()
    }

    pub(crate) async fn infer(&self, body: &str) -> Value {
        serde_json::from_str(&self.infer_text(body.as_bytes()).await).unwrap()
    }

    pub(crate) async fn infer_text(&self, body: &[u8]) -> String {
        let request = InferenceMessage {
            body: body.to_vec().into(),
            ..InferenceMessage::default()
        };
        let mut client = InferenceServiceClient::new(channel(self.grpc()).await);
        let answer = client.inference(request).await.unwrap().into_inner();
        assert!(answer.header.is_empty());
        String::from_utf8(answer.body.to_vec()).unwrap()
    }

    pub(crate) async fn infer_batch_text(&self, body: &[u8]) -> String {
        let request = InferenceMessage {
            body: body.to_vec().into(),
            ..InferenceMessage::default()
        };
        let mut client = InferenceServiceClient::new(channel(self.grpc()).await)
            .max_encoding_message_size(64 << 20)
            .max_decoding_message_size(64 << 20);
        let answer = client.batch_inference(request).await.unwrap().into_inner();
        String::from_utf8(answer.body.to_vec()).unwrap()
    }

    pub(crate) async fn infer_batch(&self, body: &str) -> Value {
        serde_json::from_str(&self.infer_batch_text(body.as_bytes()).await).unwrap()
    }
}

/// A guest and a host with the example model, bound to `lr-test`. The host picks features from a file.
pub(crate) struct Pair {
    pub(crate) guest: Node,
    pub(crate) host: Node,
    _data: TempDir,
}

/// `id,features` lines of contract 01 App. C.
pub(crate) const HOST_DATA: &str = "1,x300:1;x301:2\n2,x300:-3.25;x1000:0.5\n";

pub(crate) async fn pair(guest_pairs: &[(&str, &str)], host_pairs: &[(&str, &str)]) -> Pair {
    let data = tempfile::tempdir().unwrap();
    let path = data.path().join("host_data.csv");
    std::fs::write(&path, HOST_DATA).unwrap();
    let data_text = path.to_str().unwrap();
    let mut pairs = vec![
        ("feature.single.adaptor", "file-pick"),
        ("feature.batch.adaptor", "file-pick"),
        ("host.data.file", data_text),
    ];
    pairs.extend_from_slice(host_pairs);
    let host = Node::start(&pairs).await;
    let loaded = host.load_example("host").await;
    assert_eq!(loaded.status_code, 0, "{}", loaded.message);
    let guest = guest_of(host.grpc(), guest_pairs).await;
    Pair {
        guest,
        host,
        _data: data,
    }
}

/// A guest with the example model, bound to `lr-test`, whose host 10000 is at `host`.
pub(crate) async fn guest_of(host: SocketAddr, pairs: &[(&str, &str)]) -> Node {
    let table = format!("10000={host}");
    let mut all = vec![("federation.hosts", table.as_str())];
    all.extend_from_slice(pairs);
    let guest = Node::start(&all).await;
    let loaded = guest.load_example("guest").await;
    assert_eq!(loaded.status_code, 0, "{}", loaded.message);
    let verdict = "servable: binary logistic regression, guest with its hosts, ";
    assert!(loaded.message.starts_with(verdict), "{}", loaded.message);
    let bound = guest.bind_example("lr-test").await;
    assert_eq!((bound.status_code, bound.message.as_str()), (0, ""));
    guest
}

pub(crate) fn publish_request(role: &str) -> PublishRequest {
    let (guest, host) = (("guest", "9999", GUEST), ("host", "10000", HOST));
    let own = if role == "guest" { guest } else { host };
    let info = |(name, party, namespace): (&str, &str, &str)| {
        let model = ModelInfo {
            table_name: VERSION.to_owned(),
            namespace: namespace.to_owned(),
        };
        let by_party = [(party.to_owned(), model)].into_iter().collect();
        (
            name.to_owned(),
            RoleModelInfo {
                role_model_info: by_party,
            },
        )
    };
    let party = |(name, party, _): (&str, &str, &str)| {
        (
            name.to_owned(),
            Party {
                party_id: vec![party.to_owned()],
            },
        )
    };
    PublishRequest {
        local: Some(LocalInfo {
            role: own.0.to_owned(),
            party_id: own.1.to_owned(),
        }),
        role: [party(guest), party(host)].into_iter().collect(),
        model: [info(guest), info(host)].into_iter().collect(),
        ..PublishRequest::default()
    }
}

pub(crate) async fn channel(address: SocketAddr) -> Channel {
    Channel::from_shared(format!("http://{address}"))
        .unwrap()
        .connect()
        .await
        .unwrap()
}

pub(crate) async fn models(address: SocketAddr) -> ModelServiceClient<Channel> {
    ModelServiceClient::new(channel(address).await)
}

/// One HTTP/1.1 exchange on a connection of its own: status and body.
pub(crate) async fn http(address: SocketAddr, head: &str, body: &[u8]) -> (u16, String) {
    let exchange = async {
        let mut connection = TcpStream::connect(address).await.unwrap();
        let request = format!(
            "{head} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        connection.write_all(request.as_bytes()).await.unwrap();
        connection.write_all(body).await.unwrap();
        let mut answer = Vec::new();
        connection.read_to_end(&mut answer).await.unwrap();
        String::from_utf8(answer).unwrap()
    };
    let answer = tokio::time::timeout(Duration::from_secs(20), exchange)
        .await
        .unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, body.to_owned())
}
