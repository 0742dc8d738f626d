//! The rows of a set as requests.

use std::fmt::Write as _;

use anyhow::Context as _;
use bytes::Bytes;
use fate_golden::{Expected, Set};
use serde_json::{Value, json};

use crate::cluster::Service;

/// Where [`Sample::head_and_body`] goes.
pub(crate) const HTTP_PATH: &str = "/federation/v1/inference";

/// One row of the guest with FATE's prediction.
#[derive(Debug, Clone)]
pub(crate) struct Sample<'a> {
    pub(crate) id: &'a str,
    /// JSON object of the guest's features; missing cells are left out.
    pub(super) features: String,
    pub(crate) expected: &'a Expected,
}

/// The first `limit` predicted rows, by id. `numbers` sends cells as JSON numbers where the text is one.
///
/// # Errors
/// A predicted row that the guest's table has not.
pub(crate) fn samples(
    set: &Set,
    numbers: bool,
    limit: Option<usize>,
) -> anyhow::Result<Vec<Sample<'_>>> {
    let table = &set.guest().table;
    let rows = table.by_id();
    set.predictions
        .iter()
        .take(limit.unwrap_or(usize::MAX))
        .map(|(id, expected)| {
            let row = rows.get(id.as_str()).with_context(|| {
                format!("predictions.csv has the id {id:?}, the guest's features.csv has not")
            })?;
            Ok(Sample {
                id,
                features: row.json(&table.columns, numbers),
                expected,
            })
        })
        .collect()
}

impl Sample<'_> {
    /// The body of a single call over gRPC.
    pub(super) fn single(&self, service: &Service) -> Bytes {
        let service_id = json!(service.id);
        let inputs = self.inputs(&self.ids(service));
        format!(r#"{{"serviceId":{service_id},{inputs}}}"#).into()
    }

    /// The same for [`HTTP_PATH`].
    pub(crate) fn head_and_body(&self, service: &Service) -> String {
        let service_id = json!(service.id);
        let inputs = self.inputs(&self.ids(service));
        format!(r#"{{"head":{{"serviceId":{service_id}}},"body":{{{inputs}}}}}"#)
    }

    /// What the cluster's hosts find the row by.
    fn ids(&self, service: &Service) -> Value {
        json!({ "set": service.set, "id": self.id })
    }

    /// The members of a request that are about this row.
    pub(super) fn inputs(&self, ids: &Value) -> String {
        let features = &self.features;
        format!(r#""featureData":{features},"sendToRemoteFeatureData":{ids}"#)
    }
}

/// The body of a batch; a row's index is its position.
pub(super) fn batch(service: &Service, samples: &[Sample<'_>]) -> Bytes {
    let service_id = json!(service.id);
    let mut text = format!(r#"{{"serviceId":{service_id},"batchDataList":["#);
    for (index, sample) in samples.iter().enumerate() {
        let separator = if index == 0 { "" } else { "," };
        let inputs = sample.inputs(&sample.ids(service));
        // Writing to a string cannot fail.
        let _ = write!(text, r#"{separator}{{"index":{index},{inputs}}}"#);
    }
    text.push_str("]}");
    text.into()
}
