//! Documents of the Java processes (contract 01 §7.3 and §7.4, captured there), and what makes two of them alike.

use serde_json::Value;

/// One second of one resource.
pub(super) const METRIC: &str = r#"{"timestamp":1795386788074,"passQps":0,"blockQps":0,"successQps":0,"exceptionQps":0,"rt":0,"occupiedPassQps":0,"resource":"I_singleInference"}"#;

/// One second of a process. Every area of memory has the members of [`MEMORY`].
pub(super) const PROCESS: &str = r#"{"timestamp":1795386788074,"heap":{},"eden":{},"old":{},"yongGcCount":8,"yongGcTime":104,"fullGcCount":0,"threadCount":26,"fullGcTime":0,"nonHeap":{},"survivor":{}}"#;

pub(super) const MEMORY: &str = r#"{"init":264241152,"used":34712064,"committed":253231104,"max":3754950656,"usedPercent":0.0092}"#;

/// The text with every number 0 and every text but those of `kept` members empty: equal for equal members, in equal
/// order, of equal types.
pub(super) fn shape(json: &str, kept: &[&str]) -> String {
    let value: Value = serde_json::from_str(json).unwrap_or_else(|_| panic!("no JSON: {json}"));
    blank(value, kept, "").to_string()
}

fn blank(value: Value, kept: &[&str], name: &str) -> Value {
    match value {
        Value::Number(_) => 0.into(),
        Value::String(_) if !kept.contains(&name) => "".into(),
        Value::Array(all) => all.into_iter().map(|one| blank(one, kept, name)).collect(),
        Value::Object(members) => members
            .into_iter()
            .map(|(name, value)| {
                let value = blank(value, kept, &name);
                (name, value)
            })
            .collect(),
        other => other,
    }
}

/// A Java process sample with its areas filled in.
pub(super) fn process() -> String {
    PROCESS.replace("{}", MEMORY)
}
