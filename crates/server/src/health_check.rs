//! `checkHealthService`: what an operator's self check asks (contract 01 §7.5).

use std::time::Duration;

use serde::Serialize;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::config::Config;
use crate::process::{MachineMemory, machine_memory};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const MEMORY_LIMIT: f64 = 0.8;

#[derive(Debug, Serialize)]
pub(crate) struct Report {
    records: Vec<Record>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    check_item_name: &'static str,
    msg: String,
    health_check_status: Status,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    Ok,
    Warn,
    Error,
}

/// Checks memory, FATE-Flow and models.
pub(crate) async fn check(config: &Config, has_models: bool) -> Report {
    let mut records: Vec<Record> = machine_memory().map(memory_record).into_iter().collect();
    if let Some(url) = &config.transfer_url {
        records.push(fate_flow_record(url).await);
    }
    records.push(model_record(has_models));
    Report { records }
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

async fn fate_flow_record(url: &str) -> Record {
    let (msg, status) = match connect(url).await {
        Ok(()) => ("default fateflow url is ok".to_owned(), Status::Ok),
        Err(cause) => (
            format!("default fateflow url can not be connected: {cause}"),
            Status::Warn,
        ),
    };
    Record {
        check_item_name: "check default fateflow config",
        msg,
        health_check_status: status,
    }
}

async fn connect(url: &str) -> Result<(), String> {
    let (host, port) = endpoint_of(url).ok_or_else(|| "the url names no host".to_owned())?;
    match timeout(CONNECT_TIMEOUT, TcpStream::connect((host.as_str(), port))).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(format!("{host}:{port}: {error}")),
        Err(_) => Err(format!("{host}:{port}: no answer within 5 s")),
    }
}

fn endpoint_of(url: &str) -> Option<(String, u16)> {
    let uri: axum::http::Uri = url.parse().ok()?;
    let host = uri.host()?.trim_matches(['[', ']']).to_owned();
    let default = if uri.scheme_str() == Some("https") {
        443
    } else {
        80
    };
    Some((host, uri.port_u16().unwrap_or(default)))
}

fn model_record(has_models: bool) -> Record {
    let (msg, status) = if has_models {
        ("model is loaded", Status::Ok)
    } else {
        ("model is not loaded", Status::Warn)
    };
    Record {
        check_item_name: "check model loaded",
        msg: msg.to_owned(),
        health_check_status: status,
    }
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

    #[tokio::test]
    async fn an_unreachable_fate_flow_is_a_warning_not_a_failure() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!(
            "http://{}/v1/model/transfer",
            listener.local_addr().unwrap()
        );
        assert_eq!(fate_flow_record(&url).await.health_check_status, Status::Ok);
        drop(listener);
        assert_eq!(
            fate_flow_record(&url).await.health_check_status,
            Status::Warn
        );
    }

    #[test]
    fn the_report_has_the_java_shape() {
        let report = Report {
            records: vec![model_record(false)],
        };
        assert_eq!(
            serde_json::to_string(&report).unwrap(),
            r#"{"records":[{"checkItemName":"check model loaded","msg":"model is not loaded","healthCheckStatus":"warn"}]}"#
        );
    }
}
