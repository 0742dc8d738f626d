//! `fate-serving infer`: one request from a file to a running guest.

use std::collections::BTreeMap;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use fate_server::config::Address;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::client::{Call, GrpcClient, HttpClient};
use crate::exit::{Exit, Failure};
use crate::runtime;
use crate::stdout;

/// Send one request to a guest and show the answer.
///
/// Ends with 0 when the answer's retcode is 0, with 1 for any other answer or none, with 2 when the file is no
/// JSON object.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The guest: its gRPC port, or with --http its HTTP port
    #[arg(long, value_name = "HOST:PORT")]
    address: Address,
    /// The service id that the model is bound to; replaces the file's serviceId
    #[arg(long, value_name = "ID")]
    service_id: String,
    /// The request as JSON: featureData and sendToRemoteFeatureData, or with --batch batchDataList; - reads stdin
    #[arg(short, long, value_name = "FILE")]
    file: PathBuf,
    /// Send it as a batch
    #[arg(long)]
    batch: bool,
    /// Use HTTP (/v1/inference, /v1/batchInference) instead of gRPC
    #[arg(long)]
    http: bool,
    /// Show the answer byte for byte instead of indented
    #[arg(long)]
    raw: bool,
    /// Milliseconds for connecting and for the answer, each
    #[arg(long, value_name = "MS", default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..=3_600_000))]
    timeout_ms: u64,
}

#[derive(Deserialize)]
struct Outcome {
    retcode: i64,
}

pub(crate) fn run(args: Args) -> Result<Exit, Failure> {
    let body = request(&args)?;
    let is_raw = args.raw;
    let answer = runtime::run(send(args, body)).context("cannot start the runtime")??;
    let text = if is_raw {
        String::from_utf8_lossy(&answer).into_owned()
    } else {
        indented(&answer)
    };
    stdout::print(&text).context("stdout")?;
    let outcome: Outcome = serde_json::from_slice(&answer)
        .context("the answer has no retcode, it is not an inference's")?;
    Ok(if outcome.retcode == 0 {
        Exit::Success
    } else {
        Exit::Failed
    })
}

/// The file's members as they are spelled, with the service id.
fn request(args: &Args) -> Result<Bytes, Failure> {
    let path = &args.file;
    let text = read(path)
        .map_err(|cause| Failure::usage(format!("cannot read {}: {cause}", path.display())))?;
    let mut members: BTreeMap<String, Box<RawValue>> =
        serde_json::from_slice(&text).map_err(|cause| {
            Failure::usage(format!("{}: not a JSON object: {cause}", path.display()))
        })?;
    if members.contains_key("body") && !members.contains_key("featureData") {
        return Err(Failure::usage(format!(
            "{}: this is the form of /federation/v1/inference; send the members of its body: featureData, sendToRemoteFeatureData, batchDataList",
            path.display()
        )));
    }
    let is_single = ["featureData", "sendToRemoteFeatureData"];
    let is_single = is_single.iter().any(|name| members.contains_key(*name));
    if !args.batch && !is_single && members.contains_key("batchDataList") {
        return Err(Failure::usage(format!(
            "{}: this is a batch; send it with --batch",
            path.display()
        )));
    }
    let service_id = serde_json::value::to_raw_value(&args.service_id).context("service id")?;
    members.insert("serviceId".to_owned(), service_id);
    Ok(serde_json::to_vec(&members).context("request")?.into())
}

/// Twice what a server reads unless told otherwise.
const MAX_REQUEST_BYTES: u64 = 64 << 20;

fn read(path: &Path) -> io::Result<Vec<u8>> {
    if path == Path::new("-") {
        return read_bounded(io::stdin().lock());
    }
    // Before it is opened: opening a pipe waits for its writer.
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    read_bounded(std::fs::File::open(path)?)
}

fn read_bounded(source: impl io::Read) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    source.take(MAX_REQUEST_BYTES + 1).read_to_end(&mut text)?;
    if text.len() as u64 > MAX_REQUEST_BYTES {
        let cause = format!("it is larger than {MAX_REQUEST_BYTES} bytes");
        return Err(io::Error::other(cause));
    }
    Ok(text)
}

async fn send(args: Args, body: Bytes) -> anyhow::Result<Bytes> {
    let timeout = Duration::from_millis(args.timeout_ms);
    let call = if args.batch {
        Call::Batch
    } else {
        Call::Single
    };
    if args.http {
        return HttpClient::new(args.address, timeout)
            .call(call, body)
            .await;
    }
    let mut client = GrpcClient::connect(&args.address, timeout).await?;
    client.call(call, body).await
}

/// What is no JSON is shown as it came, but may not control the terminal.
fn indented(answer: &[u8]) -> String {
    match serde_json::from_slice::<Value>(answer) {
        Ok(json) => format!("{json:#}\n"),
        Err(_) => format!("{}\n", stdout::plain(&String::from_utf8_lossy(answer))),
    }
}
