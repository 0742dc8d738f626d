//! A stand-in for FATE-Flow's transfer endpoint: a tiny HTTP server on a free loopback port.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufStream};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

/// What the endpoint does with a request.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    /// HTTP 200 with this body.
    Json(String),
    /// These bytes, then the connection is closed.
    Raw(Vec<u8>),
    /// The body, once the gate has a permit.
    Gated(Arc<Semaphore>, String),
    /// Headers and then nothing.
    Hang,
    /// A body without end.
    Endless,
}

#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub request_line: String,
    pub headers: Vec<String>,
    pub body: String,
}

#[derive(Debug)]
pub(crate) struct Endpoint {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    /// One permit for each request that arrived.
    pub arrived: Arc<Semaphore>,
}

impl Endpoint {
    pub(crate) async fn start(reply: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Endpoint {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let arrived = Arc::new(Semaphore::new(0));
        let reply = Arc::new(reply);
        let (list, signal) = (Arc::clone(&seen), Arc::clone(&arrived));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(
                    stream,
                    Arc::clone(&reply),
                    Arc::clone(&list),
                    Arc::clone(&signal),
                ));
            }
        });
        Endpoint {
            address,
            seen,
            arrived,
        }
    }

    pub(crate) async fn fixed(reply: Reply) -> Endpoint {
        Endpoint::start(move |_| reply.clone()).await
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/v1/model/transfer", self.address)
    }

    pub(crate) fn address(&self) -> String {
        self.address.to_string()
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

async fn serve(
    stream: TcpStream,
    reply: Arc<impl Fn(&Seen) -> Reply>,
    list: Arc<Mutex<Vec<Seen>>>,
    arrived: Arc<Semaphore>,
) {
    let mut stream = BufStream::new(stream);
    let Some(request) = read_request(&mut stream).await else {
        return;
    };
    list.lock().unwrap().push(request.clone());
    arrived.add_permits(1);
    let bytes = match reply(&request) {
        Reply::Json(body) => http_200(&body),
        Reply::Raw(bytes) => bytes,
        Reply::Gated(gate, body) => {
            gate.acquire().await.unwrap().forget();
            http_200(&body)
        }
        Reply::Hang => {
            let _ = stream
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{")
                .await;
            let _ = stream.flush().await;
            // Until the client goes away.
            let _ = stream.read(&mut [0; 1]).await;
            return;
        }
        Reply::Endless => {
            let _ = stream.write_all(b"HTTP/1.0 200 OK\r\n\r\n").await;
            while stream.write_all(&[b' '; 64 << 10]).await.is_ok() {}
            return;
        }
    };
    let _ = stream.write_all(&bytes).await;
    let _ = stream.shutdown().await;
}

async fn read_request(stream: &mut BufStream<TcpStream>) -> Option<Seen> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        stream
            .read_line(&mut line)
            .await
            .ok()
            .filter(|read| *read > 0)?;
        if line.trim_end().is_empty() {
            break;
        }
        lines.push(line.trim_end().to_owned());
    }
    let length = lines.iter().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.trim().parse::<usize>().unwrap())
    });
    let mut body = vec![0; length.unwrap_or(0)];
    stream.read_exact(&mut body).await.ok()?;
    Some(Seen {
        request_line: lines.first()?.clone(),
        headers: lines[1..].to_vec(),
        body: String::from_utf8(body).unwrap(),
    })
}

/// As werkzeug answers: HTTP/1.0, the connection is closed afterwards.
fn http_200(body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.0 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}").into_bytes()
}
