//! Loading a set at every party and binding it at the guest, as FATE-Flow does it.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use fate_golden::{Party, Set};
use fate_proto::model as wire;
use fate_proto::model::model_service_client::ModelServiceClient;

use crate::parties::Parties;

impl Parties {
    /// The set's name becomes its service id.
    pub(crate) async fn publish(&self, set: &Set) {
        for party in set.hosts().iter().chain([set.guest()]) {
            let own = self.of(&party.party_id);
            let path = own.folder.path().join(format!("{}.cache", set.name));
            std::fs::write(&path, cache(party)).unwrap();
            let request = wire::PublishRequest {
                load_type: "CACHE".to_owned(),
                file_path: path.to_str().unwrap().to_owned(),
                ..request(party, &set.parties)
            };
            let mut models = self.models(party).await;
            let answer = models.publish_load(request).await.unwrap().into_inner();
            assert_eq!(answer.status_code, 0, "{}: {}", set.name, answer.message);
        }
        let guest = set.guest();
        let request = wire::PublishRequest {
            service_id: set.name.clone(),
            ..request(guest, std::slice::from_ref(guest))
        };
        let mut models = self.models(guest).await;
        let answer = models.publish_bind(request).await.unwrap().into_inner();
        assert_eq!(answer.status_code, 0, "{}: {}", set.name, answer.message);
    }

    async fn models(&self, party: &Party) -> ModelServiceClient<tonic::transport::Channel> {
        let address = self.of(&party.party_id).server.grpc_addr;
        let address = format!("http://{address}");
        ModelServiceClient::connect(address).await.unwrap()
    }
}

fn cache(party: &Party) -> Vec<u8> {
    let buffers = party.buffers.iter();
    let texts: BTreeMap<_, _> = buffers
        .map(|(key, bytes)| (key, STANDARD.encode(bytes)))
        .collect();
    serde_json::to_vec(&texts).unwrap()
}

fn request(own: &Party, parties: &[Party]) -> wire::PublishRequest {
    let mut role: BTreeMap<String, wire::Party> = BTreeMap::new();
    let mut model: BTreeMap<String, wire::RoleModelInfo> = BTreeMap::new();
    for party in parties {
        let name = party.role.to_string();
        let ids = &mut role.entry(name.clone()).or_default().party_id;
        ids.push(party.party_id.clone());
        let key = wire::ModelInfo {
            table_name: party.key.table_name.clone(),
            namespace: party.key.namespace.clone(),
        };
        let of_role = &mut model.entry(name).or_default().role_model_info;
        of_role.insert(party.party_id.clone(), key);
    }
    wire::PublishRequest {
        local: Some(wire::LocalInfo {
            role: own.role.to_string(),
            party_id: own.party_id.clone(),
        }),
        role,
        model,
        ..wire::PublishRequest::default()
    }
}
