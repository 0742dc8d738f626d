//! Where the buffers of a model come from (contract 01 §3.7): FATE-Flow's transfer endpoint, an archive, a cache file.

pub(crate) mod archive;
pub(crate) mod buffers_json;
pub(crate) mod discovery;
pub(crate) mod flow_transfer;
pub(crate) mod folder;
pub(crate) mod import_path;
pub(crate) mod offline;
mod tls;
pub(crate) mod url_policy;

use std::path::Path;

use fate_domain::fault::Fault;
use fate_domain::model_key::ModelKey;
use fate_domain::return_code::ReturnCode;
use fate_inference::Buffers;
use fate_proto::model::PublishRequest;

use crate::settings::Settings;
use url_policy::{TransferUrl, UrlPolicy};

/// The start of every 123 answer for a model whose buffers could not be had; users and scripts know this text.
const NO_DATA: &str = "model initialization error, please check if the model exists and the configuration of the \
                       FATEFLOW load model process is correct.";

/// The source a load request names.
#[derive(Debug, Clone)]
pub(crate) enum Source {
    /// FATE-Flow; the error says why there is nobody to ask.
    Transfer(Result<TransferUrl, String>),
    /// A FATE-Flow archive on this machine.
    Archive(String),
    /// A cache file on this machine.
    CacheFile(String),
}

/// Why there are no buffers.
#[derive(Debug)]
pub(crate) enum FetchError {
    /// The transfer failed: a stored copy may stand in.
    Transfer(String),
    /// The answer to the caller.
    Fault(Fault),
}

impl Source {
    /// Contract 01 §3.3 step 5 and §3.7; refuses what the operator does not allow. `known` are FATE-Flow's registered
    /// addresses.
    pub(crate) fn choose(
        request: &PublishRequest,
        key: &ModelKey,
        known: &[String],
        settings: &Settings,
        policy: &UrlPolicy,
    ) -> Result<Source, Fault> {
        match request.load_type.as_str() {
            "" | "FATEFLOW" => Ok(Source::Transfer(transfer_url(
                request, key, known, settings, policy,
            )?)),
            "FILE" => Ok(Source::Archive(request.file_path.clone())),
            "CACHE" => Ok(Source::CacheFile(request.file_path.clone())),
            other => Err(Fault::new(
                ReturnCode::SYSTEM,
                format!(
                    "No enum constant com.webank.ai.fate.serving.model.ModelLoader.LoadModelType.{other}"
                ),
            )),
        }
    }

    /// `host:port` of the transfer endpoint.
    pub(crate) fn address(&self) -> Option<String> {
        match self {
            Source::Transfer(Ok(url)) => Some(url.address().to_owned()),
            _ => None,
        }
    }

    pub(crate) async fn fetch(
        self,
        key: &ModelKey,
        settings: &Settings,
    ) -> Result<Buffers, FetchError> {
        let max_bytes = settings.max_model_bytes;
        match self {
            Source::Transfer(Err(cause)) => Err(FetchError::Transfer(cause)),
            Source::Transfer(Ok(url)) => {
                let answer = flow_transfer::post(
                    &url,
                    key,
                    settings.transfer_ca.as_deref(),
                    settings.transfer_timeout,
                    max_bytes,
                )
                .await
                .map_err(FetchError::Transfer)?;
                blocking(move || answer.buffers(max_bytes).map_err(FetchError::Transfer)).await
            }
            Source::Archive(path) => {
                let folders = settings.import_path.clone();
                blocking(move || {
                    let path = import_path::resolve(&path, &folders, "model file")
                        .map_err(FetchError::Fault)?;
                    archive::read(&path, max_bytes)
                        .map_err(|cause| FetchError::Fault(no_data(&cause)))
                })
                .await
            }
            Source::CacheFile(path) => {
                let folders = settings.import_path.clone();
                blocking(move || {
                    let path = import_path::resolve(&path, &folders, "model cache file ")
                        .map_err(FetchError::Fault)?;
                    read_cache_file(&path, max_bytes)
                        .map_err(|cause| FetchError::Fault(no_data(&cause)))
                })
                .await
            }
        }
    }
}

/// 123 with the known text and the cause.
pub(crate) fn no_data(cause: &str) -> Fault {
    Fault::new(ReturnCode::MODEL_INIT, format!("{NO_DATA} Cause: {cause}"))
}

/// A cache file of the Java server: one JSON object of Base64 texts (contract 01 §3.9).
pub(crate) fn read_cache_file(path: &Path, max_bytes: u64) -> Result<Buffers, String> {
    let bytes = import_path::read_bounded(path, buffers_json::max_text_bytes(max_bytes))?;
    buffers_json::parse(&bytes, max_bytes)
        .map_err(|cause| format!("cache file {}: {cause}", path.display()))
}

fn transfer_url(
    request: &PublishRequest,
    key: &ModelKey,
    known: &[String],
    settings: &Settings,
    policy: &UrlPolicy,
) -> Result<Result<TransferUrl, String>, Fault> {
    if !request.file_path.trim().is_empty() {
        let url = url_policy::decode_form(&request.file_path)
            .and_then(|text| TransferUrl::parse(&text))
            .and_then(|url| policy.admit(url, key))
            .map_err(|cause| no_data(&format!("filePath {:?}: {cause}", request.file_path)))?;
        return Ok(Ok(url));
    }
    let in_registry = match discovery::choose(known, key, policy) {
        Ok(url) => return Ok(Ok(url)),
        Err(cause) => cause,
    };
    match settings.transfer_url.as_deref().map(str::trim) {
        // The operator's own address needs no allow-list, but it must not name another model either.
        Some(text) if !text.is_empty() => Ok(TransferUrl::parse(text)
            .and_then(|url| url.not_of_another_model(key))
            .map_err(|cause| format!("model.transfer.url {text:?}: {cause}"))),
        _ => Ok(Err(format!(
            "the request has no filePath, {in_registry} and model.transfer.url is not set"
        ))),
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, FetchError> + Send + 'static,
) -> Result<T, FetchError> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|cause| {
            Err(FetchError::Fault(no_data(&format!(
                "reading the model was broken off: {cause}"
            ))))
        })
}
