//! `RouterTableService`: the route table over the wire (contract 04 A.5.5).

use bytes::Bytes;
use fate_domain::fault::Fault;
use fate_edge::managed::{ManagedEntry, managed};
use fate_proto::router::router_table_service_server::RouterTableService;
use fate_proto::router::{RouterOperatetRequest, RouterOperatetResponse};
use tonic::{Request, Response, Status};

use super::Edge;
use crate::node::blocking;
use crate::route_table::RouteEditor;

type Answer = Result<Response<RouterOperatetResponse>, Status>;

const fn entry(resource: &'static str, method: &'static str) -> ManagedEntry {
    ManagedEntry {
        resource,
        service: "routerTableService",
        method,
    }
}

#[tonic::async_trait]
impl RouterTableService for Edge {
    async fn query_router(&self, _: Request<RouterOperatetRequest>) -> Answer {
        let entry = entry("I_QUERY_ROUTER", "queryRouter");
        self.edit(entry, |editor| editor.query()).await
    }

    async fn save_router(&self, request: Request<RouterOperatetRequest>) -> Answer {
        self.administrators_only(&request)?;
        let document = request.into_inner().router_info;
        let entry = entry("I_SAVE_ROUTER", "saveRouter");
        self.edit(entry, move |editor| editor.save(&document).map(no_data))
            .await
    }

    async fn add_router(&self, request: Request<RouterOperatetRequest>) -> Answer {
        self.administrators_only(&request)?;
        let addresses = request.into_inner().router_info;
        let entry = entry("I_ADD_ROUTER", "addRouter");
        self.edit(entry, move |editor| editor.add(&addresses).map(no_data))
            .await
    }

    async fn update_router(&self, request: Request<RouterOperatetRequest>) -> Answer {
        self.administrators_only(&request)?;
        let addresses = request.into_inner().router_info;
        let entry = entry("I_UPDATE_ROUTER", "updateRouter");
        self.edit(entry, move |editor| editor.update(&addresses).map(no_data))
            .await
    }

    async fn delete_router(&self, request: Request<RouterOperatetRequest>) -> Answer {
        self.administrators_only(&request)?;
        let addresses = request.into_inner().router_info;
        let entry = entry("I_DELETE_ROUTER", "deleteRouter");
        self.edit(entry, move |editor| editor.delete(&addresses).map(no_data))
            .await
    }
}

fn no_data((): ()) -> String {
    String::new()
}

impl Edge {
    /// Works on the table's file off the async threads.
    async fn edit(
        &self,
        entry: ManagedEntry,
        work: impl FnOnce(&RouteEditor) -> Result<String, Fault> + Send + 'static,
    ) -> Answer {
        let editor = self.node.editor.clone();
        let work = blocking(move || work(&editor));
        let node = &self.node;
        let gate = &node.gates.management;
        let outcome = managed(gate, &node.flow, &node.flow_log, entry, work).await;
        Ok(Response::new(match outcome {
            Ok(data) => RouterOperatetResponse {
                status_code: 0,
                message: "success".to_owned(),
                data: Bytes::from(data),
            },
            Err(fault) => RouterOperatetResponse {
                status_code: fault.code.0,
                message: fault.message,
                data: Bytes::new(),
            },
        }))
    }
}
