//! `fate-serving model semantics`: another arithmetic for a model that is loaded already.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use fate_domain::model_key::ModelKey;
use fate_inference::Semantics;
use fate_model::{ChangeError, Error};
use fate_server::config::Address;
use serde::Deserialize;
use serde_json::json;

use crate::client::HttpClient;
use crate::exit::{Exit, Failure};
use crate::runtime;
use crate::stdout::{self, plain};

/// Compiling and writing a large forest takes its time.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The environment variable, so that the token is not in the list of processes.
const ADMIN_TOKEN: &str = "FATE_ADMIN_TOKEN";

/// Give a loaded model FATE's arithmetic (fate) or that of FATE-Serving 2.1.7 (java).
///
/// A running server changes its own model with --server, from the next request on. The store of a stopped one is
/// changed with --store; while a server holds the store, that is refused. Either way the change is durable, happens
/// wholly or not at all, and a model that the other semantics cannot serve stays as it is (exit code 1).
/// A server with admin.token gets it from the environment variable FATE_ADMIN_TOKEN.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The model's namespace (FATE-Flow's party model id): role#party#model_id
    namespace: String,
    /// The model's table name (model version)
    table_name: String,
    /// fate or java
    semantics: Semantics,
    /// The HTTP port of the running server whose model it is
    #[arg(long, value_name = "HOST:PORT", conflicts_with = "store")]
    server: Option<Address>,
    /// model.cache.path of a stopped server
    #[arg(long, value_name = "DIR", default_value = ".")]
    store: PathBuf,
}

#[derive(Deserialize)]
struct Answer {
    retcode: i64,
    #[serde(default)]
    retmsg: String,
}

pub(crate) fn run(args: Args) -> Result<Exit, Failure> {
    let said = match args.server.clone() {
        Some(server) => runtime::run(ask(server, &args)).context("cannot start the runtime")??,
        None => change(&args.store, &args)?,
    };
    stdout::print(&format!("{}\n", plain(&said))).context("stdout")?;
    Ok(Exit::Success)
}

async fn ask(server: Address, args: &Args) -> anyhow::Result<String> {
    let body = json!({
        "namespace": args.namespace,
        "tableName": args.table_name,
        "semantics": args.semantics.to_string(),
    });
    let admin_token = std::env::var(ADMIN_TOKEN).ok();
    let client = HttpClient::new(server, TIMEOUT).with_admin_token(admin_token);
    let answer = client
        .post("/server/model/semantics", body.to_string().into())
        .await?;
    let answer: Answer = serde_json::from_slice(&answer).context("the answer has no retcode")?;
    anyhow::ensure!(answer.retcode == 0, "{} {}", answer.retcode, answer.retmsg);
    Ok(answer.retmsg)
}

fn change(store: &Path, args: &Args) -> anyhow::Result<String> {
    let key = ModelKey::new(args.table_name.as_str(), args.namespace.as_str());
    match fate_model::set_stored_semantics(store, &key, args.semantics) {
        Ok(change) => Ok(change.to_string()),
        Err(ChangeError::Store(held @ Error::InUse { .. })) => Err(anyhow::anyhow!(
            "{held}. Is a server running there? Name its HTTP port with --server HOST:PORT, or stop it"
        )),
        Err(cause) => Err(cause.into()),
    }
}
