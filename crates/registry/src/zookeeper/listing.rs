//! Many nodes at once.

use futures::StreamExt as _;
use futures::stream;
use zookeeper_client::{Client, Error};

use super::publisher::{CONCURRENT, answered};

/// A request that failed, and where.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) path: String,
    pub(super) error: Error,
}

/// The paths of all children of all `parents`, each followed by `below`. A parent that is not there has none.
pub(super) async fn children_of_all(
    client: &Client,
    parents: Vec<String>,
    below: &str,
) -> Result<Vec<String>, Failure> {
    let listed: Vec<Result<Vec<String>, Failure>> = stream::iter(parents)
        .map(|parent| async move {
            match answered(client.list_children(&parent)).await {
                Ok(names) => {
                    let path = |name: String| format!("{parent}/{name}{below}");
                    Ok(names.into_iter().map(path).collect())
                }
                Err(Error::NoNode) => Ok(Vec::new()),
                Err(error) => Err(Failure {
                    path: parent,
                    error,
                }),
            }
        })
        .buffer_unordered(CONCURRENT)
        .collect()
        .await;
    let listed: Vec<Vec<String>> = listed.into_iter().collect::<Result<_, _>>()?;
    Ok(listed.into_iter().flatten().collect())
}
