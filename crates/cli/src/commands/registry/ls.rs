//! The tree at one moment.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::Context as _;
use fate_registry::tree::{self, Component, Leaf, Tree};
use fate_registry::{Provider, ZooKeeperSettings};
use serde_json::{Value, json};

use super::{Args, Output};
use crate::exit::{Exit, Failure};
use crate::stdout::{self, plain};

pub(super) async fn run(args: &Args, settings: ZooKeeperSettings) -> Result<Exit, Failure> {
    let mut tree = tree::read(&settings).await?;
    tree.leaves.retain(|leaf| args.includes(&leaf.project));
    tree.components.retain(|one| args.includes(&one.project));
    let text = match args.output {
        Output::Text => text(&tree),
        Output::Json => format!("{:#}\n", as_json(&tree)),
    };
    stdout::print(&text).context("stdout")?;
    Ok(Exit::Success)
}

/// The process that holds a session, by its component.
fn owners(tree: &Tree) -> BTreeMap<i64, String> {
    let named = |one: &Component| (one.owner, format!("{} {}", one.project, one.name));
    let held = tree.components.iter().filter(|one| one.owner != 0);
    held.map(named).collect()
}

fn provider(leaf: &Leaf) -> Option<Provider> {
    Provider::read(&leaf.text, &leaf.service)
}

fn as_json(tree: &Tree) -> Value {
    let owners = owners(tree);
    let leaf = |leaf: &Leaf| {
        let provider = provider(leaf);
        let provider = provider.as_ref();
        json!({
            "project": leaf.project,
            "environment": leaf.environment,
            "service": leaf.service,
            "url": leaf.text,
            "address": provider.map(Provider::authority),
            "weight": provider.map(|one| one.weight),
            "version": provider.and_then(|one| one.version),
            "session": session(leaf.owner),
            "owner": owners.get(&leaf.owner),
            "created": leaf.created,
        })
    };
    let component = |one: &Component| {
        json!({
            "project": one.project,
            "name": one.name,
            // What is no JSON is shown as text.
            "data": serde_json::from_str(&one.data).unwrap_or_else(|_| Value::from(one.data.as_str())),
            "session": session(one.owner),
            "created": one.created,
        })
    };
    json!({
        "services": tree.leaves.iter().map(leaf).collect::<Vec<_>>(),
        "components": tree.components.iter().map(component).collect::<Vec<_>>(),
    })
}

/// As ZooKeeper's own tools write it; null for a node that belongs to none.
fn session(id: i64) -> Option<String> {
    (id != 0).then(|| format!("{id:#x}"))
}

/// Names and texts in the tree are anybody's: they may not control the terminal.
fn text(tree: &Tree) -> String {
    let owners = owners(tree);
    let owner = |id: i64| match owners.get(&id) {
        Some(owner) => owner.clone(),
        None => session(id).map_or("nobody".to_owned(), |id| format!("session {id}")),
    };
    let mut rows = vec![
        [
            "PROJECT",
            "ENVIRONMENT",
            "SERVICE",
            "ADDRESS",
            "WEIGHT",
            "VERSION",
            "OWNER",
        ]
        .map(str::to_owned),
    ];
    rows.extend(tree.leaves.iter().map(|leaf| {
        let provider = provider(leaf);
        let provider = provider.as_ref();
        [
            leaf.project.clone(),
            leaf.environment.clone(),
            leaf.service.clone(),
            provider.map_or_else(|| leaf.text.clone(), Provider::authority),
            provider.map_or(String::new(), |one| one.weight.to_string()),
            provider
                .and_then(|one| one.version)
                .map_or(String::new(), |version| version.to_string()),
            owner(leaf.owner),
        ]
    }));
    let mut out = table(&rows);
    out.push('\n');
    let mut rows = vec![["COMPONENT", "ADDRESS", "SESSION"].map(str::to_owned)];
    rows.extend(tree.components.iter().map(|one| {
        let session = session(one.owner).unwrap_or_else(|| "none".to_owned());
        [one.project.clone(), one.name.clone(), session]
    }));
    out.push_str(&table(&rows));
    out
}

fn table<const N: usize>(rows: &[[String; N]]) -> String {
    let rows: Vec<[String; N]> = rows
        .iter()
        .map(|row| row.each_ref().map(|cell| plain(cell)))
        .collect();
    let width = |column: usize| {
        rows.iter()
            .map(|row| row[column].chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: [usize; N] = std::array::from_fn(width);
    let mut out = String::new();
    for row in &rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths) {
            // Writing to a string cannot fail.
            let _ = write!(line, "{cell:<width$}  ");
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}
