//! gRPC's form of one message in an HTTP/2 body: a prefix of five bytes, then the message.
//!
//! What a proxy does not understand of a message is not lost, and what peers have signed stays byte-equal: messages
//! pass as they came. The generated code would decode and encode each once more, and tonic's codecs copy it in and out.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{BufMut as _, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue};
use http_body::{Body, Frame};
use tonic::Status;

/// A flag for compression and the length.
const PREFIX: usize = 5;
/// Up to here one chunk that is copied together is cheaper to send than two.
const SMALL: usize = 4 << 10;
/// What is reserved at once for a message whose length is only claimed.
const MAX_RESERVED: usize = 256 << 10;

/// Why a body is not the one message of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    #[error("there is no message")]
    None,
    #[error("the message breaks off")]
    BreaksOff,
    #[error("there is more than one message")]
    MoreThanOne,
    /// With its flag.
    #[error("messages are not compressed here")]
    Compressed(u8),
    #[error("the message has {length} bytes, the limit is {limit}")]
    TooLong { length: usize, limit: usize },
}

impl From<Unusable> for Status {
    fn from(cause: Unusable) -> Self {
        let text = cause.to_string();
        match cause {
            Unusable::Compressed(_) => Self::unimplemented(text),
            Unusable::TooLong { .. } => Self::out_of_range(text),
            _ => Self::internal(text),
        }
    }
}

/// A message that arrives in chunks. The one that comes in a single chunk is not copied.
#[derive(Debug)]
pub struct Assembly {
    limit: usize,
    only: Bytes,
    joined: BytesMut,
}

impl Assembly {
    /// For a message of at most `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            only: Bytes::new(),
            joined: BytesMut::new(),
        }
    }

    /// Takes the next chunk.
    ///
    /// # Errors
    /// There is more than one message, or one that is too large or compressed.
    pub fn push(&mut self, chunk: Bytes) -> Result<(), Unusable> {
        if self.only.is_empty() && self.joined.is_empty() {
            self.only = chunk;
        } else {
            if self.joined.is_empty() {
                let expected = length(&self.only).unwrap_or_default();
                self.joined.reserve(PREFIX + expected.min(MAX_RESERVED));
                self.joined.put(std::mem::take(&mut self.only));
            }
            self.joined.put(chunk);
        }
        let received = self.received();
        match received.first() {
            None | Some(0) => {}
            Some(flag) => return Err(Unusable::Compressed(*flag)),
        }
        match length(received) {
            Some(length) if length > self.limit => Err(Unusable::TooLong {
                length,
                limit: self.limit,
            }),
            Some(length) if received.len() > PREFIX + length => Err(Unusable::MoreThanOne),
            _ => Ok(()),
        }
    }

    /// The message, when the body is over.
    ///
    /// # Errors
    /// There is none, or a part of it.
    pub fn finish(self) -> Result<Bytes, Unusable> {
        let whole = if self.joined.is_empty() {
            self.only
        } else {
            self.joined.freeze()
        };
        match length(&whole) {
            Some(length) if whole.len() == PREFIX + length => Ok(whole.slice(PREFIX..)),
            _ if whole.is_empty() => Err(Unusable::None),
            _ => Err(Unusable::BreaksOff),
        }
    }

    fn received(&self) -> &[u8] {
        if self.joined.is_empty() {
            &self.only
        } else {
            &self.joined
        }
    }
}

/// What the prefix says, once it is there.
fn length(received: &[u8]) -> Option<usize> {
    let bytes = received.get(1..PREFIX)?;
    let length = u32::from_be_bytes(bytes.try_into().ok()?);
    usize::try_from(length).ok()
}

/// The chunks in which a message is sent: one, or a prefix and the message's own memory.
///
/// # Errors
/// gRPC has no length for it.
pub fn chunks(message: Bytes) -> Result<(Bytes, Option<Bytes>), Status> {
    let length = u32::try_from(message.len())
        .map_err(|_| Status::out_of_range("the message is longer than 4 GiB"))?;
    let is_small = message.len() <= SMALL;
    let mut first = BytesMut::with_capacity(PREFIX + if is_small { message.len() } else { 0 });
    first.put_u8(0);
    first.put_u32(length);
    if is_small {
        first.put(message);
        return Ok((first.freeze(), None));
    }
    Ok((first.freeze(), Some(message)))
}

/// The body of an answer: a message and the status OK behind it.
#[derive(Debug)]
pub struct Answer {
    chunks: [Option<Bytes>; 2],
    is_over: bool,
}

impl Answer {
    /// # Errors
    /// As [`chunks`].
    pub fn new(message: Bytes) -> Result<Self, Status> {
        let (first, second) = chunks(message)?;
        Ok(Self {
            chunks: [Some(first), second],
            is_over: false,
        })
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if let Some(chunk) = self.chunks.iter_mut().find_map(Option::take) {
            return Poll::Ready(Some(Ok(Frame::data(chunk))));
        }
        if std::mem::replace(&mut self.is_over, true) {
            return Poll::Ready(None);
        }
        let mut trailers = HeaderMap::with_capacity(1);
        trailers.insert(Status::GRPC_STATUS, HeaderValue::from_static("0"));
        Poll::Ready(Some(Ok(Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.is_over
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    fn assembled(limit: usize, parts: &[&[u8]]) -> Result<Bytes, String> {
        let mut assembly = Assembly::new(limit);
        let pushed = parts
            .iter()
            .try_for_each(|part| assembly.push(Bytes::copy_from_slice(part)));
        let finished = pushed.and_then(|()| assembly.finish());
        finished.map_err(|cause| cause.to_string())
    }

    #[test]
    fn a_message_may_be_cut_anywhere() {
        let whole = b"\0\0\0\0\x03abc";
        for cut in 0..=whole.len() {
            let (one, two) = whole.split_at(cut);
            assert_eq!(assembled(3, &[one, two]).unwrap(), "abc", "{cut}");
        }
        let bytes: Vec<&[u8]> = whole.chunks(1).collect();
        assert_eq!(assembled(3, &bytes).unwrap(), "abc");
        assert_eq!(assembled(3, &[b"\0\0\0\0\0"]).unwrap(), "");
    }

    #[test]
    fn a_message_in_one_chunk_is_not_copied() {
        let chunk = Bytes::from_static(b"\0\0\0\0\x03abc");
        let mut assembly = Assembly::new(3);
        assembly.push(chunk.clone()).unwrap();
        let message = assembly.finish().unwrap();
        assert_eq!(message.as_ptr(), chunk[PREFIX..].as_ptr());
        let large = Bytes::from(vec![7; SMALL + 1]);
        let (_, sent) = chunks(large.clone()).unwrap();
        assert_eq!(sent.unwrap().as_ptr(), large.as_ptr());
    }

    #[test]
    fn what_is_no_single_message_is_refused() {
        let cases: [(&[&[u8]], &str); 7] = [
            (&[], "there is no message"),
            (&[b"\0\0\0"], "the message breaks off"),
            (&[b"\0\0\0\0\x03ab"], "the message breaks off"),
            (&[b"\0\0\0\0\x03abcd"], "there is more than one message"),
            (&[b"\0\0\0\0\x01a", b"\0"], "there is more than one message"),
            (&[b"\x01\0\0\0\x01a"], "messages are not compressed here"),
            (
                &[b"\0\xff\xff\xff\xff"],
                "the message has 4294967295 bytes, the limit is 3",
            ),
        ];
        for (parts, text) in cases {
            assert_eq!(assembled(3, parts), Err(text.to_owned()), "{parts:?}");
        }
    }

    #[tokio::test]
    async fn an_answer_is_a_message_and_a_status() {
        for length in [0, 1, SMALL, SMALL + 1] {
            let message = Bytes::from(vec![b'x'; length]);
            let collected = Answer::new(message.clone())
                .unwrap()
                .collect()
                .await
                .unwrap();
            assert_eq!(collected.trailers().unwrap()["grpc-status"], "0");
            let mut assembly = Assembly::new(length);
            assembly.push(collected.to_bytes()).unwrap();
            assert_eq!(assembly.finish().unwrap(), message);
        }
    }
}
