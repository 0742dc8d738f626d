//! `sync.on.start`: a new node has what its peers have before it takes calls.

use fate_edge::config::Level;
use fate_inference::Semantics;
use fate_server::Config;

use crate::cluster::{Node, guest_of, pair};
use crate::edges::FLAT;

#[tokio::test]
async fn a_new_node_copies_models_and_bindings_before_it_takes_calls() {
    let pair = pair(&[("model.synchronize", "true")], &[]).await;
    let key = {
        let models = pair.guest.server.models().snapshot();
        let mut all = models.models();
        all.next().unwrap().key.clone()
    };
    pair.guest
        .server
        .models()
        .set_semantics(&key, Semantics::Java)
        .await
        .unwrap();
    let expected = pair.guest.infer(FLAT).await;
    assert_eq!(expected["retcode"], 0, "{expected}");

    let closed = guest_of(pair.host.grpc(), &[]).await;
    let nobody = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    // One peer is away, one does not want to, one gives.
    let peers = format!("{nobody},{},{}", closed.grpc(), pair.guest.grpc());
    let hosts = format!("10000={}", pair.host.grpc());
    let fresh = Node::start(&[
        ("sync.on.start", "true"),
        ("sync.peers", &peers),
        ("federation.hosts", &hosts),
    ])
    .await;
    let answer = fresh.infer(FLAT).await;
    assert_eq!(answer["data"]["score"], expected["data"]["score"]);
    let models = fresh.server.models().snapshot();
    assert_eq!(models.model(&key).unwrap().semantics, Semantics::Java);
    assert_eq!(models.service_ids(&key), ["lr-test"]);
    drop(models);

    // What it has it keeps; service ids that are new at the peer come with the next start.
    let renamed = pair.guest.bind_example("second").await;
    assert_eq!(renamed.status_code, 0);
    let again = fresh
        .restart(&[("sync.on.start", "true"), ("sync.peers", &peers)])
        .await;
    let models = again.server.models().snapshot();
    assert_eq!(models.service_ids(&key), ["lr-test", "second"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_registry_knows_the_peers() {
    let Some(zookeeper) = fate_testkit::ZooKeeper::start() else {
        return;
    };
    let address = zookeeper.address();
    let directory = tempfile::tempdir().unwrap();
    let registry = [
        ("useRegister", "true"),
        ("useZkRouter", "false"),
        ("zk.url", address.as_str()),
        ("register.ip", "127.0.0.1"),
        ("registry.cache.path", directory.path().to_str().unwrap()),
    ];
    let pair = pair(
        &[&registry[..], &[("model.synchronize", "true")]].concat(),
        &[],
    )
    .await;
    // Registered in the background: a new node finds it as soon as it is there.
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(60);
    let hosts = format!("10000={}", pair.host.grpc());
    loop {
        let own = [("sync.on.start", "true"), ("federation.hosts", &hosts)];
        let fresh = Node::start(&[&registry[..], &own].concat()).await;
        if fresh.infer(FLAT).await["retcode"] == 0 {
            break;
        }
        assert!(
            tokio::time::Instant::now() < deadline,
            "never found its peer"
        );
        fresh.server.drain().await;
    }
}

#[test]
fn without_peers_the_key_is_said_to_do_nothing() {
    let config = Config::from_pairs([("sync.on.start", "true")]).unwrap();
    let warned = config
        .notes()
        .iter()
        .any(|note| note.level == Level::Warning && note.text.contains("sync.peers"));
    assert!(warned);
    assert!(Config::from_pairs([("sync.peers", "a:1,b")]).is_err());
    let off = Config::from_pairs([("sync.peers", "a:1")]).unwrap();
    assert!(!off.sync_on_start && off.sync_peers.len() == 1);
}
