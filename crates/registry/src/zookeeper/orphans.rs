//! Removes leaves of this process's own address that it does not want: those of a process that was killed and
//! restarted, and of a session that died with the network (contract 03 §2.3, Q6).

use futures::StreamExt as _;
use futures::stream;
use zookeeper_client::{Client, Error};

use super::listing::{Failure, children_of_all};
use super::publisher::{CONCURRENT, answered};
use crate::leaf;
use crate::offer::Wanted;
use crate::paths;
use crate::service_url::ServiceUrl;

/// Looks at every provider of the wanted projects. The address is ours alone: we listen on it.
pub(super) async fn sweep(client: &Client, wanted: &Wanted) -> Result<(), Failure> {
    let projects = wanted.projects.iter();
    let mut level: Vec<String> = projects
        .map(|one| format!("{}/{one}", paths::SERVICES))
        .collect();
    // Environments, then the nodes that hold the leaves of a service.
    for below in ["", "/providers"] {
        level = children_of_all(client, level, below).await?;
    }
    let leaves = children_of_all(client, level, "").await?;
    let orphans = leaves.into_iter().filter(|path| is_orphan(path, wanted));
    let removed: Vec<Result<(), Failure>> = stream::iter(orphans)
        .map(|path| remove(client, path))
        .buffer_unordered(CONCURRENT)
        .collect()
        .await;
    removed.into_iter().collect()
}

fn is_orphan(path: &str, wanted: &Wanted) -> bool {
    !wanted.leaves.contains_key(path) && is_ours(path, wanted).unwrap_or(false)
}

fn is_ours(path: &str, wanted: &Wanted) -> Option<bool> {
    let (_, name) = path.rsplit_once('/')?;
    let url = ServiceUrl::parse(&leaf::decode(name)?).ok()?;
    let authority = format!("{}:{}", url.host?, url.port);
    Some(wanted.authorities.contains(&authority))
}

async fn remove(client: &Client, path: String) -> Result<(), Failure> {
    match answered(client.delete(&path, None)).await {
        Ok(()) => {
            tracing::info!(%path, "registry: removed what an earlier session left behind");
            Ok(())
        }
        Err(Error::NoNode) => Ok(()),
        Err(error) => Err(Failure { path, error }),
    }
}
