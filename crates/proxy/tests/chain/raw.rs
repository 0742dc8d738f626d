//! Clients that say exactly what a test wants, right or wrong.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use h2::{RecvStream, SendStream};
use hyper::http::{HeaderMap, Request, Response};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

pub(crate) const UNARY_CALL: &str =
    "/com.webank.ai.fate.api.networking.proxy.DataTransferService/unaryCall";
const PATIENCE: Duration = Duration::from_secs(20);

/// An HTTP/2 connection.
#[derive(Clone)]
pub(crate) struct Raw {
    requests: SendRequest<Bytes>,
    authority: SocketAddr,
}

/// What came of a gRPC call.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) grpc_status: Option<String>,
    pub(crate) grpc_message: String,
    /// Without gRPC's prefix.
    pub(crate) message: Vec<u8>,
}

impl Raw {
    pub(crate) async fn connect(to: SocketAddr) -> Self {
        Self::with(&h2::client::Builder::new(), to).await
    }

    pub(crate) async fn with(builder: &h2::client::Builder, to: SocketAddr) -> Self {
        let stream = TcpStream::connect(to).await.unwrap();
        let (requests, connection) = builder.handshake(stream).await.unwrap();
        tokio::spawn(connection);
        Self {
            requests,
            authority: to,
        }
    }

    /// Sends the head of a request.
    pub(crate) async fn begin(
        &self,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Result<(h2::client::ResponseFuture, SendStream<Bytes>), h2::Error> {
        let mut requests = self.requests.clone().ready().await?;
        let mut request = Request::post(format!("http://{}{path}", self.authority));
        request = request.header("content-type", "application/grpc");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        requests.send_request(request.body(()).unwrap(), false)
    }

    /// A whole call with these bytes as its body.
    pub(crate) async fn call(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Result<Outcome, h2::Error> {
        let (response, mut sent) = self.begin(path, headers).await?;
        sent.send_data(body.into(), true)?;
        let response = timeout(PATIENCE, response).await.expect("no answer")?;
        timeout(PATIENCE, outcome(response))
            .await
            .expect("the answer does not end")
    }
}

async fn outcome(response: Response<RecvStream>) -> Result<Outcome, h2::Error> {
    let (head, mut body) = response.into_parts();
    let mut received = Vec::new();
    while let Some(chunk) = body.data().await {
        let chunk = chunk?;
        body.flow_control().release_capacity(chunk.len())?;
        received.extend_from_slice(&chunk);
    }
    let trailers = body.trailers().await?.unwrap_or_default();
    let text = |name: &str| {
        let of = |headers: &HeaderMap| headers.get(name)?.to_str().ok().map(str::to_owned);
        of(&trailers).or_else(|| of(&head.headers))
    };
    Ok(Outcome {
        grpc_status: text("grpc-status"),
        grpc_message: text("grpc-message").unwrap_or_default(),
        message: received.get(5..).unwrap_or_default().to_vec(),
    })
}

/// gRPC's form of a message.
pub(crate) fn framed(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    [&[0], &length[..], message].concat()
}

/// Sends bytes, says that nothing more comes if `is_all`, and reads until the other end closes; what came by then. An end
/// that comes with a reset counts as one.
pub(crate) async fn exchange(to: SocketAddr, sent: &[u8], is_all: bool) -> String {
    let mut stream = TcpStream::connect(to).await.unwrap();
    let mut received = Vec::new();
    let talk = async {
        // The other end may have closed before it has read everything.
        if stream.write_all(sent).await.is_ok() && is_all {
            let _ = stream.shutdown().await;
        }
        let mut buffer = [0; 4096];
        loop {
            match stream.read(&mut buffer).await {
                Ok(0) | Err(_) => return,
                Ok(count) => received.extend_from_slice(&buffer[..count]),
            }
        }
    };
    timeout(PATIENCE, talk)
        .await
        .unwrap_or_else(|_| panic!("the connection stays open"));
    String::from_utf8_lossy(&received).into_owned()
}
