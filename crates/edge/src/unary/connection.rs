//! An HTTP/2 connection to a peer: dialled when it is needed, once for all who wait for it, and again after a loss. Pings
//! tell a dead one from a quiet one.
//!
//! Calls speak to h2 themselves: on the way through tonic's channel a call changes tasks five times, which costs more than
//! all the rest of forwarding a small packet.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::{BoxFuture, Shared};
use h2::client::{self, SendRequest};
use http::Uri;
use parking_lot::Mutex;
use tower::Service as _;

use super::ping::until_silent;
use crate::dial::Dialer;

/// As on all connections of this program, quiet ones included.
const PING_EVERY: Duration = Duration::from_secs(15);
const PONG_LIMIT: Duration = Duration::from_secs(5);
/// What a peer may send before it is read: of one answer, of all.
const STREAM_WINDOW: u32 = 4 << 20;
const CONNECTION_WINDOW: u32 = 16 << 20;
/// An answer in a single frame is passed on without being put together first.
const MAX_FRAME: u32 = 256 << 10;
const MAX_HEADER_BYTES: u32 = 16 << 10;

/// The way to one address.
pub(super) struct Connection {
    uri: Uri,
    dialer: Dialer,
    /// Under way, made or failed; none before the first call.
    dialled: Mutex<Option<Dialled>>,
}

type Dialled = Shared<BoxFuture<'static, Result<Line, Arc<str>>>>;

/// An open connection.
#[derive(Debug, Clone)]
pub(super) struct Line {
    requests: SendRequest<Bytes>,
    is_over: Arc<AtomicBool>,
}

impl fmt::Debug for Connection {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_tuple("Connection").field(&self.uri).finish()
    }
}

impl Connection {
    pub(super) fn new(uri: Uri, dialer: Dialer) -> Self {
        Self {
            uri,
            dialer,
            dialled: Mutex::new(None),
        }
    }

    /// A connection on which a request can be sent.
    ///
    /// # Errors
    /// There is none; the text says why.
    pub(super) async fn ready(&self) -> Result<SendRequest<Bytes>, Arc<str>> {
        let line = self.line().await?;
        match line.requests.clone().ready().await {
            Ok(requests) => Ok(requests),
            // It ended since the last call, or the peer takes no new calls on it.
            Err(_) => {
                line.is_over.store(true, Ordering::Relaxed);
                let anew = self.line().await?.requests.ready().await;
                anew.map_err(|error| error.to_string().into())
            }
        }
    }

    async fn line(&self) -> Result<Line, Arc<str>> {
        let dialled = self.dialled();
        match dialled.peek() {
            Some(made) => made.clone(),
            None => dialled.await,
        }
    }

    /// What is under way or open, else a new attempt.
    fn dialled(&self) -> Dialled {
        let mut dialled = self.dialled.lock();
        let is_usable = |known: &Dialled| match known.peek() {
            None => true,
            Some(Ok(line)) => !line.is_over.load(Ordering::Relaxed),
            Some(Err(_)) => false,
        };
        match dialled.as_ref().filter(|known| is_usable(known)) {
            Some(known) => known.clone(),
            None => {
                let dialling = tokio::spawn(dial(self.dialer.clone(), self.uri.clone()));
                // Goes on although whoever waits for it gives up.
                let attempt =
                    dialling.map(|made| made.unwrap_or_else(|error| Err(error.to_string().into())));
                dialled.insert(attempt.boxed().shared()).clone()
            }
        }
    }
}

async fn dial(mut dialer: Dialer, uri: Uri) -> Result<Line, Arc<str>> {
    let stream = dialer.call(uri).await;
    let stream = stream.map_err(|error| Arc::from(error.to_string()))?;
    let (requests, connection) = client::Builder::new()
        .enable_push(false)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_frame_size(MAX_FRAME)
        .max_header_list_size(MAX_HEADER_BYTES)
        .handshake(stream.into_inner())
        .await
        .map_err(|error| Arc::from(error.to_string()))?;
    let is_over = Arc::new(AtomicBool::new(false));
    tokio::spawn(drive(connection, Arc::clone(&is_over)));
    Ok(Line { requests, is_over })
}

/// Ends with the connection: when the peer closes it, does not answer a ping, or nobody holds a handle any longer.
async fn drive<T>(mut connection: client::Connection<T, Bytes>, is_over: Arc<AtomicBool>)
where
    T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let pings = connection.ping_pong();
    tokio::select! {
        // Callers hear of its errors themselves.
        _ = connection => {}
        () = until_silent(pings, PING_EVERY, PONG_LIMIT) => tracing::info!("a peer does not answer pings: its connection is closed"),
    }
    is_over.store(true, Ordering::Relaxed);
}
