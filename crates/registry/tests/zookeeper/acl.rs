//! Digest ACL (contract 03 §2.5).

use fate_registry::{Part, Registry};
use fate_testkit::ZooKeeper;
use zookeeper_client::{Acls, Error};

use crate::world::{self, Looker, PATIENCE, follower, is_settled, offers, settings, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_tree_opens_with_the_password_only() {
    let Some(server) = ZooKeeper::start() else {
        return;
    };
    let address = server.address();
    let mut with_login = settings(&address, 8000);
    with_login.login = world::login("fate:fate");
    let registry = Registry::open(with_login);
    is_settled(&registry, registry.announce(offers())).await;

    let looker = Looker::at(&address, Some("fate:fate")).await;
    let dump = looker.dump().await;
    assert!(dump.len() > offers().len());
    for (path, node) in &dump {
        let [entry] = node.acl.as_slice() else {
            panic!("{path}: {:?}", node.acl)
        };
        assert_eq!(
            (entry.scheme(), entry.id()),
            ("digest", "fate:3TfzM2VxkWu8TEjoqf95CBJqfEQ="),
            "{path}"
        );
        assert_eq!(entry.permission(), zookeeper_client::Permission::ALL);
    }
    let (root, _) = looker.client.get_acl("/").await.unwrap();
    assert_eq!(
        root.as_slice(),
        &*Acls::anyone_all(),
        "the ACL of / is not touched"
    );

    let stranger = Looker::at(&address, None).await;
    let refused = stranger
        .client
        .list_children("/FATE-SERVICES/serving")
        .await;
    assert_eq!(refused.unwrap_err(), Error::NoAuth);

    // Without and with a wrong password: nothing blocks, the cause is named, and it goes on trying.
    for login in [None, world::login("fate:wrong")] {
        let mut wrong = follower(&address);
        wrong.login = login.clone();
        wrong.instance = settings(&address, 8001).instance;
        let registry = Registry::open(wrong);
        let revision = registry.announce(offers());
        let problems = until("both problems are told", PATIENCE, async || {
            let problems = registry.state().problems;
            (problems.len() == 2).then_some(problems)
        })
        .await;
        for part in [Part::Registration, Part::Discovery] {
            let text = &problems[&part];
            assert!(
                text.contains("not authorized") && text.contains("acl.password"),
                "{text}"
            );
            assert!(!text.contains("wrong"), "{text}");
        }
        assert!(registry.state().is_connected && registry.state().applied < revision);
        drop(registry);
    }

    // A consumer with the password finds them.
    let mut right = follower(&address);
    right.login = world::login("fate:fate");
    let consumer = Registry::open(right);
    until("a provider", PATIENCE, async || {
        consumer.resolve("serving", "lr-test", "inference")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_registration_is_made_up_for_when_it_is_allowed() {
    let Some(server) = ZooKeeper::start() else {
        return;
    };
    let address = server.address();
    let owner = Looker::at(&address, Some("other:secret")).await;
    let closed = Acls::creator_all();
    let options = zookeeper_client::CreateMode::Persistent.with_acls(closed);
    owner
        .client
        .create("/FATE-SERVICES", b"", &options)
        .await
        .unwrap();

    let mut settings = settings(&address, 8000);
    settings.login = world::login("fate:wrong");
    let registry = Registry::open(settings);
    let revision = registry.announce(offers());
    until("the refusal is told", PATIENCE, async || {
        registry
            .state()
            .problems
            .contains_key(&Part::Registration)
            .then_some(())
    })
    .await;
    owner
        .client
        .set_acl("/FATE-SERVICES", &Acls::anyone_all(), None)
        .await
        .unwrap();
    is_settled(&registry, revision).await;
    until("the problem is over", PATIENCE, async || {
        registry.state().problems.is_empty().then_some(())
    })
    .await;
    registry.close(PATIENCE).await;
}
