//! Accepting connections: a failing accept never ends the server.

use std::io;
use std::time::Duration;

use futures::Stream;
use futures::stream;
use tokio::net::{TcpListener, TcpStream};

/// Pause after an error that will not go away by itself at once, such as too many open files.
const PAUSE: Duration = Duration::from_millis(100);

/// Accepted connections without end; never yields an error.
pub(crate) fn accept(listener: TcpListener) -> impl Stream<Item = io::Result<TcpStream>> {
    stream::unfold(listener, |listener| async move {
        let connection = next(&listener).await;
        Some((Ok(connection), listener))
    })
}

/// The next connection that could be accepted.
pub(crate) async fn next(listener: &TcpListener) -> TcpStream {
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
