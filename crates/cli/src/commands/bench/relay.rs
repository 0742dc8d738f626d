//! A relay that counts the bytes between a guest and a host.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use fate_server::config::Address;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// Passes connections on until it is dropped.
#[derive(Debug)]
pub(super) struct Relay {
    pub(super) address: SocketAddr,
    bytes: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl Relay {
    pub(super) async fn to(target: Address) -> std::io::Result<Relay> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let bytes = Arc::new(AtomicU64::new(0));
        let task = tokio::spawn(accept(listener, target, Arc::clone(&bytes)));
        Ok(Relay {
            address,
            bytes,
            task,
        })
    }

    /// Payload of the TCP streams so far, both directions together.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, target: Address, bytes: Arc<AtomicU64>) {
    loop {
        match listener.accept().await {
            Ok((guest, _)) => {
                tokio::spawn(pass(guest, target.clone(), Arc::clone(&bytes)));
            }
            Err(error) => tracing::warn!(%error, "the relay cannot take a connection"),
        }
    }
}

async fn pass(guest: TcpStream, target: Address, bytes: Arc<AtomicU64>) {
    let host = match TcpStream::connect((target.host.as_str(), target.port)).await {
        Ok(host) => host,
        Err(error) => return tracing::warn!(%error, %target, "the relay cannot connect"),
    };
    // Without delay: the relay must not add Nagle's pauses.
    let _ = guest.set_nodelay(true);
    let _ = host.set_nodelay(true);
    let (guest_in, guest_out) = guest.into_split();
    let (host_in, host_out) = host.into_split();
    tokio::join!(
        count(guest_in, host_out, &bytes),
        count(host_in, guest_out, &bytes)
    );
}

/// Copies one direction; its end, in peace or not, ends the other side's too.
async fn count(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    bytes: &AtomicU64,
) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        bytes.fetch_add(length as u64, Ordering::Relaxed);
        if to.write_all(&buffer[..length]).await.is_err() {
            break;
        }
    }
    let _ = to.shutdown().await;
}
