//! One question over HTTP, whose failure is an answer too.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Longer than any deadline of the cluster.
const PATIENCE: Duration = Duration::from_secs(15);

/// Status and body of an answer.
pub(crate) fn ask(port: u16, head: &str, body: &str) -> io::Result<(u16, String)> {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let mut connection = TcpStream::connect_timeout(&address, PATIENCE)?;
    connection.set_read_timeout(Some(PATIENCE))?;
    let request = format!(
        "{head} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    connection.write_all(request.as_bytes())?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer)?;
    let cut = || io::Error::new(io::ErrorKind::UnexpectedEof, "the answer ends in its head");
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(cut)?;
    let status = head.split(' ').nth(1).and_then(|text| text.parse().ok());
    Ok((status.ok_or_else(cut)?, body.to_owned()))
}

/// Whether a role says that it takes calls and is registered.
pub(crate) fn is_ready(port: u16) -> bool {
    ask(port, "GET /readyz", "").is_ok_and(|(status, _)| status == 200)
}
