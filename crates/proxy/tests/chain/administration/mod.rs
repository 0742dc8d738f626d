//! What administrators ask of servers and proxies: `CommonService` (contract 01 §1.8 and §7, 04 A.9), over the wire, of
//! a party that is registered in ZooKeeper and has scored.

mod answers;
mod log_levels;
mod properties;
mod readers;
mod samples;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fate_features::FeatureSource;
use fate_golden::Set;
use fate_proto::common_service::common_service_client::CommonServiceClient;
use fate_proto::common_service::{
    CommonResponse, HealthCheckRequest, MetricType, QueryJvmInfoRequest, QueryMetricRequest,
    QueryPropsRequest, UpdateConfigRequest, UpdateFlowRuleRequest, UpdateServiceRequest,
};
use fate_registry::{ZooKeeperSettings, tree};
use fate_testkit::ZooKeeper;
use serde_json::{Value, json};
use tonic::transport::Channel;
use tonic::{Response, Status};

use crate::golden::{assert_scores, sets};
use crate::lone_proxy::until;
use crate::parties::{HostRows, More, Parties, address, start_party};

/// The service id, and the name of the set of models.
const SERVICE: &str = "lr_plain";

const PATIENCE: Duration = Duration::from_secs(20);

/// A guest and a host; the guest's server and proxy are the ones that are asked.
struct Managed {
    zookeepers: [ZooKeeper; 2],
    parties: Parties,
    set: Arc<Set>,
}

impl Managed {
    /// `None` where there is no ZooKeeper and its tests may be left out.
    async fn start(more: &More<'_>) -> Option<Self> {
        let zookeepers = [ZooKeeper::start()?, ZooKeeper::start()?];
        let [of_guest, of_host] = &zookeepers;
        let set = sets(&[SERVICE]).remove(0);
        let rows = HostRows::of(std::slice::from_ref(&set))
            .remove("10000")
            .unwrap();
        let rows: Arc<dyn FeatureSource> = Arc::new(rows);
        let host = start_party("10000", of_host, Some(rows), &json!({}), &More::default()).await;
        let routes = json!({"10000": {"default": [address(host.proxy.inter_addr)]}});
        let guest = start_party("9999", of_guest, None, &routes, more).await;
        let hosts = BTreeMap::from([("10000".to_owned(), host)]);
        let parties = Parties { guest, hosts };
        parties.publish(&set).await;
        let managed = Self {
            zookeepers,
            parties,
            set,
        };
        managed.found_by_all().await;
        Some(managed)
    }

    /// Scores one row, singly and in a batch of all, so that there is something to count.
    async fn score(&self) {
        assert_scores(&self.parties, &self.set, 1).await;
    }

    async fn server(&self) -> Admin {
        Admin::of(self.parties.guest.server.grpc_addr).await
    }

    async fn proxy(&self) -> Admin {
        Admin::of(self.parties.guest.proxy.intra_addr).await
    }

    /// The resource of the guest's model.
    fn model(&self) -> String {
        self.set.guest().key.resource_name()
    }

    /// The registered address of a service, as the admin sends it back.
    async fn url_of(&self, environment: &str, service: &str) -> Option<String> {
        let servers = self.zookeepers[0].address();
        let settings = ZooKeeperSettings::new(servers.parse().unwrap(), "client");
        let tree = tree::read(&settings).await.unwrap();
        let mut leaves = tree.leaves.into_iter();
        leaves
            .find(|leaf| leaf.environment == environment && leaf.service == service)
            .map(|leaf| leaf.text)
    }

    async fn found_by_all(&self) {
        until("the proxy leads to the server", async || {
            // The host has no such row.
            let ids = json!({"set": SERVICE, "id": "nobody"});
            let body = json!({"featureData": {}, "sendToRemoteFeatureData": ids});
            let body = json!({"head": {"serviceId": SERVICE}, "body": body}).to_string();
            let address = self.parties.guest.proxy.http_addr.unwrap();
            let answer = crate::asking::post(address, "/federation/v1/inference", &body).await;
            !answer.contains("is not bound") && !answer.contains("No available endpoint")
        })
        .await;
        until("the proxy is registered", async || {
            self.url_of("online", "unaryCall").await.is_some()
        })
        .await;
    }

    async fn stop(self) {
        self.parties.stop().await;
    }
}

/// One question to `CommonService` after the other.
struct Admin {
    client: CommonServiceClient<Channel>,
}

/// What came back: status code, message, data.
type Answer = (i32, String, String);

fn answer(response: Result<Response<CommonResponse>, Status>) -> Answer {
    let response = response.unwrap().into_inner();
    let data = String::from_utf8(response.data.to_vec()).unwrap();
    (response.status_code, response.message, data)
}

impl Admin {
    async fn of(address: SocketAddr) -> Self {
        let client = CommonServiceClient::connect(format!("http://{address}"));
        Self {
            client: client.await.unwrap(),
        }
    }

    async fn metrics(&mut self, kind: MetricType, source: &str, begin_ms: i64) -> Answer {
        let request = QueryMetricRequest {
            r#type: kind as i32,
            source: source.to_owned(),
            begin_ms,
            end_ms: i64::MAX,
        };
        answer(self.client.query_metrics(request).await)
    }

    /// Metrics of one resource, as soon as a second has counted something of this name.
    async fn counted(&mut self, kind: MetricType, source: &str, name: &str) -> Vec<Value> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let (code, message, data) = self.metrics(kind, source, 0).await;
            assert_eq!((code, message.as_str()), (0, ""));
            let nodes: Vec<Value> = serde_json::from_str(&data).unwrap_or_default();
            if nodes.iter().any(|node| node[name].as_u64() > Some(0)) {
                return nodes;
            }
            assert!(
                Instant::now() < deadline,
                "{source}: {name} never counted: {data}"
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn set_rule(&mut self, source: &str, allow_qps: f64) -> Answer {
        let request = UpdateFlowRuleRequest {
            source: source.to_owned(),
            allow_qps,
        };
        answer(self.client.update_flow_rule(request).await)
    }

    async fn properties(&mut self, keyword: &str) -> Answer {
        let request = QueryPropsRequest {
            keyword: keyword.to_owned(),
        };
        answer(self.client.list_props(request).await)
    }

    async fn process(&mut self) -> Answer {
        answer(
            self.client
                .query_jvm_info(QueryJvmInfoRequest::default())
                .await,
        )
    }

    async fn update_service(&mut self, url: &str, router_mode: &str, weight: i32) -> Answer {
        let request = UpdateServiceRequest {
            url: url.to_owned(),
            router_mode: router_mode.to_owned(),
            weight,
            version: -1,
        };
        answer(self.client.update_service(request).await)
    }

    async fn update_config(&mut self, file_path: &str, data: &str) -> Result<Answer, Status> {
        let request = UpdateConfigRequest {
            file_path: file_path.to_owned(),
            data: data.to_owned(),
        };
        let response = self.client.update_config(request).await?;
        Ok(answer(Ok(response)))
    }

    async fn health(&mut self) -> Answer {
        answer(
            self.client
                .check_health_service(HealthCheckRequest::default())
                .await,
        )
    }
}
