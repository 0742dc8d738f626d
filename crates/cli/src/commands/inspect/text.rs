//! The report for people.

use std::fmt::{self, Write as _};

use serde::Serialize;

use super::report::{Answer, Component, ModelReport};
use crate::stdout::plain;

const UNKNOWN: &str = "unknown";

/// The whole report. Names in it come from the model: they may not control the terminal.
pub(super) fn write(reports: &[ModelReport]) -> String {
    let mut out = String::new();
    for report in reports {
        // Writing to a string cannot fail.
        let _ = write_model(&mut out, report);
    }
    out
}

fn write_model(out: &mut String, report: &ModelReport) -> fmt::Result {
    if !out.is_empty() {
        out.push('\n');
    }
    writeln!(out, "{}", plain(&report.path))?;
    line(out, "party", &party(report))?;
    line(
        out,
        "model",
        report.table_name.as_deref().unwrap_or(UNKNOWN),
    )?;
    line(
        out,
        "namespace",
        report.namespace.as_deref().unwrap_or(UNKNOWN),
    )?;
    line(
        out,
        "FATE version",
        report.fate_version.as_deref().unwrap_or(UNKNOWN),
    )?;
    line(
        out,
        "size",
        &format!("{} bytes in {} buffers", report.bytes, report.buffers),
    )?;
    line(out, "verdict", &answer(&report.verdict))?;
    line(out, "otherwise", &answer(&report.otherwise))?;
    list(out, "components", &table(&report.components))?;
    list(out, "features needed", &report.features)?;
    list(out, "semantics differ", &report.differences)
}

fn line(out: &mut String, name: &str, text: &str) -> fmt::Result {
    writeln!(out, "  {name:<13} {}", plain(text))
}

fn list(out: &mut String, name: &str, items: &[String]) -> fmt::Result {
    if items.is_empty() {
        return Ok(());
    }
    writeln!(out, "  {name} ({}):", items.len())?;
    items
        .iter()
        .try_for_each(|item| writeln!(out, "    {}", plain(item)))
}

fn party(report: &ModelReport) -> String {
    let role = report.role.unwrap_or(UNKNOWN);
    let id = report.party_id.as_deref().unwrap_or(UNKNOWN);
    match report.hosts.as_slice() {
        [] => format!("{role} {id}"),
        hosts => format!("{role} {id}, hosts of the model: {}", hosts.join(", ")),
    }
}

fn answer(answer: &Answer) -> String {
    let semantics = answer.semantics;
    if answer.servable {
        let kind = answer.kind.as_deref().unwrap_or(UNKNOWN);
        let hosts = if answer.needs_hosts == Some(true) {
            ", needs the hosts' parts"
        } else {
            ""
        };
        return format!("servable with semantics {semantics}: {kind}{hosts}");
    }
    let reason = answer.reason.as_deref().unwrap_or(UNKNOWN);
    match &answer.component {
        Some(component) => {
            format!("refused with semantics {semantics}: component {component}: {reason}")
        }
        None => format!("refused with semantics {semantics}: {reason}"),
    }
}

/// Columns as wide as their longest cell.
fn table(components: &[Component]) -> Vec<String> {
    let rows: Vec<[String; 4]> = components.iter().map(cells).collect();
    let width = |column: usize| {
        rows.iter()
            .map(|row| row[column].chars().count())
            .max()
            .unwrap_or(0)
    };
    let (name, class, treatment) = (width(0), width(1), width(2));
    rows.iter()
        .map(|row| {
            format!(
                "{:name$}  {:class$}  {:treatment$}  {}",
                row[0], row[1], row[2], row[3]
            )
        })
        .collect()
}

fn cells(component: &Component) -> [String; 4] {
    // A model's detail is the kind in the verdict; its size says more.
    let mut facts: Vec<String> = match &component.size {
        Some(size) => vec![size.to_string()],
        None => component.detail.iter().cloned().collect(),
    };
    if component.buffers > 0 {
        facts.push(format!("{} bytes", component.bytes));
    }
    [
        component.name.clone(),
        component
            .class
            .clone()
            .unwrap_or_else(|| "no class".to_owned()),
        component
            .treatment
            .map_or_else(|| "-".to_owned(), |treatment| word(&treatment)),
        facts.join("; "),
    ]
}

/// The word that JSON has for it.
fn word(value: &impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        _ => UNKNOWN.to_owned(),
    }
}
