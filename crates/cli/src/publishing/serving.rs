//! One serving: the calls of contract 03 §5.2 and 01 §3.6 to it.

use std::time::Duration;

use anyhow::Context as _;
use fate_domain::model_key::ModelKey;
use fate_proto::model as wire;
use fate_proto::model::model_service_client::ModelServiceClient;
use fate_server::config::Address;
use serde::Deserialize;
use tonic::transport::Channel;
use tonic::{Request, Response, Status};

use crate::client;

/// A list of all models of a large node.
const MAX_ANSWER_BYTES: usize = 64 << 20;

/// A connection to a serving's `ModelService`.
#[derive(Debug, Clone)]
pub(crate) struct Serving {
    client: ModelServiceClient<Channel>,
    address: Address,
    timeout: Duration,
}

/// A serving's own word: its code (0 is success) and text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) message: String,
}

/// A model that a serving holds.
#[derive(Debug, Clone)]
pub(crate) struct Held {
    pub(crate) key: ModelKey,
    pub(crate) service_ids: Vec<String>,
    /// What the description tells, as far as the serving writes it; a Java server has no verdict.
    pub(crate) content: Content,
}

/// The part of `ModelInfoEx.content` that is shown.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Content {
    pub(crate) role: Option<String>,
    pub(crate) part_id: Option<String>,
    pub(crate) timestamp: Option<i64>,
    pub(crate) verdict: Option<Verdict>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Verdict {
    pub(crate) kind: String,
    pub(crate) semantics: String,
}

impl Serving {
    /// Connects; `timeout` holds for that and for each call.
    pub(crate) async fn connect(address: &Address, timeout: Duration) -> anyhow::Result<Serving> {
        let channel = client::channel(address, timeout).await?;
        Ok(Serving {
            client: ModelServiceClient::new(channel).max_decoding_message_size(MAX_ANSWER_BYTES),
            address: address.clone(),
            timeout,
        })
    }

    pub(crate) async fn load(&mut self, request: wire::PublishRequest) -> anyhow::Result<Said> {
        let call = self.client.publish_load(Request::new(request));
        let answer = within(&self.address, self.timeout, call)
            .await
            .context("publishLoad")?;
        Ok(published(answer))
    }

    pub(crate) async fn bind(&mut self, request: wire::PublishRequest) -> anyhow::Result<Said> {
        let call = self.client.publish_bind(Request::new(request));
        let answer = within(&self.address, self.timeout, call)
            .await
            .context("publishBind")?;
        Ok(published(answer))
    }

    pub(crate) async fn unload(&mut self, key: &ModelKey) -> anyhow::Result<Said> {
        let request = wire::UnloadRequest {
            table_name: key.table_name.clone(),
            namespace: key.namespace.clone(),
        };
        let call = self.client.unload(Request::new(request));
        let answer = within(&self.address, self.timeout, call)
            .await
            .context("unload")?;
        Ok(Said {
            code: answer.status_code,
            message: answer.message,
        })
    }

    pub(crate) async fn unbind(
        &mut self,
        key: &ModelKey,
        service_id: &str,
    ) -> anyhow::Result<Said> {
        let request = wire::UnbindRequest {
            service_ids: vec![service_id.to_owned()],
            table_name: key.table_name.clone(),
            namespace: key.namespace.clone(),
        };
        let call = self.client.unbind(Request::new(request));
        let answer = within(&self.address, self.timeout, call)
            .await
            .context("unbind")?;
        Ok(Said {
            code: answer.status_code,
            message: answer.message,
        })
    }

    /// Everything it holds, by key.
    pub(crate) async fn models(&mut self) -> anyhow::Result<Vec<Held>> {
        let call = self
            .client
            .query_model(Request::new(wire::QueryModelRequest::default()));
        let answer = within(&self.address, self.timeout, call)
            .await
            .context("queryModel")?;
        anyhow::ensure!(
            answer.retcode == 0,
            "queryModel: {} {}",
            answer.retcode,
            answer.message
        );
        let held = |info: wire::ModelInfoEx| Held {
            key: ModelKey::new(info.table_name, info.namespace),
            service_ids: info.service_ids,
            content: serde_json::from_str(&info.content).unwrap_or_default(),
        };
        let mut models: Vec<Held> = answer.model_infos.into_iter().map(held).collect();
        models.sort_by(|one, other| one.key.cmp(&other.key));
        Ok(models)
    }
}

/// FATE-Flow shows `message` and `error` together (contract 03 §5.3).
fn published(answer: wire::PublishResponse) -> Said {
    let message = [answer.message, answer.error];
    let said: Vec<String> = message
        .into_iter()
        .filter(|text| !text.is_empty())
        .collect();
    Said {
        code: answer.status_code,
        message: said.join(" "),
    }
}

async fn within<T>(
    address: &Address,
    timeout: Duration,
    call: impl Future<Output = Result<Response<T>, Status>>,
) -> anyhow::Result<T> {
    match tokio::time::timeout(timeout, call).await {
        Ok(Ok(answer)) => Ok(answer.into_inner()),
        Ok(Err(status)) => anyhow::bail!(client::failure(address, &status).await),
        Err(_) => anyhow::bail!("no answer within {} s", timeout.as_secs()),
    }
}
