//! The parts of `checkHealthService` that every role has (contract 01 §7.5, 04 A.9).

use std::time::Duration;

use serde::Serialize;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::process::{MachineMemory, machine_memory};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const MEMORY_LIMIT: f64 = 0.8;

/// The answer: `{"records":[{"checkItemName","msg","healthCheckStatus"}]}`.
#[derive(Debug, Serialize)]
pub struct Report {
    /// In the order they are shown.
    pub records: Vec<Record>,
}

/// One thing that was looked at.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// Its name, as the admin pages know it.
    pub check_item_name: &'static str,
    /// What was found.
    pub msg: String,
    /// How bad it is.
    pub health_check_status: Status,
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// As it should be.
    Ok,
    /// Worth a look.
    Warn,
    /// Something does not work.
    Error,
}

/// The machine's memory, where the system tells.
pub fn memory() -> Option<Record> {
    machine_memory().map(memory_record)
}

fn memory_record(memory: MachineMemory) -> Record {
    let used = memory.used_fraction();
    let (msg, status) = if used > MEMORY_LIMIT {
        (format!(" usage:{:.2}%", used * 100.0), Status::Error)
    } else {
        (format!("usage:{:.2}%", used * 100.0), Status::Ok)
    };
    Record {
        check_item_name: "check memory usage",
        msg,
        health_check_status: status,
    }
}

/// Whether the host of an `http(s)` address takes connections; the text says why not.
pub async fn connect(url: &str) -> Result<(), String> {
    let (host, port) = endpoint_of(url).ok_or_else(|| "the url names no host".to_owned())?;
    match timeout(CONNECT_TIMEOUT, TcpStream::connect((host.as_str(), port))).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(format!("{host}:{port}: {error}")),
        Err(_) => Err(format!("{host}:{port}: no answer within 5 s")),
    }
}

fn endpoint_of(url: &str) -> Option<(String, u16)> {
    let uri: http::Uri = url.parse().ok()?;
    let host = uri.host()?.trim_matches(['[', ']']).to_owned();
    let default = if uri.scheme_str() == Some("https") {
        443
    } else {
        80
    };
    Some((host, uri.port_u16().unwrap_or(default)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_of_urls() {
        let cases = [
            (
                "http://127.0.0.1:9380/v1/model/transfer",
                Some(("127.0.0.1", 9380)),
            ),
            ("http://flow/x", Some(("flow", 80))),
            ("https://flow/x", Some(("flow", 443))),
            ("http://[::1]:9380/x", Some(("::1", 9380))),
            ("/x", None),
        ];
        for (url, expected) in cases {
            let expected = expected.map(|(host, port): (&str, u16)| (host.to_owned(), port));
            assert_eq!(endpoint_of(url), expected, "{url}");
        }
    }

    #[test]
    fn the_report_has_the_java_shape() {
        let report = Report {
            records: vec![Record {
                check_item_name: "check model loaded",
                msg: "model is not loaded".to_owned(),
                health_check_status: Status::Warn,
            }],
        };
        assert_eq!(
            serde_json::to_string(&report).unwrap(),
            r#"{"records":[{"checkItemName":"check model loaded","msg":"model is not loaded","healthCheckStatus":"warn"}]}"#
        );
    }
}
