//! The inference DSL of a pipeline: which components there are and in which order they run (contract 02 A2).

use std::collections::HashMap;

use fate_domain::java_hash::hash_order;
use fate_proto::buffer::Pipeline;
use prost::Message;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::{Buffers, PIPELINE_KEY, Refusal};

/// More than any real pipeline has; keeps a hostile one from costing time.
const MAX_COMPONENTS: usize = 1_000;

/// The pipeline message and its components in order of execution.
#[derive(Debug)]
pub(crate) struct Dsl {
    pub(crate) pipeline: Pipeline,
    pub(crate) version: FateVersion,
    pub(crate) components: Vec<Node>,
}

/// One component of the DSL.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) name: String,
    /// Last segment of `CodePath`.
    pub(crate) class: String,
    /// Where its row comes from; only the first input of a component is ever read.
    pub(crate) input: Input,
}

/// Source of a component's row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Input {
    /// The request's row (`args`), or no `input.data` at all.
    Row,
    /// Output of another component, by position in [`Dsl::components`].
    Component(usize),
}

/// `Pipeline.fate_version`. Versions that cannot be read, and models that do not tell, count as the latest 1.x; what
/// follows the numbers (`1.11.4-release`) does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct FateVersion(pub(crate) u32, pub(crate) u32, pub(crate) u32);

impl FateVersion {
    fn parse(text: &str) -> Self {
        let text = text.trim().trim_start_matches(['v', 'V']);
        let mut parts = text.split('.').map(leading_number);
        match (
            parts.next().flatten(),
            parts.next().flatten(),
            parts.next().flatten(),
        ) {
            (Some(major), Some(minor), patch) => FateVersion(major, minor, patch.unwrap_or(0)),
            _ => FateVersion(1, u32::MAX, 0),
        }
    }
}

fn leading_number(text: &str) -> Option<u32> {
    let end = text.find(|c: char| !c.is_ascii_digit());
    text[..end.unwrap_or(text.len())].parse().ok()
}

#[derive(Deserialize)]
struct DslText {
    components: Map<String, Value>,
}

/// Reads the pipeline buffer. Unlike the Java parser it swallows nothing: a broken DSL is a refusal.
pub(crate) fn read(buffers: &Buffers) -> Result<Dsl, Refusal> {
    let bytes = buffers.get(PIPELINE_KEY).ok_or_else(|| {
        Refusal::pipeline(format!(
            "the model has no {PIPELINE_KEY} buffer: was it deployed and loaded from FATE-Flow?"
        ))
    })?;
    let pipeline = Pipeline::decode(bytes.clone()).map_err(|error| {
        Refusal::pipeline(format!("{PIPELINE_KEY} is not a Pipeline message: {error}"))
    })?;
    let text: DslText = serde_json::from_slice(&pipeline.inference_dsl)
        .map_err(|error| Refusal::pipeline(format!("inference_dsl is not a DSL: {error}")))?;
    let components = order(&text.components)?;
    let version = FateVersion::parse(&pipeline.fate_version);
    Ok(Dsl {
        pipeline,
        version,
        components,
    })
}

/// Java's order: components in `HashMap` order of their names, then a depth-first topological sort with a stack.
fn order(components: &Map<String, Value>) -> Result<Vec<Node>, Refusal> {
    if components.is_empty() {
        return Err(Refusal::pipeline("inference_dsl has no components"));
    }
    if components.len() > MAX_COMPONENTS {
        return Err(Refusal::pipeline(format!(
            "inference_dsl has more than {MAX_COMPONENTS} components"
        )));
    }
    let listed: Vec<(&String, &Value)> = components.iter().collect();
    let enumerated: Vec<(&String, &Value)> =
        hash_order(listed.iter().map(|(name, _)| name.as_str()), 16)
            .into_iter()
            .map(|index| listed[index])
            .collect();
    let ids: HashMap<&str, usize> = enumerated
        .iter()
        .enumerate()
        .map(|(id, (name, _))| (name.as_str(), id))
        .collect();
    let mut upstream = Vec::with_capacity(enumerated.len());
    for (name, body) in &enumerated {
        upstream.push(upstream_of(name, body, &ids)?);
    }

    let sorted = topological(&upstream).ok_or_else(|| {
        Refusal::pipeline("the components of inference_dsl depend on each other in a circle")
    })?;
    let mut position = vec![0; sorted.len()];
    sorted
        .iter()
        .enumerate()
        .for_each(|(at, &id)| position[id] = at);
    sorted
        .iter()
        .map(|&id| {
            let (name, body) = enumerated[id];
            let input =
                first_input(&upstream[id]).map_or(Input::Row, |id| Input::Component(position[id]));
            Ok(Node {
                name: name.clone(),
                class: class_of(name, body)?,
                input,
            })
        })
        .collect()
}

/// Upstream component ids in the order listed; none stands for the request's row.
fn upstream_of(
    name: &str,
    body: &Value,
    ids: &HashMap<&str, usize>,
) -> Result<Vec<Option<usize>>, Refusal> {
    let Some(data) = body.pointer("/input/data") else {
        return Ok(Vec::new());
    };
    let data = data
        .as_object()
        .ok_or_else(|| Refusal::component(name, "input.data of the DSL is not an object"))?;
    let mut upstream = Vec::new();
    for (key, sources) in data {
        let sources = sources.as_array().ok_or_else(|| {
            Refusal::component(name, format!("input.data.{key} of the DSL is not a list"))
        })?;
        for source in sources {
            let source = source.as_str().ok_or_else(|| {
                Refusal::component(
                    name,
                    format!("input.data.{key} of the DSL names something that is not text"),
                )
            })?;
            let from = source.split('.').next().unwrap_or(source);
            let id = match from {
                "args" => None,
                from => Some(*ids.get(from).ok_or_else(|| {
                    Refusal::component(
                        name,
                        format!("its input {source:?} is not a component of the DSL"),
                    )
                })?),
            };
            upstream.push(id);
        }
    }
    Ok(upstream)
}

/// Java keeps inputs in a `HashSet<Integer>` and reads the first: the smallest id, with the row (-1) sharing the
/// bucket of id 0 in order of insertion.
fn first_input(upstream: &[Option<usize>]) -> Option<usize> {
    let first_of_bucket_zero = upstream.iter().find(|id| matches!(id, None | Some(0)));
    match first_of_bucket_zero {
        Some(first) => *first,
        None => upstream.iter().flatten().min().copied(),
    }
}

fn class_of(name: &str, body: &Value) -> Result<String, Refusal> {
    let path = body.get("CodePath").and_then(Value::as_str).unwrap_or("");
    let class = path.rsplit('/').next().unwrap_or(path);
    if class.is_empty() {
        return Err(Refusal::component(
            name,
            "the DSL has no CodePath for it: deploy the model again for this role",
        ));
    }
    Ok(class.to_owned())
}

fn topological(upstream: &[Vec<Option<usize>>]) -> Option<Vec<usize>> {
    let mut waiting: Vec<usize> = upstream
        .iter()
        .map(|from| from.iter().flatten().count())
        .collect();
    let mut successors = vec![Vec::new(); upstream.len()];
    for (id, from) in upstream.iter().enumerate() {
        from.iter()
            .flatten()
            .for_each(|&before| successors[before].push(id));
    }
    let mut stack: Vec<usize> = (0..upstream.len()).filter(|&id| waiting[id] == 0).collect();
    let mut sorted = Vec::with_capacity(upstream.len());
    while let Some(id) = stack.pop() {
        sorted.push(id);
        for &next in &successors[id] {
            waiting[next] -= 1;
            if waiting[next] == 0 {
                stack.push(next);
            }
        }
    }
    (sorted.len() == upstream.len()).then_some(sorted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buffers(dsl: &str) -> Buffers {
        let pipeline = Pipeline {
            inference_dsl: dsl.as_bytes().to_vec().into(),
            fate_version: "1.11.4".into(),
            ..Pipeline::default()
        };
        Buffers::from([(PIPELINE_KEY.to_owned(), pipeline.encode_to_vec().into())])
    }

    #[test]
    fn components_run_after_their_inputs() {
        let dsl = read(&buffers(
            r#"{"components":{
                "hetero_lr_0":{"CodePath":"HeteroLRGuest","input":{"data":{"test_data":["intersection_0.data"]},"model":["pipeline.hetero_lr_0.model"]}},
                "intersection_0":{"CodePath":"a/b.py/IntersectGuest","input":{"data":{"data":["dataio_0.data"]}}},
                "dataio_0":{"CodePath":"DataIO","input":{"data":{"data":["args.eval_data"]}}}}}"#,
        ))
        .unwrap();
        let names: Vec<&str> = dsl
            .components
            .iter()
            .map(|node| node.name.as_str())
            .collect();
        assert_eq!(names, ["dataio_0", "intersection_0", "hetero_lr_0"]);
        assert_eq!(dsl.components[1].class, "IntersectGuest");
        assert_eq!(dsl.components[2].input, Input::Component(1));
        assert_eq!(dsl.components[0].input, Input::Row);
        assert_eq!(dsl.version, FateVersion(1, 11, 4));
    }

    #[test]
    fn unreadable_versions_are_the_latest() {
        let latest = FateVersion(1, u32::MAX, 0);
        for (text, version) in [
            ("1.4.0", FateVersion(1, 4, 0)),
            ("1.5", FateVersion(1, 5, 0)),
            (" v1.11.4-release", FateVersion(1, 11, 4)),
            ("1.7.1.1", FateVersion(1, 7, 1)),
            ("2.0.0", FateVersion(2, 0, 0)),
            ("", latest),
            ("1", latest),
            ("new", latest),
            ("一.七", latest),
            ("99999999999.1", latest),
        ] {
            assert_eq!(FateVersion::parse(text), version, "{text}");
        }
    }

    #[test]
    fn a_broken_dsl_is_refused_with_its_reason() {
        for (dsl, reason) in [
            ("", "inference_dsl is not a DSL"),
            ("{}", "inference_dsl is not a DSL"),
            (r#"{"components":{}}"#, "no components"),
            (r#"{"components":{"a":{}}}"#, "no CodePath"),
            (
                r#"{"components":{"a":{"CodePath":"X","input":{"data":{"data":["b.data"]}}}}}"#,
                "\"b.data\" is not a component",
            ),
            (
                r#"{"components":{"a":{"CodePath":"X","input":{"data":{"data":["a.data"]}}}}}"#,
                "circle",
            ),
            (
                r#"{"components":{"a":{"CodePath":"X","input":{"data":[]}}}}"#,
                "not an object",
            ),
            (
                r#"{"components":{"a":{"CodePath":"X","input":{"data":{"d":[1]}}}}}"#,
                "not text",
            ),
        ] {
            let refusal = read(&buffers(dsl)).unwrap_err().to_string();
            assert!(refusal.contains(reason), "{dsl}: {refusal}");
        }
        assert!(
            read(&Buffers::new())
                .unwrap_err()
                .reason
                .contains(PIPELINE_KEY)
        );
    }
}
