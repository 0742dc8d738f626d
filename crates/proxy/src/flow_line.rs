//! The flow log in the Java proxy's columns (contract 04 A.3). The time column in front is that of the subscriber or the file.

use std::net::IpAddr;
use std::time::Duration;

use fate_edge::flow_log::plain;

/// One line: `sourceIp|caseId|guestAppId|hostAppId|returnCode|costMs|downstreamMs|serviceName|ip:port|input|output`.
#[derive(Debug)]
pub(crate) struct FlowLine<'a> {
    /// Who asks over HTTP; `null` over gRPC.
    pub(crate) source: Option<IpAddr>,
    pub(crate) case_id: &'a str,
    pub(crate) guest: &'a str,
    pub(crate) host: &'a str,
    pub(crate) return_code: i32,
    pub(crate) cost: Duration,
    pub(crate) downstream: Duration,
    pub(crate) service: &'a str,
    /// Where the call went; empty when it went nowhere.
    pub(crate) router: &'a str,
    /// The bodies, when the operator wants them logged.
    pub(crate) input: Option<String>,
    pub(crate) output: Option<String>,
}

pub(crate) fn text(line: &FlowLine<'_>) -> String {
    let source = line
        .source
        .map_or_else(|| "null".to_owned(), |ip| ip.to_string());
    format!(
        "{source}|{}|{}|{}|{}|{}|{}|{}|{}|{}|{}",
        plain(line.case_id),
        plain(line.guest),
        plain(line.host),
        line.return_code,
        line.cost.as_millis(),
        line.downstream.as_millis(),
        line.service,
        plain(line.router),
        line.input.as_deref().unwrap_or_default(),
        line.output.as_deref().unwrap_or_default(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_that_cannot_be_forged() {
        let mut line = FlowLine {
            source: None,
            case_id: "1700000000000",
            guest: "9999",
            host: "10000",
            return_code: 0,
            cost: Duration::from_millis(7),
            downstream: Duration::from_millis(5),
            service: "unaryCall",
            router: "127.0.0.1:8000",
            input: None,
            output: None,
        };
        assert_eq!(
            text(&line),
            "null|1700000000000|9999|10000|0|7|5|unaryCall|127.0.0.1:8000||"
        );
        line.source = Some([10, 0, 0, 1].into());
        line.guest = "9999|0|0\n";
        line.output = Some("{}".to_owned());
        assert_eq!(
            text(&line),
            "10.0.0.1|1700000000000|9999_0_0_|10000|0|7|5|unaryCall|127.0.0.1:8000||{}"
        );
    }
}
