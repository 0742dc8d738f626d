//! What others may put into the tree, and how others may behave.

use std::time::{Duration, Instant};

use fate_registry::{Part, Registry};
use fate_testkit::{Link, ZooKeeper};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use zookeeper_client::{Acls, Client, CreateMode};

use crate::process::Process;
use crate::world::{
    self, Looker, PATIENCE, follower, is_once, is_settled, offers, settings, until,
};

const PROVIDERS: &str = "/FATE-SERVICES/serving/lr-test/inference/providers";

fn persistent() -> zookeeper_client::CreateOptions<'static> {
    CreateMode::Persistent.with_acls(Acls::anyone_all())
}

async fn make(client: &Client, path: &str) {
    client.mkdir(path, &persistent()).await.unwrap();
}

/// 100,000 are as good; making them takes ZooKeeper 10 s.
const FLOOD: usize = 30_000;

/// A name that stands for a provider of another address.
fn stranger(number: usize) -> String {
    format!(
        "grpc%3A%2F%2F10.{}.{}.{}%3A0%2Fx%2Fy%2Fz",
        number >> 16,
        number >> 8 & 255,
        number & 255
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn rubbish_in_the_tree_hides_no_provider() {
    let Some(server) = ZooKeeper::start() else {
        return;
    };
    let looker = Looker::at(&server.address(), None).await;
    let client = &looker.client;
    make(client, PROVIDERS).await;
    let huge = "h".repeat(200_000);
    let names = [
        "%",
        "%zz",
        "+",
        "no url",
        "empty%3A%2F%2F%2F",
        "grpc%3A%2F%2F%3A0%2F",
        "%FF%FE%00",
        "服务",
        huge.as_str(),
    ];
    for name in names {
        make(client, &format!("{PROVIDERS}/{name}/below")).await;
        make(
            client,
            &format!("/FATE-SERVICES/serving/{name}/inference/providers"),
        )
        .await;
        make(client, &format!("/FATE-SERVICES/serving/lr-test/{name}")).await;
        make(client, &format!("/FATE-SERVICES/{name}")).await;
        make(client, &format!("/FATE-COMPONENTS/serving/{name}")).await;
    }
    let consumer = Registry::open(follower(&server.address()));
    let provider = Registry::open(settings(&server.address(), 8000));
    is_settled(&provider, provider.announce(offers())).await;
    until("the provider among the rubbish", PATIENCE, async || {
        consumer.resolve("serving", "lr-test", "inference")
    })
    .await;
    let tree = fate_registry::tree::read(&settings(&server.address(), 1))
        .await
        .unwrap();
    let own = tree
        .leaves
        .iter()
        .filter(|leaf| leaf.text.starts_with("grpc://127.0.0.1:8000/"));
    assert_eq!(own.count(), offers().len());
    assert!(is_once(&looker.dump().await, 8000));
    provider.close(PATIENCE).await;
}

/// A flood at one service costs neither the others nor the processor.
#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_children_does_not_stop_discovery() {
    let Some(server) = ZooKeeper::start() else {
        return;
    };
    let looker = Looker::at(&server.address(), None).await;
    make(&looker.client, PROVIDERS).await;
    stream::iter(0..FLOOD)
        .map(|number| {
            let path = format!("{PROVIDERS}/{}", stranger(number));
            let client = looker.client.clone();
            async move { client.create(&path, b"", &persistent()).await }
        })
        .buffer_unordered(2000)
        .try_for_each(|_| async { Ok(()) })
        .await
        .unwrap();

    let consumer = Registry::open(follower(&server.address()));
    let provider = Registry::open(settings(&server.address(), 8000));
    is_settled(&provider, provider.announce(offers())).await;
    for service in ["inference", "batchInference"] {
        let what = format!("{service} is found");
        let found = until(&what, PATIENCE, async || {
            consumer.resolve("serving", "lr-test", service)
        })
        .await;
        assert_eq!(found.authority(), "127.0.0.1:8000");
    }
    let texts = consumer
        .texts("serving", "lr-test", "inference", PATIENCE)
        .await;
    assert_eq!(texts.len(), FLOOD + 1);

    let bystander = Process::start(&server.address(), 8001);
    until("the bystander is registered", PATIENCE, async || {
        let names = looker.client.list_children(PROVIDERS).await.unwrap();
        let is_there = names.iter().any(|name| name.contains("127.0.0.1%3A8001"));
        is_there.then_some(())
    })
    .await;
    until("the bystander has nothing to do", PATIENCE, async || {
        let before = bystander.cpu();
        tokio::time::sleep(Duration::from_secs(2)).await;
        let spent = bystander.cpu() - before;
        (spent < Duration::from_millis(400)).then_some(())
    })
    .await;
    bystander.kill();
    provider.close(PATIENCE).await;
    until("the end is seen", PATIENCE, async || {
        consumer
            .resolve("serving", "lr-test", "inference")
            .is_none()
            .then_some(())
    })
    .await;
}

/// Somebody else's part of the tree is closed to us.
#[tokio::test(flavor = "multi_thread")]
async fn a_closed_node_of_others_costs_nothing_but_itself() {
    let Some(server) = ZooKeeper::start() else {
        return;
    };
    let address = server.address();
    let owner = Looker::at(&address, Some("other:secret")).await;
    make(&owner.client, "/FATE-SERVICES/serving").await;
    let closed = CreateMode::Persistent.with_acls(Acls::creator_all());
    let theirs = "/FATE-SERVICES/serving/theirs";
    owner.client.create(theirs, b"", &closed).await.unwrap();

    let provider = Registry::open(settings(&address, 8000));
    is_settled(&provider, provider.announce(offers())).await;
    let directory = tempfile::tempdir().unwrap();
    let mut of_consumer = follower(&address);
    of_consumer.directory = Some(directory.path().to_owned());
    let consumer = Registry::open(of_consumer.clone());
    until("the provider", PATIENCE, async || {
        consumer.resolve("serving", "lr-test", "inference")
    })
    .await;
    until("the closed node is named", PATIENCE, async || {
        let problems = consumer.state().problems;
        problems
            .get(&Part::Discovery)
            .filter(|text| text.contains(theirs))
            .cloned()
    })
    .await;
    until("what is known is kept all the same", PATIENCE, async || {
        let files = std::fs::read_dir(directory.path()).unwrap();
        let texts = files
            .flatten()
            .map(|file| std::fs::read_to_string(file.path()).unwrap());
        texts
            .into_iter()
            .any(|text| text.contains("serving/lr-test/inference=grpc"))
            .then_some(())
    })
    .await;
    // What goes away is seen.
    provider.close(PATIENCE).await;
    until("the end", PATIENCE, async || {
        consumer
            .resolve("serving", "lr-test", "inference")
            .is_none()
            .then_some(())
    })
    .await;
    // Reading one service needs no other.
    let read = fate_registry::tree::children(&of_consumer, "serving", "online", "publishLoad");
    assert_eq!(read.await, Ok(Vec::new()));
    assert!(fate_registry::tree::read(&of_consumer).await.is_err());
}

/// A wrong configuration: both believe that the address is theirs alone.
#[tokio::test(flavor = "multi_thread")]
async fn two_processes_with_one_address_do_not_fight() {
    let Some(server) = ZooKeeper::start() else {
        return;
    };
    let looker = Looker::at(&server.address(), None).await;
    let pair = [(); 2].map(|()| Registry::open(settings(&server.address(), 8000)));
    for registry in &pair {
        is_settled(registry, registry.announce(offers())).await;
    }
    let requests = || {
        let answer = server.ask("srvr").unwrap();
        let line = answer
            .lines()
            .find_map(|line| line.strip_prefix("Received: "));
        line.unwrap().trim().parse::<u64>().unwrap()
    };
    let before = requests();
    tokio::time::sleep(Duration::from_secs(6)).await;
    let spent = requests() - before;
    assert!(spent < 600, "{spent} requests in 6 s");
    // Every service can be found whoever has won.
    let dump = looker.dump().await;
    let authority = "127.0.0.1%3A8000%2F";
    let services = dump.keys().filter(|path| path.contains(authority));
    let services: std::collections::BTreeSet<&str> = services
        .map(|path| path.rsplit_once('/').unwrap().0)
        .collect();
    assert_eq!(services.len(), offers().len());
    let [one, other] = pair;
    one.close(PATIENCE).await;
    world::registered_once(&looker, 8000, Duration::from_secs(40)).await;
    other.close(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_zookeeper_is_used_as_it_is() {
    let Some(server) = ZooKeeper::start() else {
        return;
    };
    let link = Link::to(&server.address());
    link.delay(Duration::from_millis(700));
    let mut settings = settings(&link.address(), 8000);
    settings.session_timeout = Duration::from_secs(10);
    let slow = Registry::open(settings);
    is_settled(&slow, slow.announce(offers())).await;
    let looker = Looker::at(&server.address(), None).await;
    assert!(is_once(&looker.dump().await, 8000));

    // Slower than anybody waits for.
    link.delay(Duration::from_secs(60));
    let began = Instant::now();
    let texts = slow
        .texts("serving", "lr-test", "inference", Duration::from_secs(1))
        .await;
    assert_eq!(texts, Vec::<String>::new());
    assert!(
        began.elapsed() < Duration::from_secs(3),
        "{:?}",
        began.elapsed()
    );
    link.delay(Duration::ZERO);
    world::registered_once(&looker, 8000, PATIENCE).await;
    slow.close(PATIENCE).await;
}
