//! Each party with a ZooKeeper of its own: servers and proxies find each other there, and the route table names other
//! parties only.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use fate_features::FeatureSource;
use fate_registry::{ZooKeeperSettings, tree};
use fate_testkit::ZooKeeper;
use serde_json::json;

use crate::asking::post;
use crate::golden::{assert_scores, sets};
use crate::lone_proxy::until;
use crate::parties::{HostRows, More, Parties, address, start_party};

/// `project/environment/service` of what a process has registered at these ports.
async fn registered(zookeeper: &ZooKeeper, ports: &[u16]) -> Vec<String> {
    let settings = ZooKeeperSettings::new(zookeeper.address().parse().unwrap(), "client");
    let tree = tree::read(&settings).await.unwrap();
    let is_own = |text: &str| {
        ports
            .iter()
            .any(|port| text.contains(&format!("127.0.0.1:{port}/")))
    };
    let own = tree.leaves.iter().filter(|leaf| is_own(&leaf.text));
    own.map(|leaf| format!("{}/{}/{}", leaf.project, leaf.environment, leaf.service))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_and_proxies_find_each_other_in_zookeeper() {
    let (Some(of_host), Some(of_guest)) = (ZooKeeper::start(), ZooKeeper::start()) else {
        return;
    };
    let sets = sets(&["lr_plain"]);
    let rows: Arc<dyn FeatureSource> = Arc::new(HostRows::of(&sets).remove("10000").unwrap());
    let host = start_party("10000", &of_host, Some(rows), &json!({}), &More::default()).await;
    let routes = json!({"10000": {"default": [address(host.proxy.inter_addr)]}});
    let guest = start_party("9999", &of_guest, None, &routes, &More::default()).await;
    let http = guest.proxy.http_addr.unwrap();
    let not_bound = r#"{"head":{"serviceId":"nobody"},"body":{}}"#;
    let answer = post(http, "/federation/v1/inference", not_bound).await;
    assert!(
        answer.contains("service id nobody is not bound"),
        "{answer}"
    );

    let parties = Parties {
        guest,
        hosts: BTreeMap::from([("10000".to_owned(), host)]),
    };
    parties.publish(&sets[0]).await;
    let proxy = &parties.guest.proxy;
    let ports = [proxy.intra_addr.port(), http.port()];
    until("all is registered and known", async || {
        let ask = r#"{"head":{"serviceId":"lr_plain"},"body":{"featureData":{},
            "sendToRemoteFeatureData":{"set":"lr_plain","id":"0"}}}"#;
        let answer = post(http, "/federation/v1/inference", ask).await;
        // The host has no such row, and says so through both proxies.
        answer.contains("\"retcode\":2113") && registered(&of_guest, &ports).await.len() == 14
    })
    .await;
    let all = registered(&of_guest, &ports).await;
    for service in [
        "proxy/online/unaryCall",
        "proxy/online/checkHealth",
        "federation/v1/inference",
    ] {
        assert!(
            all.iter().any(|known| known == service),
            "{service}: {all:?}"
        );
    }
    assert_scores(&parties, &sets[0], 10).await;
    tokio::time::timeout(Duration::from_secs(60), parties.stop())
        .await
        .unwrap();
    assert_eq!(registered(&of_guest, &ports).await, Vec::<String>::new());
}
