//! The tree as it changes. What is wrong with ZooKeeper stands in the registry's own log, on stderr.

use std::collections::BTreeSet;

use anyhow::Context as _;
use fate_registry::{Registry, Snapshot, ZooKeeperSettings};
use serde_json::json;

use super::{Args, Output, PROJECTS};
use crate::exit::{Exit, Failure};
use crate::signals::Signals;
use crate::stdout::{self, plain};

/// What a line is about: `<project>/<environment>/<service>` and the provider's URL.
type Provided = BTreeSet<(String, String)>;

pub(super) async fn run(args: &Args, mut settings: ZooKeeperSettings) -> Result<Exit, Failure> {
    let mut signals = Signals::install()?;
    settings.follow = match args.project.as_slice() {
        [] => PROJECTS.map(str::to_owned).to_vec(),
        some => some.to_vec(),
    };
    let registry = Registry::open(settings);
    let mut changes = registry.changes();
    let mut known = Provided::new();
    loop {
        let now = provided(&registry.snapshot());
        let text = differences(&known, &now, args.output);
        stdout::print(&text).context("stdout")?;
        known = now;
        tokio::select! {
            _ = changes.changed() => {}
            _ = signals.next() => break,
        }
    }
    registry.close(std::time::Duration::from_secs(2)).await;
    Ok(Exit::Success)
}

fn provided(snapshot: &Snapshot) -> Provided {
    let services = snapshot.services();
    let texts = services.flat_map(|one| one.texts.iter().map(|text| (one.key(), text.clone())));
    texts.collect()
}

fn differences(before: &Provided, now: &Provided, output: Output) -> String {
    let gone = before.difference(now).map(|one| ("-", one));
    let new = now.difference(before).map(|one| ("+", one));
    gone.chain(new)
        .map(|(sign, (service, url))| match output {
            Output::Text => format!("{sign} {} {}\n", plain(service), plain(url)),
            Output::Json => {
                let change = if sign == "+" { "added" } else { "removed" };
                format!(
                    "{}\n",
                    json!({ "change": change, "service": service, "url": url })
                )
            }
        })
        .collect()
}
