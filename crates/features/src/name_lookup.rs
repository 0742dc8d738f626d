//! Host names to addresses, a few at a time.
//!
//! The system's lookup cannot be cancelled: with a name server that hangs, every call that timed out would leave a
//! blocked thread behind, until none is left for reading files.

use std::future::Future;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper_util::client::legacy::connect::dns::Name;
use tokio::sync::Semaphore;
use tower::Service;

/// Threads that may be blocked by lookups of one service.
const LOOKUPS: usize = 4;

#[derive(Debug, Clone)]
pub(crate) struct NameLookup {
    lookups: Arc<Semaphore>,
}

impl NameLookup {
    pub(crate) fn new() -> Self {
        Self {
            lookups: Arc::new(Semaphore::new(LOOKUPS)),
        }
    }
}

impl Service<Name> for NameLookup {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let lookups = Arc::clone(&self.lookups);
        Box::pin(async move {
            let permit = lookups.acquire_owned().await.map_err(io::Error::other)?;
            let lookup = tokio::task::spawn_blocking(move || {
                // The permit stays with the blocked thread, whatever becomes of the caller.
                let _permit = permit;
                (name.as_str(), 0).to_socket_addrs()
            });
            lookup.await.map_err(io::Error::other)?
        })
    }
}
