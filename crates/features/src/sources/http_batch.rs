//! `http`: one POST for all keys of a call. `{"ids":["k1","k2"]}` is answered by `{"data":{"k1":{…features…},"k2":null}}`,
//! with HTTP 200 and, if there is a `code`, 0 or 200 in it. A key that is left out or null is unknown.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use fate_domain::members::Members;

use super::columns::{self, Answer, ColumnMapping};
use super::gate::Remote;
use crate::feature_service::FeatureService;
use crate::{BoxFuture, Settings, TlsSettings};

/// Most bytes of an answer.
const MAX_ANSWER_BYTES: usize = 64 << 20;

#[derive(Debug)]
pub(crate) struct HttpBatch {
    service: FeatureService,
    columns: ColumnMapping,
}

impl HttpBatch {
    /// Opens no connection.
    pub(crate) fn new(
        url: &str,
        tls: &TlsSettings,
        columns: &ColumnMapping,
        timeout: Duration,
        pool: usize,
    ) -> Result<Self, String> {
        // The gate's limit is the one that counts; these only must not come before it.
        let timeout = timeout.saturating_mul(2);
        let settings = Settings {
            http_connect_timeout: timeout,
            http_connect_request_timeout: timeout,
            http_socket_timeout: timeout,
            http_max_calls: pool,
            max_response_bytes: MAX_ANSWER_BYTES,
            http_tls: tls.clone(),
            ..Settings::default()
        };
        Ok(Self {
            service: FeatureService::at(url, "url", &settings)?,
            columns: columns.clone(),
        })
    }

    async fn ask(&self, keys: &[Arc<str>]) -> Result<Vec<Answer>, String> {
        let ids: Vec<&str> = keys.iter().map(|key| &**key).collect();
        let question = serde_json::json!({ "ids": ids }).to_string();
        let answer = self
            .service
            .ask(&question)
            .await
            .map_err(|fault| fault.message)?;
        if answer.status != hyper::StatusCode::OK {
            return Err(format!("HTTP {}", answer.status));
        }
        let text = std::str::from_utf8(&answer.body)
            .map_err(|_| "the answer is not UTF-8 text".to_owned())?;
        let no_object = |what: &str, cause| format!("{what} is not a JSON object: {cause}");
        let whole = Members::whole(text).map_err(|cause| no_object("the answer", cause))?;
        if let Some(code) = whole.get("code")
            && !matches!(code, "0" | "200" | "null")
        {
            let code: String = code.chars().take(20).collect();
            return Err(format!("the answer has the code {code}"));
        }
        let data = whole.get("data").ok_or("the answer has no data")?;
        let data = Members::whole(data).map_err(|cause| no_object("data", cause))?;
        let rows: HashMap<&str, &str> = data.iter().collect();
        let answer = |key: &Arc<str>| match rows.get(&**key).copied() {
            None | Some("null") => Answer::Nothing,
            Some(row) => columns::of_json(row.as_bytes(), &self.columns),
        };
        Ok(keys.iter().map(answer).collect())
    }
}

impl Remote for HttpBatch {
    fn read<'a>(&'a self, keys: &'a [Arc<str>]) -> BoxFuture<'a, Result<Vec<Answer>, String>> {
        Box::pin(self.ask(keys))
    }
}
