//! After every kind of outage everything is registered exactly once, within 15 s of its end, and consumers never lose
//! their providers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use fate_registry::Registry;
use fate_testkit::{Ensemble, Link, ZooKeeper};
use nix::sys::signal::Signal;

use crate::process::Process;
use crate::world::{
    Looker, PATIENCE, RETURN, SESSION, follower, is_once, offers, registered_once, settings, until,
};

/// Asks a consumer all the time and counts the times when there was no answer.
struct Traffic {
    failed: Arc<AtomicUsize>,
    asked: Arc<AtomicUsize>,
    is_over: Arc<AtomicBool>,
}

impl Traffic {
    fn through(consumer: Registry) -> Self {
        let traffic = Self {
            failed: Arc::default(),
            asked: Arc::default(),
            is_over: Arc::default(),
        };
        let (failed, asked, is_over) = (
            Arc::clone(&traffic.failed),
            Arc::clone(&traffic.asked),
            Arc::clone(&traffic.is_over),
        );
        tokio::spawn(async move {
            while !is_over.load(Ordering::SeqCst) {
                let found = consumer.resolve("serving", "lr-test", "inference");
                failed.fetch_add(usize::from(found.is_none()), Ordering::SeqCst);
                asked.fetch_add(1, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        traffic
    }

    fn assert_unharmed(&self) {
        self.is_over.store(true, Ordering::SeqCst);
        assert!(self.asked.load(Ordering::SeqCst) > 100);
        assert_eq!(
            self.failed.load(Ordering::SeqCst),
            0,
            "calls without a provider"
        );
    }
}

async fn consumer(address: &str) -> Registry {
    let consumer = Registry::open(follower(address));
    until("a provider", PATIENCE, async || {
        consumer.resolve("serving", "lr-test", "inference")
    })
    .await;
    consumer
}

/// Whether it holds for longer than a session, so that no node of an old one is about to go.
async fn stays_registered(looker: &Looker, port: u16) {
    tokio::time::sleep(SESSION + Duration::from_secs(2)).await;
    assert!(
        is_once(&looker.dump().await, port),
        "{:?}",
        looker.ephemerals().await
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn zookeeper_is_killed_for_five_seconds_and_for_longer_than_the_session() {
    let Some(mut server) = ZooKeeper::start() else {
        return;
    };
    let process = Process::start(&server.address(), 8000);
    let looker = Looker::at(&server.address(), None).await;
    registered_once(&looker, 8000, PATIENCE).await;
    let traffic = Traffic::through(consumer(&server.address()).await);
    let descriptors = process.descriptors();
    for outage in [Duration::from_secs(5), SESSION * 2] {
        server.kill();
        let cpu = process.cpu();
        tokio::time::sleep(outage).await;
        let busy = process.cpu() - cpu;
        assert!(
            busy < outage / 10,
            "computed {busy:?} of {outage:?} while ZooKeeper was down"
        );
        assert!(
            process.descriptors() <= descriptors + 2,
            "{} descriptors, {descriptors} before",
            process.descriptors()
        );
        server.restart();
        let looker = Looker::at(&server.address(), None).await;
        let took = registered_once(&looker, 8000, RETURN).await;
        println!(
            "ZooKeeper was down for {outage:?}: registered once after {took:?}, {busy:?} of CPU meanwhile"
        );
        stays_registered(&looker, 8000).await;
        assert!(
            process.descriptors() <= descriptors + 2,
            "{} descriptors, {descriptors} before",
            process.descriptors()
        );
    }
    traffic.assert_unharmed();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_is_stopped_for_longer_than_its_session() {
    let Some(server) = ZooKeeper::start() else {
        return;
    };
    let process = Process::start(&server.address(), 8000);
    let looker = Looker::at(&server.address(), None).await;
    registered_once(&looker, 8000, PATIENCE).await;
    process.signal(Signal::SIGSTOP);
    until(
        "ZooKeeper removes what a stopped process held",
        PATIENCE,
        async || looker.ephemerals().await.is_empty().then_some(()),
    )
    .await;
    process.signal(Signal::SIGCONT);
    let took = registered_once(&looker, 8000, RETURN).await;
    println!("after SIGCONT: registered once after {took:?}");
    stays_registered(&looker, 8000).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_process_that_starts_again_is_there_once() {
    let Some(server) = ZooKeeper::start() else {
        return;
    };
    let looker = Looker::at(&server.address(), None).await;
    let first = Process::start(&server.address(), 8000);
    registered_once(&looker, 8000, PATIENCE).await;
    first.kill();
    assert!(
        is_once(&looker.dump().await, 8000),
        "the session of the dead lives on for a while"
    );
    let dead = looker.dump().await["/FATE-COMPONENTS/serving/127.0.0.1:8000"].owner;
    let _second = Process::start(&server.address(), 8000);
    // From the moment the new process is seen.
    until("the new process registers", PATIENCE, async || {
        let dump = looker.dump().await;
        let own = |(path, node): (&String, &crate::world::Node)| {
            path.contains("publishLoad/providers/") && node.owner != dead
        };
        dump.iter().any(own).then_some(())
    })
    .await;
    let took = registered_once(&looker, 8000, SESSION).await;
    println!("kill -9 and restart: once after {took:?}");
    assert!(took < Duration::from_secs(1), "duplicates for {took:?}");
    stays_registered(&looker, 8000).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_leader_of_three_is_killed() {
    let Some(mut ensemble) = Ensemble::start(3) else {
        return;
    };
    let addresses = ensemble.addresses();
    let provider = Registry::open(settings(&addresses, 8000));
    provider.announce(offers());
    let looker = Looker::at(&addresses, None).await;
    registered_once(&looker, 8000, PATIENCE).await;
    let traffic = Traffic::through(consumer(&addresses).await);
    ensemble.leader().kill();
    let took = until(
        "two servers serve and everything is there",
        RETURN,
        async || {
            let looker = Looker::at(&addresses, None).await;
            let began = std::time::Instant::now();
            is_once(&looker.dump().await, 8000).then(|| began.elapsed())
        },
    )
    .await;
    println!("leader killed: registered once, read in {took:?}");
    let looker = Looker::at(&addresses, None).await;
    stays_registered(&looker, 8000).await;
    traffic.assert_unharmed();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_network_swallows_everything_for_a_while() {
    let Some(server) = ZooKeeper::start() else {
        return;
    };
    let link = Link::to(&server.address());
    let provider = Registry::open(settings(&link.address(), 8000));
    provider.announce(offers());
    let looker = Looker::at(&server.address(), None).await;
    registered_once(&looker, 8000, PATIENCE).await;
    let traffic = Traffic::through(consumer(&link.address()).await);
    for outage in [SESSION / 2, SESSION * 2] {
        link.cut();
        tokio::time::sleep(outage).await;
        link.mend();
        let took = registered_once(&looker, 8000, RETURN).await;
        println!("black hole of {outage:?}: registered once after {took:?}");
        stays_registered(&looker, 8000).await;
        assert!(provider.state().is_connected, "{:?}", provider.state());
    }
    traffic.assert_unharmed();
}
