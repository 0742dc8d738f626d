//! What a connection writes in one turn leaves in one piece.
//!
//! HTTP/2 hands an answer over in parts (headers, a message, the status behind it), and each part that is written by itself
//! costs a system call here and wakes the peer there. A [`Gathered`] stream keeps what is written until its owner ends
//! the turn with [`Outlet::poll_out`]; what is large goes out by itself.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, BytesMut};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes that are kept at most until the end of a turn.
const ROOM: usize = 32 << 10;
/// Memory that an idle connection may hold for the next turn.
const KEPT: usize = 4 << 10;

/// A stream whose writes wait for the end of the turn. Flushing does not send; shutting down does.
#[derive(Debug)]
pub(crate) struct Gathered<S>(Arc<Mutex<Inner<S>>>);

/// Ends turns.
#[derive(Debug)]
pub(crate) struct Outlet<S>(Arc<Mutex<Inner<S>>>);

#[derive(Debug)]
struct Inner<S> {
    stream: S,
    waiting: BytesMut,
}

impl<S> Gathered<S> {
    pub(crate) fn new(stream: S) -> (Self, Outlet<S>) {
        let inner = Arc::new(Mutex::new(Inner {
            stream,
            waiting: BytesMut::new(),
        }));
        (Self(Arc::clone(&inner)), Outlet(inner))
    }
}

impl<S: AsyncWrite + Unpin> Outlet<S> {
    /// Sends what waits. Whoever has ended a turn and is left pending has to come again when it is woken.
    pub(crate) fn poll_out(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut inner = self.0.lock();
        if inner.waiting.is_empty() {
            return Poll::Ready(Ok(()));
        }
        inner.poll_empty(context)
    }
}

impl<S: AsyncWrite + Unpin> Inner<S> {
    fn poll_empty(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.waiting.is_empty() {
            let stream = Pin::new(&mut self.stream);
            let written = ready!(stream.poll_write(context, &self.waiting))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.waiting.advance(written);
        }
        self.waiting.clear();
        if self.waiting.capacity() > KEPT {
            self.waiting = BytesMut::new();
        }
        Pin::new(&mut self.stream).poll_flush(context)
    }

    /// Whether so many bytes may wait, too; makes room for them otherwise.
    fn poll_room(&mut self, context: &mut Context<'_>, bytes: usize) -> Poll<io::Result<bool>> {
        if self.waiting.len() + bytes > ROOM {
            ready!(self.poll_empty(context))?;
        }
        Poll::Ready(Ok(bytes <= ROOM))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Gathered<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0.lock().stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Gathered<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut inner = self.0.lock();
        if !ready!(inner.poll_room(context, bytes.len()))? {
            return Pin::new(&mut inner.stream).poll_write(context, bytes);
        }
        inner.waiting.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut inner = self.0.lock();
        let bytes = slices.iter().map(|slice| slice.len()).sum();
        if !ready!(inner.poll_room(context, bytes))? {
            return Pin::new(&mut inner.stream).poll_write_vectored(context, slices);
        }
        for slice in slices {
            inner.waiting.extend_from_slice(slice);
        }
        Poll::Ready(Ok(bytes))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut inner = self.0.lock();
        ready!(inner.poll_empty(context))?;
        Pin::new(&mut inner.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    /// A stream that counts its writes.
    #[derive(Default)]
    struct Counted {
        writes: Vec<usize>,
    }

    impl AsyncWrite for Counted {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            self.writes.push(bytes.len());
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn parts_of_a_turn_leave_in_one_write_and_large_ones_alone() {
        let (mut stream, outlet) = Gathered::new(Counted::default());
        for part in [&b"head"[..], b"message", b"status"] {
            stream.write_all(part).await.unwrap();
            stream.flush().await.unwrap();
        }
        assert!(outlet.0.lock().stream.writes.is_empty());
        poll_fn(|context| outlet.poll_out(context)).await.unwrap();
        assert_eq!(outlet.0.lock().stream.writes, [17]);
        stream.write_all(b"head").await.unwrap();
        stream.write_all(&[7; ROOM + 1]).await.unwrap();
        stream.write_all(b"status").await.unwrap();
        stream.shutdown().await.unwrap();
        assert_eq!(outlet.0.lock().stream.writes, [17, 4, ROOM + 1, 6]);
    }

    #[tokio::test]
    async fn who_does_not_read_holds_the_writer_back_and_loses_nothing() {
        let (ours, mut theirs) = duplex(100);
        let (mut stream, outlet) = Gathered::new(ours);
        let sent: Vec<u8> = (0..200_000_u32).map(|n| n.to_le_bytes()[0]).collect();
        let write = async {
            for part in sent.chunks(777) {
                stream.write_all(part).await.unwrap();
                assert!(outlet.0.lock().waiting.len() <= ROOM);
            }
            poll_fn(|context| outlet.poll_out(context)).await.unwrap();
            stream.shutdown().await.unwrap();
        };
        let mut received = Vec::new();
        let (_, read) = tokio::join!(write, theirs.read_to_end(&mut received));
        read.unwrap();
        assert!(received == sent);
        assert!(outlet.0.lock().waiting.capacity() <= KEPT);
    }
}
