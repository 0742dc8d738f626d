//! Why the client is `zookeeper-client`: `zookeeper-async` loses what is asserted here at every reconnect.

use std::time::Duration;

use fate_testkit::ZooKeeper;
use zookeeper_client::{Acls, Client, CreateMode, EventType, SessionState};

use crate::world::{Looker, PATIENCE};

#[tokio::test(flavor = "multi_thread")]
async fn login_watch_and_ephemeral_survive_a_reconnect() {
    let Some(mut server) = ZooKeeper::start() else {
        return;
    };
    let connector = Client::connector()
        .with_session_timeout(Duration::from_secs(10))
        .with_auth("digest", b"fate:fate");
    let client = connector.connect(&server.address()).await.unwrap();
    let closed = CreateMode::Persistent.with_acls(Acls::creator_all());
    let ephemeral = CreateMode::Ephemeral.with_acls(Acls::creator_all());
    client.create("/svc", b"", &closed).await.unwrap();
    client.create("/svc/own", b"", &ephemeral).await.unwrap();
    let (_, watcher) = client.list_and_watch_children("/svc").await.unwrap();
    let mut states = client.state_watcher();

    server.kill();
    assert_eq!(states.changed().await, SessionState::Disconnected);
    server.restart();
    let back = tokio::time::timeout(PATIENCE, states.changed())
        .await
        .unwrap();
    assert_eq!(back, SessionState::SyncConnected);

    // The login came back by itself, and the session with its node.
    assert_eq!(client.list_children("/svc").await.unwrap(), ["own"]);
    let (_, stat) = client.get_data("/svc/own").await.unwrap();
    assert_eq!(stat.ephemeral_owner, client.session_id().0);
    // And so did the watch.
    let other = Looker::at(&server.address(), Some("fate:fate")).await;
    other.client.create("/svc/new", b"", &closed).await.unwrap();
    let event = tokio::time::timeout(PATIENCE, watcher.changed())
        .await
        .unwrap();
    assert_eq!(event.event_type, EventType::NodeChildrenChanged);
}
