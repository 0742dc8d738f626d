//! The description of a model in `queryModel` (contract 01 §1.7): `ModelInfoEx.content` as Gson would write it.

use fate_inference::Treatment;
use fate_model::{LoadedModel, Published};
use fate_proto::model::{ModelInfoEx, ModelProcessorExt, PipelineNode};
use serde::Serialize;
use serde_json::{Map, Value};

/// What is said of a model besides what it holds itself.
#[derive(Debug, Clone, Copy)]
pub(super) struct Details {
    /// Position in the answer.
    pub(super) index: i32,
    /// The limit of its flow rule.
    pub(super) allow_qps: Option<f64>,
    /// Whether the components are described as well.
    pub(super) with_nodes: bool,
}

pub(super) fn describe(
    model: &LoadedModel,
    published: &Published,
    details: Details,
) -> ModelInfoEx {
    let service_ids = published.service_ids(&model.key);
    ModelInfoEx {
        table_name: model.key.table_name.clone(),
        namespace: model.key.namespace.clone(),
        content: html_escaped(&content(model, &service_ids, details.allow_qps)),
        index: details.index,
        model_processor_ext: Some(ModelProcessorExt {
            nodes: if details.with_nodes {
                nodes(model)
            } else {
                Vec::new()
            },
        }),
        resource_adress: model.resource_address.clone().unwrap_or_default(),
        service_ids,
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Content<'a> {
    resource_name: String,
    timestamp: i64,
    table_name: &'a str,
    namespace: &'a str,
    role: String,
    part_id: &'a str,
    federation_model_map: Map<String, Value>,
    service_ids: &'a [String],
    role_party_map_list: Vec<RoleParty<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    allow_qps: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource_adress: Option<&'a str>,
    /// Ours: what the compiled plan does. Readers of the Java content skip keys they do not know.
    verdict: &'a fate_inference::Verdict,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RoleParty<'a> {
    role: String,
    part_id: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RemoteContent<'a> {
    timestamp: i64,
    table_name: &'a str,
    namespace: &'a str,
    role: String,
    part_id: &'a str,
    federation_model_map: Map<String, Value>,
    service_ids: [String; 0],
}

fn content(model: &LoadedModel, service_ids: &[String], allow_qps: Option<f64>) -> String {
    let remotes = model.remotes.iter().map(|remote| {
        let stub = RemoteContent {
            timestamp: model.loaded_at_ms,
            table_name: &remote.key.table_name,
            namespace: &remote.key.namespace,
            role: remote.role.to_string(),
            part_id: &remote.party_id,
            federation_model_map: Map::new(),
            service_ids: [],
        };
        (remote.party_id.clone(), json(&stub))
    });
    let own = RoleParty {
        role: model.role.to_string(),
        part_id: &model.party_id,
    };
    let others = model.remotes.iter().map(|remote| RoleParty {
        role: remote.role.to_string(),
        part_id: &remote.party_id,
    });
    let content = Content {
        resource_name: model.key.resource_name(),
        timestamp: model.loaded_at_ms,
        table_name: &model.key.table_name,
        namespace: &model.key.namespace,
        role: model.role.to_string(),
        part_id: &model.party_id,
        federation_model_map: remotes.collect(),
        service_ids,
        role_party_map_list: std::iter::once(own).chain(others).collect(),
        allow_qps,
        resource_adress: model.resource_address.as_deref(),
        verdict: model.plan.verdict(),
    };
    serde_json::to_string(&content).unwrap_or_default()
}

/// Plain data of texts and numbers always becomes JSON.
fn json(value: &impl Serialize) -> Value {
    serde_json::to_value(value).unwrap_or_default()
}

/// The components that do something, in order of execution.
fn nodes(model: &LoadedModel) -> Vec<PipelineNode> {
    let components = &model.plan.verdict().components;
    components
        .iter()
        .filter(|component| component.treatment != Treatment::PassThrough)
        .map(|component| PipelineNode {
            name: component.name.clone(),
            params: serde_json::to_string(component).unwrap_or_default(),
        })
        .collect()
}

/// Gson's default escaping. In JSON text these characters only occur inside strings.
fn html_escaped(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len());
    for character in json.chars() {
        match character {
            '<' | '>' | '&' | '=' | '\'' | '\u{2028}' | '\u{2029}' => {
                escaped.push_str(&format!("\\u{:04x}", u32::from(character)));
            }
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gson_escapes_what_html_minds() {
        assert_eq!(
            html_escaped(r#"{"a":"<b>&'=\u2028é"}"#),
            r#"{"a":"\u003cb\u003e\u0026\u0027\u003d\u2028é"}"#
        );
    }
}
