//! `fate-serving doctor`: what a node will need, tried before it starts or while it runs.

use std::path::PathBuf;

use anyhow::Context as _;
use fate_edge::doctor::{Finding, Verdict};
use serde_json::json;

use crate::exit::{Exit, Failure};
use crate::runtime;
use crate::stdout::{self, plain};

/// Try everything that a node's configuration asks for: ZooKeeper with its login, FATE-Flow, the proxy, other parties, Redis,
/// clocks, certificates, the disk.
///
/// One line for each thing: ok, warn or FAIL. Nothing is started, registered or changed. The exit code is 1 when something
/// fails, 2 when a configuration cannot be read.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A server's properties
    #[arg(long, value_name = "FILE", required_unless_present = "proxy_config")]
    config: Option<PathBuf>,
    /// A proxy's properties
    #[arg(long, value_name = "FILE")]
    proxy_config: Option<PathBuf>,
    /// How to say it
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Output {
    Text,
    Json,
}

pub(crate) fn run(args: &Args) -> Result<Exit, Failure> {
    let server = args.config.as_deref().map(fate_server::Config::from_file);
    let server = server.transpose().map_err(Failure::usage)?;
    let proxy = args
        .proxy_config
        .as_deref()
        .map(fate_proxy::Config::from_file);
    let proxy = proxy.transpose().map_err(Failure::usage)?;
    let findings = runtime::run(async {
        let mut findings = Vec::new();
        if let Some(config) = &server {
            findings.extend(fate_server::examine(config).await);
        }
        if let Some(config) = &proxy {
            findings.extend(fate_proxy::examine(config).await);
        }
        findings
    })
    .context("cannot start the runtime")?;
    stdout::print(&said(&findings, args.output)).context("stdout")?;
    let has_failed = findings.iter().any(|one| one.verdict == Verdict::Fail);
    Ok(if has_failed {
        Exit::Failed
    } else {
        Exit::Success
    })
}

fn said(findings: &[Finding], output: Output) -> String {
    match output {
        // Texts of others may not control the terminal.
        Output::Text => findings
            .iter()
            .map(|finding| format!("{}\n", plain(&finding.to_string())))
            .collect(),
        Output::Json => format!("{:#}\n", json!({"findings": findings})),
    }
}
