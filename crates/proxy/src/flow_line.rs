//! The flow log in the Java proxy's columns (contract 04 A.3). The time column in front is that of the subscriber or the file.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::time::Duration;

use fate_edge::flow_log::{self, plain};

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

pub(crate) fn write(line: &FlowLine<'_>, out: &mut String) {
    match line.source {
        // Writing to a string cannot fail.
        Some(ip) => drop(write!(out, "{ip}")),
        None => out.push_str("null"),
    }
    for column in [line.case_id, line.guest, line.host] {
        out.push('|');
        out.push_str(&plain(column));
    }
    out.push('|');
    flow_log::code(line.return_code, out);
    for duration in [line.cost, line.downstream] {
        out.push('|');
        flow_log::millis(duration, out);
    }
    for column in [
        line.service,
        &plain(line.router),
        line.input.as_deref().unwrap_or_default(),
        line.output.as_deref().unwrap_or_default(),
    ] {
        out.push('|');
        out.push_str(column);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(line: &FlowLine<'_>) -> String {
        let mut out = String::new();
        write(line, &mut out);
        out
    }

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
