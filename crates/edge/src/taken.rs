//! Peers that take nothing: what is written to them must be taken in time, else their connection is closed. Otherwise
//! whoever asks and never reads would hold answers and places for ever.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

/// Time in which a peer has to take anything of what waits to be sent. The system wakes a writer only when a good part of
/// its buffer is free, so that a trickle does not count.
const STALL: Duration = Duration::from_secs(30);
/// Time for a whole answer to be taken, once to twice.
const ANSWER: Duration = Duration::from_secs(60);

/// A connection that fails when its peer does not read.
#[derive(Debug)]
pub(crate) struct Prompt<S> {
    stream: S,
    stalled: Option<Pin<Box<Sleep>>>,
}

impl<S> Prompt<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self {
            stream,
            stalled: None,
        }
    }

    pub(crate) fn get_ref(&self) -> &S {
        &self.stream
    }

    fn in_time<T>(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let stalled = &mut self.stalled;
        let stalled = stalled.get_or_insert_with(|| Box::pin(sleep(STALL)));
        ready!(stalled.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Prompt<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Prompt<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.in_time(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.in_time(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        self.in_time(context, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.stream).poll_shutdown(context);
        self.in_time(context, shut)
    }
}

/// The answers of one HTTP/2 connection that its peer has not taken whole. A peer may read the connection and still give
/// a stream no room: then only this tells.
#[derive(Debug, Clone, Default)]
pub(crate) struct Untaken(Arc<Mutex<Generation>>);

/// Held by every answer that was begun in the same time.
type Generation = Arc<()>;

impl Untaken {
    /// An answer that is over when its body is dropped.
    pub(crate) fn begin<B>(&self, body: B) -> Answer<B> {
        Answer {
            body,
            _generation: Arc::clone(&self.0.lock()),
        }
    }
}

/// Looks from time to time at what is untaken.
#[derive(Debug)]
pub(crate) struct Watch {
    untaken: Untaken,
    before: Generation,
    turn: Pin<Box<Sleep>>,
}

impl Watch {
    pub(crate) fn new() -> Self {
        Self {
            untaken: Untaken::default(),
            before: Arc::default(),
            turn: Box::pin(sleep(ANSWER)),
        }
    }

    pub(crate) fn untaken(&self) -> &Untaken {
        &self.untaken
    }

    /// Ready when an answer has waited for too long.
    pub(crate) fn poll_stalled(&mut self, context: &mut Context<'_>) -> Poll<()> {
        loop {
            ready!(self.turn.as_mut().poll(context));
            if Arc::strong_count(&self.before) > 1 {
                return Poll::Ready(());
            }
            self.before = std::mem::take(&mut *self.untaken.0.lock());
            self.turn.as_mut().reset(Instant::now() + ANSWER);
        }
    }
}

/// The body of an answer that counts as untaken while it lives.
#[derive(Debug)]
pub(crate) struct Answer<B> {
    body: B,
    _generation: Generation,
}

impl<B: Body<Data = Bytes> + Unpin> Body for Answer<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_does_not_read_is_given_up_and_who_reads_slowly_is_not() {
        let (ours, mut theirs) = duplex(8);
        let mut prompt = Prompt::new(ours);
        let started = Instant::now();
        let slow = async {
            for _ in 0..4 {
                sleep(STALL * 2 / 3).await;
                theirs.read_exact(&mut [0; 8]).await.unwrap();
            }
        };
        let (written, ()) = tokio::join!(prompt.write_all(&[0; 40]), slow);
        written.unwrap();
        assert!(started.elapsed() > 2 * STALL);
        let stalled = prompt.write_all(&[0; 40]).await.unwrap_err();
        assert_eq!(stalled.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_is_never_taken_is_seen_and_many_quick_ones_are_not() {
        let mut watch = Watch::new();
        let untaken = watch.untaken().clone();
        let quick = async {
            for _ in 0..100 {
                let answer = untaken.begin(());
                sleep(ANSWER / 10).await;
                drop(answer);
            }
        };
        tokio::select! {
            () = quick => {}
            () = poll_fn(|context| watch.poll_stalled(context)) => panic!("none was late"),
        }
        let _never = untaken.begin(());
        let started = Instant::now();
        poll_fn(|context| watch.poll_stalled(context)).await;
        assert!(started.elapsed() >= ANSWER && started.elapsed() <= 2 * ANSWER + STALL);
    }
}
