//! The whole tree at one moment, with its owners: for people and scripts, not for routing.

use futures::StreamExt as _;
use futures::stream;
use zookeeper_client::{Client, Error};

use super::listing::{Failure, children_of_all};
use super::publisher::{CONCURRENT, answered};
use super::session;
use crate::leaf;
use crate::paths;
use crate::settings::{Login, ZooKeeperSettings};

/// Every leaf and every component.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tree {
    /// Sorted by project, environment, service and text.
    pub leaves: Vec<Leaf>,
    /// Sorted by project and name.
    pub components: Vec<Component>,
}

/// One provider's node.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Leaf {
    /// `serving`, `proxy`, `flow`, …
    pub project: String,
    /// `online`, a service id or the MD5 of a host model.
    pub environment: String,
    /// The service's name, decoded.
    pub service: String,
    /// The provider's URL, decoded.
    pub text: String,
    /// The session that holds it; 0 for a node that outlives its session.
    pub owner: i64,
    /// ms since the epoch.
    pub created: i64,
}

/// One process.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Component {
    /// `serving`, `proxy`, `admin`, `fate-flow`.
    pub project: String,
    /// `host:port`; FATE-Flow's is decoded.
    pub name: String,
    /// JSON, as it stands there.
    pub data: String,
    /// The session that holds it.
    pub owner: i64,
    /// ms since the epoch.
    pub created: i64,
}

/// Why the tree could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TreeError {
    /// No session.
    #[error("ZooKeeper at {addresses}: {cause}")]
    Connect {
        /// The servers.
        addresses: String,
        /// What is wrong.
        cause: String,
    },
    /// A node.
    #[error("{path} cannot be read: {cause}")]
    Read {
        /// Which node.
        path: String,
        /// What is wrong.
        cause: String,
    },
}

/// Reads it in a session of its own.
///
/// # Errors
/// No session, or a node that may not be read. A node that goes away meanwhile is left out.
pub async fn read(settings: &ZooKeeperSettings) -> Result<Tree, TreeError> {
    let login = settings.login.as_ref();
    let client = session_for(settings).await?;
    let in_words = |failure| in_words(failure, login);
    let leaves = leaves(&client).await.map_err(in_words)?;
    let components = components(&client).await.map_err(in_words)?;
    session::end(client).await;
    Ok(Tree { leaves, components })
}

/// The decoded children of one service's node, as FATE-Flow looks for servings (contract 03 §5.5): nothing else in the
/// tree needs to be readable. In a session of its own.
///
/// # Errors
/// No session, or a node that may not be read. A node that is not there has no children.
pub async fn children(
    settings: &ZooKeeperSettings,
    project: &str,
    environment: &str,
    service: &str,
) -> Result<Vec<String>, TreeError> {
    let client = session_for(settings).await?;
    let path = paths::providers(project, environment, service);
    let names = match answered(client.list_children(&path)).await {
        Err(Error::NoNode) => Vec::new(),
        listed => listed.map_err(|error| {
            let login = settings.login.as_ref();
            in_words(Failure { path, error }, login)
        })?,
    };
    session::end(client).await;
    Ok(names.iter().filter_map(|name| leaf::decode(name)).collect())
}

async fn session_for(settings: &ZooKeeperSettings) -> Result<Client, TreeError> {
    session::connect(settings).await.map_err(|error| {
        let addresses = settings.addresses.to_string();
        let cause = session::describe(&error, settings.login.as_ref());
        TreeError::Connect { addresses, cause }
    })
}

fn in_words(failure: Failure, login: Option<&Login>) -> TreeError {
    TreeError::Read {
        cause: session::describe(&failure.error, login),
        path: failure.path,
    }
}

async fn leaves(client: &Client) -> Result<Vec<Leaf>, Failure> {
    let mut level = vec![paths::SERVICES.to_owned()];
    for below in ["", "", "/providers", ""] {
        level = children_of_all(client, level, below).await?;
    }
    let nodes = with_owners(client, level).await?;
    let mut leaves: Vec<Leaf> = nodes.iter().filter_map(leaf_of).collect();
    leaves.sort();
    Ok(leaves)
}

fn leaf_of(node: &Node) -> Option<Leaf> {
    let below = node.path.strip_prefix(paths::SERVICES)?;
    let mut parts = below.split('/').skip(1);
    let (project, environment) = (parts.next()?, parts.next()?);
    let (service, _providers, name) = (parts.next()?, parts.next()?, parts.next()?);
    let decoded = |name: &str| leaf::decode(name).unwrap_or_else(|| name.to_owned());
    Some(Leaf {
        project: project.to_owned(),
        environment: environment.to_owned(),
        service: decoded(service),
        text: decoded(name),
        owner: node.owner,
        created: node.created,
    })
}

async fn components(client: &Client) -> Result<Vec<Component>, Failure> {
    let projects = children_of_all(client, vec![paths::COMPONENTS.to_owned()], "").await?;
    let nodes = children_of_all(client, projects, "").await?;
    let mut components = Vec::new();
    for node in with_owners(client, nodes).await? {
        let data = match answered(client.get_data(&node.path)).await {
            Ok((data, _)) => String::from_utf8_lossy(&data).into_owned(),
            Err(Error::NoNode) => continue,
            Err(error) => {
                let path = node.path;
                return Err(Failure { path, error });
            }
        };
        components.extend(component_of(&node, data));
    }
    components.sort();
    Ok(components)
}

fn component_of(node: &Node, data: String) -> Option<Component> {
    let below = node.path.strip_prefix(paths::COMPONENTS)?;
    let (project, name) = below.strip_prefix('/')?.split_once('/')?;
    Some(Component {
        project: project.to_owned(),
        name: leaf::decode(name).unwrap_or_else(|| name.to_owned()),
        data,
        owner: node.owner,
        created: node.created,
    })
}

struct Node {
    path: String,
    owner: i64,
    created: i64,
}

async fn with_owners(client: &Client, paths: Vec<String>) -> Result<Vec<Node>, Failure> {
    let nodes: Vec<Result<Option<Node>, Failure>> = stream::iter(paths)
        .map(|path| async move {
            match answered(client.check_stat(&path)).await {
                Ok(stat) => Ok(stat.map(|stat| Node {
                    path,
                    owner: stat.ephemeral_owner,
                    created: stat.ctime,
                })),
                Err(error) => Err(Failure { path, error }),
            }
        })
        .buffer_unordered(CONCURRENT)
        .collect()
        .await;
    nodes.into_iter().filter_map(Result::transpose).collect()
}
