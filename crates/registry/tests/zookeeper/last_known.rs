//! Answers while ZooKeeper is away (contract 03 §2.4).

use std::time::Duration;

use fate_registry::{Part, Registry};
use fate_testkit::ZooKeeper;

use crate::world::{self, PATIENCE, follower, is_settled, offers, settings, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_that_starts_without_zookeeper_knows_the_last_providers() {
    let Some(mut server) = ZooKeeper::start() else {
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    let mut consuming = follower(&server.address());
    consuming.directory = Some(directory.path().to_owned());
    let provider = Registry::open(settings(&server.address(), 8000));
    is_settled(&provider, provider.announce(offers())).await;
    let consumer = Registry::open(consuming.clone());
    until("a provider", PATIENCE, async || {
        consumer.resolve("serving", "lr-test", "inference")
    })
    .await;
    let name = format!(
        "fate-registry-proxy-{}.cache",
        server.address().replace(':', "-")
    );
    let file = directory.path().join(name);
    until("the file", PATIENCE, async || {
        let text = std::fs::read_to_string(&file).ok()?;
        text.contains("serving/lr-test/inference=grpc\\://127.0.0.1\\:8000/")
            .then_some(())
    })
    .await;

    server.kill();
    let restarted = Registry::open(consuming);
    let found = restarted.resolve("serving", "lr-test", "inference");
    assert_eq!(found.unwrap().authority(), "127.0.0.1:8000");
    until("the outage is told", PATIENCE, async || {
        let problems = restarted.state().problems;
        problems
            .get(&Part::Session)
            .filter(|text| text.contains(&server.address()))
            .cloned()
    })
    .await;
    let texts = restarted
        .texts("serving", "online", "publishLoad", PATIENCE)
        .await;
    assert_eq!(texts.len(), 1);
    // The one that was connected keeps them as well, and neither waits long to close.
    assert!(
        consumer
            .resolve("serving", "lr-test", "inference")
            .is_some()
    );
    let began = std::time::Instant::now();
    restarted.close(PATIENCE).await;
    consumer.close(PATIENCE).await;
    provider.close(PATIENCE).await;
    assert!(began.elapsed() < PATIENCE / 2, "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tree_that_may_not_be_read_takes_nothing_away() {
    let Some(server) = ZooKeeper::start() else {
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    let file = format!(
        "fate-registry-proxy-{}.cache",
        server.address().replace(':', "-")
    );
    let known = "serving/lr-test/inference=grpc\\://192.0.2.7\\:8000/serving/lr-test/inference?version\\=216\n";
    std::fs::write(directory.path().join(file), known).unwrap();
    let mut closed = settings(&server.address(), 8000);
    closed.login = world::login("fate:fate");
    let provider = Registry::open(closed);
    is_settled(&provider, provider.announce(offers())).await;

    let mut consuming = follower(&server.address());
    consuming.directory = Some(directory.path().to_owned());
    let consumer = Registry::open(consuming);
    let chosen = || {
        consumer
            .resolve("serving", "lr-test", "inference")
            .map(|one| one.host.clone())
    };
    until("the refusal is told", PATIENCE, async || {
        consumer
            .state()
            .problems
            .contains_key(&Part::Discovery)
            .then_some(())
    })
    .await;
    // Longer than what has gone is kept for after a new session.
    tokio::time::sleep(Duration::from_secs(12)).await;
    assert_eq!(chosen().as_deref(), Some("192.0.2.7"));
    assert!(!consumer.state().is_complete);

    // Once it may be read, it counts.
    let owner = world::Looker::at(&server.address(), Some("fate:fate")).await;
    for path in owner.dump().await.into_keys() {
        let open = zookeeper_client::Acls::anyone_all();
        owner.client.set_acl(&path, &open, None).await.unwrap();
    }
    until("the tree is read", PATIENCE, async || {
        let is_over = consumer.state().is_complete && consumer.state().problems.is_empty();
        (is_over && chosen().as_deref() == Some("127.0.0.1")).then_some(())
    })
    .await;
}
