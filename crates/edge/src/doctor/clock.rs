//! Whether this machine's clock agrees with another one's: signatures between proxies and certificates depend on it.

use std::time::{Duration, SystemTime};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{Finding, PATIENCE, Verdict};

/// The `Date` of an answer is in whole seconds, and the answer takes its time.
const UNCERTAIN: Duration = Duration::from_secs(3);
const MUCH: Duration = Duration::from_secs(30);
const MAX_HEAD: usize = 16 << 10;

/// Asks an HTTP server what time it is; `None` when it does not tell.
pub async fn clock(url: &str) -> Option<Finding> {
    let told = timeout(PATIENCE, date(url)).await.ok()??;
    Some(judged(url, told, SystemTime::now()))
}

fn judged(url: &str, told: SystemTime, now: SystemTime) -> Finding {
    let (apart, direction) = match now.duration_since(told) {
        Ok(ahead) => (ahead, "ahead of"),
        Err(behind) => (behind.duration(), "behind"),
    };
    if apart <= UNCERTAIN {
        return Finding::new(Verdict::Ok, "clock", format!("agrees with that of {url}"));
    }
    let verdict = if apart > MUCH {
        Verdict::Fail
    } else {
        Verdict::Warn
    };
    let text = format!("{} s {direction} that of {url}", apart.as_secs());
    Finding::new(verdict, "clock", text)
}

async fn date(url: &str) -> Option<SystemTime> {
    let uri: http::Uri = url.parse().ok()?;
    let host = uri.host()?;
    (uri.scheme_str() == Some("http")).then_some(())?;
    let address = (host.trim_matches(['[', ']']), uri.port_u16().unwrap_or(80));
    let mut stream = TcpStream::connect(address).await.ok()?;
    let request = format!("HEAD / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut head = Vec::new();
    let mut limited = stream.take(MAX_HEAD as u64);
    limited.read_to_end(&mut head).await.ok()?;
    let head = String::from_utf8_lossy(&head);
    let mut lines = head.lines().take_while(|line| !line.is_empty());
    lines.find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("date").then_some(())?;
        httpdate::parse_http_date(value.trim()).ok()
    })
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn clocks_apart() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let cases = [
            (0, Verdict::Ok, "agrees with that of u"),
            (-3, Verdict::Ok, "agrees with that of u"),
            (-20, Verdict::Warn, "20 s ahead of that of u"),
            (40, Verdict::Fail, "40 s behind that of u"),
        ];
        for (told, verdict, text) in cases {
            let told = SystemTime::UNIX_EPOCH
                + Duration::from_secs(1_700_000_000u64.saturating_add_signed(told));
            let found = judged("u", told, now);
            assert_eq!((found.verdict, found.text.as_str()), (verdict, text));
        }
    }

    #[tokio::test]
    async fn a_server_tells_the_time_or_does_not() {
        for (answer, is_told) in [
            (
                "HTTP/1.1 404 Not Found\r\ndate: Tue, 15 Nov 1994 08:12:31 GMT\r\n\r\n",
                true,
            ),
            (
                "HTTP/1.1 200 OK\r\n\r\nDate: Tue, 15 Nov 1994 08:12:31 GMT\r\n",
                false,
            ),
            ("nonsense", false),
        ] {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let url = format!("http://{}/x", listener.local_addr().unwrap());
            let server = async {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut asked = [0; 256];
                let _ = stream.read(&mut asked).await.unwrap();
                stream.write_all(answer.as_bytes()).await.unwrap();
            };
            let ((), found) = tokio::join!(server, clock(&url));
            assert_eq!(found.is_some(), is_told, "{answer}");
            if let Some(found) = found {
                assert_eq!(found.verdict, Verdict::Fail, "{found}");
            }
        }
    }
}
