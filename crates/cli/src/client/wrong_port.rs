//! A gRPC call that ended at an HTTP port: libraries say so in words of their own, and never that it is the wrong port.

use std::time::Duration;

use fate_server::config::Address;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tonic::{Code, Status};

/// For finding out.
const PATIENCE: Duration = Duration::from_secs(2);
const REQUEST: &[u8] = b"GET /livez HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";

/// A failed call's text; it names the mix-up if there is HTTP at the address.
pub(crate) async fn failure(address: &Address, status: &Status) -> String {
    let text = format!("gRPC {:?}: {}", status.code(), status.message());
    let may_be_mixed_up = matches!(
        status.code(),
        Code::Unknown | Code::Internal | Code::Unavailable | Code::Cancelled
    );
    if may_be_mixed_up && is_http(address).await {
        return format!(
            "{address} is an HTTP port; this needs the gRPC port (port in a server's properties, 8000 if not set)"
        );
    }
    text
}

/// Whether HTTP/1 is spoken there; a gRPC port of this kind of server says in HTTP/1 that it is none.
async fn is_http(address: &Address) -> bool {
    let asked = async {
        let mut connection = TcpStream::connect((address.host.as_str(), address.port)).await?;
        connection.write_all(REQUEST).await?;
        let mut answer = Vec::new();
        connection.take(1 << 10).read_to_end(&mut answer).await?;
        std::io::Result::Ok(answer)
    };
    match tokio::time::timeout(PATIENCE, asked).await {
        Ok(Ok(answer)) => {
            let answer = String::from_utf8_lossy(&answer);
            answer.starts_with("HTTP/1.") && !answer.contains("this port speaks gRPC")
        }
        _ => false,
    }
}
