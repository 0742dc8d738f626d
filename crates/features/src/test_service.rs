//! A feature service for tests: HTTP/1.1 over a real socket, byte by byte, so that it can also misbehave.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinHandle};

use crate::Settings;

/// What every request gets.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    /// Status and body; the connection stays open.
    Answer(u16, Vec<u8>),
    /// A good answer, and the end of the connection without a word about it.
    AnswerAndClose(Vec<u8>),
    /// The beginning of a body of so many bytes, then the end of the connection.
    Cut(Vec<u8>, usize),
    /// The same, but the connection stays open.
    Stall(Vec<u8>, usize),
    /// A body without end.
    Endless,
    /// These bytes are all.
    Raw(Vec<u8>),
    /// The end of the connection instead of an answer.
    Close,
    /// Nothing until the client gives up.
    Silence,
}

impl Reply {
    pub(crate) fn answer(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self::Answer(status, body.into())
    }
}

/// A request as it arrived: its head in lower case, and its body.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) head: String,
    pub(crate) body: String,
}

/// Stops when dropped.
#[derive(Debug)]
pub(crate) struct TestService {
    address: SocketAddr,
    seen: Arc<Seen>,
    accepting: AbortHandle,
}

#[derive(Debug, Default)]
struct Seen {
    connections: AtomicUsize,
    requests: Mutex<Vec<Request>>,
}

impl TestService {
    pub(crate) async fn start(reply: Reply) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let address = listener.local_addr().expect("address");
        let seen = Arc::new(Seen::default());
        let accepting: JoinHandle<()> = tokio::spawn(accept(listener, reply, Arc::clone(&seen)));
        Self {
            address,
            seen,
            accepting: accepting.abort_handle(),
        }
    }

    /// Settings that point here, with limits that let no test wait long for nothing.
    pub(crate) fn settings(&self) -> Settings {
        Settings {
            http_url: Some(format!("http://{}/features?key=secret", self.address)),
            http_connect_timeout: Duration::from_secs(20),
            http_connect_request_timeout: Duration::from_secs(20),
            http_socket_timeout: Duration::from_secs(20),
            max_response_bytes: 1024,
            ..Settings::default()
        }
    }

    pub(crate) fn connections(&self) -> usize {
        self.seen.connections.load(Ordering::SeqCst)
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.seen.requests.lock().clone()
    }
}

impl Drop for TestService {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, reply: Reply, seen: Arc<Seen>) {
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        seen.connections.fetch_add(1, Ordering::SeqCst);
        let (reply, seen) = (reply.clone(), Arc::clone(&seen));
        connections.spawn(async move {
            // A client that is gone ends the connection, which is no matter here.
            let _ = serve(stream, &reply, &seen).await;
        });
    }
}

async fn serve(stream: TcpStream, reply: &Reply, seen: &Seen) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    while let Some(request) = read(&mut stream).await? {
        seen.requests.lock().push(request);
        let keep = write(&mut stream, reply).await?;
        if !keep {
            break;
        }
    }
    Ok(())
}

async fn read(stream: &mut BufReader<TcpStream>) -> std::io::Result<Option<Request>> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if stream.read_line(&mut head).await? == 0 {
            return Ok(None);
        }
    }
    let head = head.to_ascii_lowercase();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length:"))
        .map_or(0, |length| length.trim().parse().expect("length"));
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    let body = String::from_utf8(body).expect("text");
    Ok(Some(Request { head, body }))
}

/// Whether the connection stays open for another request.
async fn write(stream: &mut BufReader<TcpStream>, reply: &Reply) -> std::io::Result<bool> {
    let head = |status: u16, length: usize| {
        format!("HTTP/1.1 {status} x\r\nLocation: /elsewhere\r\nContent-Length: {length}\r\n\r\n")
    };
    match reply {
        Reply::Answer(status, body) => {
            stream
                .write_all(head(*status, body.len()).as_bytes())
                .await?;
            stream.write_all(body).await?;
            return Ok(true);
        }
        Reply::AnswerAndClose(body) => {
            stream.write_all(head(200, body.len()).as_bytes()).await?;
            stream.write_all(body).await?;
        }
        Reply::Cut(part, length) => {
            stream.write_all(head(200, *length).as_bytes()).await?;
            stream.write_all(part).await?;
        }
        Reply::Stall(part, length) => {
            stream.write_all(head(200, *length).as_bytes()).await?;
            stream.write_all(part).await?;
            return Ok(true);
        }
        Reply::Endless => {
            stream
                .write_all(b"HTTP/1.1 200 x\r\nTransfer-Encoding: chunked\r\n\r\n")
                .await?;
            loop {
                stream.write_all(b"8\r\n{\"x0\":1,\r\n").await?;
            }
        }
        Reply::Raw(bytes) => stream.write_all(bytes).await?,
        Reply::Close => {}
        Reply::Silence => return Ok(true),
    }
    Ok(false)
}
