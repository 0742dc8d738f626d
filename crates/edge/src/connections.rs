//! Accepting connections: a failing accept never ends the server, the number of connections is bounded, and one that
//! says nothing does not keep its place.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures::stream;
use http::Extensions;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tonic::transport::server::Connected;

use crate::other_port;
use crate::stream::Stream;
use crate::taken::{Prompt, Untaken, Watch};
use crate::tls::ServerTls;

/// Connections that one listener holds at the same time; one more is closed at once.
const MAX_CONNECTIONS: usize = 1024;
/// Time in which a new connection has to say something: HTTP/2's preface, or the head of an HTTP/1 request.
pub const FIRST_WORDS_TIMEOUT: Duration = Duration::from_secs(10);
/// Pause after an error that will not go away by itself at once, such as too many open files.
const PAUSE: Duration = Duration::from_millis(100);
/// Between two lines about connections that were closed or refused.
const LOG_INTERVAL: Duration = Duration::from_secs(1);

/// Every HTTP/2 connection begins with these 24 bytes, `PRI * HTTP/2.0…`.
const PREFACE_BYTES: usize = 24;

/// A place among the connections of a listener, free again when dropped.
pub type Place = OwnedSemaphorePermit;

/// The connections of a listener.
#[derive(Debug)]
pub struct Places {
    listener: &'static str,
    free: Arc<Semaphore>,
    said: Seldom,
}

impl Places {
    /// `listener` names the listener in the log.
    pub fn new(listener: &'static str) -> Self {
        Self {
            listener,
            free: Arc::new(Semaphore::new(MAX_CONNECTIONS)),
            said: Seldom::default(),
        }
    }

    /// A place for one more connection; without one it has to be closed.
    pub fn take(&mut self) -> Option<Place> {
        let place = Arc::clone(&self.free).try_acquire_owned().ok();
        if place.is_none()
            && let Some(closed) = self.said.count()
        {
            tracing::warn!(
                listener = self.listener,
                closed,
                "new connections were closed: {MAX_CONNECTIONS} are open"
            );
        }
        place
    }
}

/// Says things that may happen often not more than once in [`LOG_INTERVAL`].
#[derive(Debug, Default)]
struct Seldom {
    happened: u64,
    last_said: Option<Instant>,
}

impl Seldom {
    /// Counts one more; when it is time to say so, how often it has happened since it was said last.
    fn count(&mut self) -> Option<u64> {
        self.happened += 1;
        let is_time = self.last_said.is_none_or(|at| at.elapsed() >= LOG_INTERVAL);
        is_time.then(|| {
            self.last_said = Some(Instant::now());
            std::mem::take(&mut self.happened)
        })
    }
}

/// Connections that have begun to speak HTTP/2, secured if there is `tls`, without end. Must be polled inside a tokio
/// runtime; dropping it closes the listener and the connections that have not begun to speak.
pub(crate) fn begin_http2(
    arrivals: Arrivals,
    tls: Option<ServerTls>,
) -> impl futures::Stream<Item = Connection> {
    let entrance = Entrance {
        arrivals,
        tls,
        silent: JoinSet::new(),
        said: Seldom::default(),
    };
    stream::unfold(entrance, |mut entrance| async move {
        let connection = entrance.next().await;
        Some((connection, entrance))
    })
}

/// Where connections come from.
#[derive(Debug)]
pub(crate) enum Arrivals {
    Listener(TcpListener, Places),
    /// Another thread accepts.
    Given(mpsc::UnboundedReceiver<(std::net::TcpStream, Place)>),
}

impl Arrivals {
    pub(crate) fn at(listener: TcpListener) -> Self {
        Self::Listener(listener, Places::new("gRPC"))
    }

    /// Streams have to be non-blocking. Their places bound their number.
    pub(crate) fn given(streams: mpsc::UnboundedReceiver<(std::net::TcpStream, Place)>) -> Self {
        Self::Given(streams)
    }

    /// The next connection that has a place; never ends. Nothing is lost when the future is dropped.
    pub(crate) async fn next(&mut self) -> (TcpStream, Place) {
        loop {
            let arrived = match self {
                Self::Listener(listener, places) => {
                    let stream = next(listener).await;
                    places.take().map(|place| (stream, place))
                }
                Self::Given(streams) => match streams.recv().await {
                    // One that this runtime cannot watch is closed.
                    Some((stream, place)) => TcpStream::from_std(stream)
                        .ok()
                        .map(|stream| (stream, place)),
                    None => std::future::pending().await,
                },
            };
            if let Some(arrived) = arrived {
                return arrived;
            }
        }
    }
}

struct Entrance {
    arrivals: Arrivals,
    tls: Option<ServerTls>,
    /// Connections that have not said enough yet.
    silent: JoinSet<Result<Connection, NotBegun>>,
    said: Seldom,
}

impl Entrance {
    async fn next(&mut self) -> Connection {
        loop {
            tokio::select! {
                (stream, place) = self.arrivals.next() => {
                    self.silent.spawn(Connection::begun(stream, self.tls.clone(), place));
                }
                Some(ended) = self.silent.join_next() => match ended {
                    Ok(Ok(connection)) => return connection,
                    Ok(Err(NotBegun::Handshake(cause))) => self.say_refused(&cause),
                    Ok(Err(NotBegun::Silent)) | Err(_) => {}
                }
            }
        }
    }
}

impl Entrance {
    fn say_refused(&mut self, cause: &io::Error) {
        if let Some(refused) = self.said.count() {
            tracing::warn!(refused, %cause, "connections were refused at the TLS handshake; the last cause");
        }
    }
}

/// Why a connection is not served.
enum NotBegun {
    /// It did not say enough in time, or was told all there is to say.
    Silent,
    /// The TLS handshake failed.
    Handshake(io::Error),
}

/// The next connection that could be accepted.
pub async fn next(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((connection, _)) => {
                // Only costs latency when it fails.
                let _ = connection.set_nodelay(true);
                return connection;
            }
            Err(error) if is_the_peer_s(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "a connection cannot be accepted");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

fn is_the_peer_s(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
    )
}

/// A connection whose first bytes have been read already; whoever reads gets them first.
#[derive(Debug)]
pub struct Connection {
    first: [u8; PREFACE_BYTES],
    taken: usize,
    stream: Prompt<Stream>,
    answers: Watch,
    _place: Place,
}

/// Whose request it is; an extension of every request.
#[derive(Debug, Clone)]
pub struct Origin {
    address: Option<SocketAddr>,
    pub(crate) untaken: Untaken,
}

impl Origin {
    /// The address behind a request.
    pub fn address(request: &Extensions) -> Option<IpAddr> {
        request.get::<Self>()?.ip()
    }

    pub(crate) fn ip(&self) -> Option<IpAddr> {
        self.address.map(|address| address.ip())
    }
}

impl Connection {
    /// Shakes hands and waits for the bytes of a preface; whether they are one is for HTTP/2 to say.
    async fn begun(
        stream: TcpStream,
        tls: Option<ServerTls>,
        place: Place,
    ) -> Result<Self, NotBegun> {
        let first_words = async {
            let mut stream = match tls {
                None => Stream::Plain(stream),
                Some(tls) => {
                    let secured = tls.accept(stream).await.map_err(NotBegun::Handshake)?;
                    Stream::Tls(Box::new(secured.into()))
                }
            };
            let mut first = [0; PREFACE_BYTES];
            let read = stream.read_exact(&mut first).await;
            read.map_err(|_| NotBegun::Silent)?;
            if other_port::is_http1(&first) {
                other_port::tell_http1(&mut stream).await;
                return Err(NotBegun::Silent);
            }
            Ok(Self {
                first,
                taken: 0,
                stream: Prompt::new(stream),
                answers: Watch::new(),
                _place: place,
            })
        };
        let in_time = timeout(FIRST_WORDS_TIMEOUT, first_words).await;
        in_time.unwrap_or(Err(NotBegun::Silent))
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.answers.poll_stalled(context).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        let waiting = &this.first[this.taken..];
        if waiting.is_empty() {
            return Pin::new(&mut this.stream).poll_read(context, buffer);
        }
        let count = waiting.len().min(buffer.remaining());
        buffer.put_slice(&waiting[..count]);
        this.taken += count;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_flush(context))?;
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

impl Connected for Connection {
    type ConnectInfo = Origin;

    fn connect_info(&self) -> Origin {
        Origin {
            address: self.stream.get_ref().tcp().peer_addr().ok(),
            untaken: self.answers.untaken().clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::StreamExt as _;
    use tokio::io::AsyncWriteExt as _;

    use super::*;

    #[tokio::test]
    async fn a_silent_connection_blocks_nobody_and_the_first_bytes_are_not_lost() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut accepted = Box::pin(begin_http2(Arrivals::at(listener), None));
        let _silent = TcpStream::connect(address).await.unwrap();
        let mut speaker = TcpStream::connect(address).await.unwrap();
        let sent = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nand more";
        speaker.write_all(sent).await.unwrap();
        let mut connection = accepted.next().await.unwrap();
        let mut received = vec![0; sent.len()];
        connection.read_exact(&mut received).await.unwrap();
        assert_eq!(received, sent);
    }

    #[tokio::test]
    async fn what_never_speaks_is_closed() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut peer = TcpStream::connect(listener.local_addr().unwrap())
            .await
            .unwrap();
        peer.write_all(b"PRI").await.unwrap();
        let stream = next(&listener).await;
        let place = Places::new("test").take().unwrap();
        tokio::time::pause();
        // The clock goes on by itself while everything waits.
        assert!(Connection::begun(stream, None, place).await.is_err());
        tokio::time::resume();
        let mut rest = Vec::new();
        // An end or a reset, as the system likes: three bytes were never read by anyone else.
        let _ = peer.read_to_end(&mut rest).await;
        assert!(rest.is_empty());
    }

    #[test]
    fn one_connection_too_many_has_no_place() {
        let mut places = Places::new("test");
        let mut taken: Vec<Place> = (0..MAX_CONNECTIONS).filter_map(|_| places.take()).collect();
        assert_eq!(taken.len(), MAX_CONNECTIONS);
        assert!(places.take().is_none());
        taken.pop();
        assert!(places.take().is_some());
    }
}
