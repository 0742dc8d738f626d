//! What a caller hears who speaks HTTP/1 to a gRPC port, or HTTP/2 to an HTTP port: which port is meant, in its own
//! language, instead of a connection that closes without a word.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

const NOT_HTTP: &str = "this port speaks gRPC; HTTP is at the port that server.port names\n";
const NOT_GRPC: &str = "this port speaks HTTP/1.1; gRPC is at another port (port, or proxy.grpc.intra.port, in the properties)";

/// The first bytes of HTTP/2 with prior knowledge, as far as no HTTP/1 request begins with them.
const PREFACE: &[u8] = b"PRI * HTTP/2.0";
const METHODS: [&[u8]; 6] = [
    b"GET ",
    b"POST ",
    b"PUT ",
    b"HEAD ",
    b"DELETE ",
    b"OPTIONS ",
];

/// For saying it, and for what the caller still sends: a connection that is closed before may lose what it was told.
const PATIENCE: Duration = Duration::from_secs(2);
const MAX_UNREAD_BYTES: u64 = 1 << 20;

/// HTTP/2's error HTTP_1_1_REQUIRED.
const HTTP_1_1_REQUIRED: u32 = 0xd;

/// Whether these first bytes are of an HTTP/1 request.
pub(crate) fn is_http1(first: &[u8]) -> bool {
    METHODS.iter().any(|method| first.starts_with(method))
}

/// Whether a new connection begins with HTTP/2's preface; nothing is taken from it.
pub(crate) async fn is_http2(connection: &TcpStream) -> bool {
    let mut first = [0; PREFACE.len()];
    // A preface comes in one piece; whoever sends it in pieces is not told.
    matches!(connection.peek(&mut first).await, Ok(read) if first[..read] == *PREFACE)
}

/// Answers an HTTP/1 request at a gRPC port.
pub(crate) async fn tell_http1<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S) {
    let answer = format!(
        "HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{NOT_HTTP}",
        NOT_HTTP.len()
    );
    say(stream, answer.as_bytes()).await;
}

/// Answers HTTP/2 at an HTTP port: no settings, and a farewell with a reason.
pub(crate) async fn tell_http2<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S) {
    say(stream, &farewell()).await;
}

/// SETTINGS and GOAWAY.
fn farewell() -> Vec<u8> {
    const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    let length = u32::try_from(8 + NOT_GRPC.len()).unwrap_or(8);
    let mut frames = SETTINGS.to_vec();
    frames.extend_from_slice(&length.to_be_bytes()[1..]);
    // GOAWAY, no flags, stream 0; the last stream that was served is 0.
    frames.extend_from_slice(&[7, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    frames.extend_from_slice(&HTTP_1_1_REQUIRED.to_be_bytes());
    frames.extend_from_slice(NOT_GRPC.as_bytes());
    frames
}

async fn say<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, words: &[u8]) {
    let said = async {
        stream.write_all(words).await?;
        stream.shutdown().await?;
        let mut unread = stream.take(MAX_UNREAD_BYTES);
        tokio::io::copy(&mut unread, &mut tokio::io::sink()).await?;
        io::Result::Ok(())
    };
    // Whoever does not listen is not told.
    let _ = timeout(PATIENCE, said).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_bytes_tell_the_language() {
        assert!(is_http1(b"POST /federation/v1/infe"));
        assert!(is_http1(b"GET /readyz HTTP/1.1\r\nHo"));
        for other in [
            &b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..],
            b"\x16\x03\x01",
            b"GETTING",
            b"",
        ] {
            assert!(!is_http1(other), "{other:?}");
        }
    }

    #[test]
    fn a_farewell_is_two_whole_frames() {
        let frames = farewell();
        let length = usize::from(frames[10]) << 8 | usize::from(frames[11]);
        assert_eq!(frames.len(), 9 + 9 + length);
        assert_eq!((frames[9], frames[12]), (0, 7));
        assert_eq!(frames[22..26], HTTP_1_1_REQUIRED.to_be_bytes());
        assert_eq!(&frames[26..], NOT_GRPC.as_bytes());
    }

    #[tokio::test]
    async fn a_request_is_answered_before_the_connection_closes() {
        let (mut caller, mut port) = tokio::io::duplex(4096);
        let told = tokio::spawn(async move { tell_http1(&mut port).await });
        caller.write_all(b"POST / HTTP/1.1\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        caller.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
        assert!(answer.ends_with(NOT_HTTP), "{answer}");
        drop(caller);
        told.await.unwrap();
    }
}
