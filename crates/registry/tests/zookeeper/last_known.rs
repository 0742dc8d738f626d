//! Answers while ZooKeeper is away (contract 03 §2.4).

use fate_registry::{Part, Registry};
use fate_testkit::ZooKeeper;

use crate::world::{PATIENCE, follower, is_settled, offers, settings, until};

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
