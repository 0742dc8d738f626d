//! A host that answers whatever a test wants, and remembers what it was asked.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use fate_proto::proxy::data_transfer_service_server::{
    DataTransferService, DataTransferServiceServer,
};
use fate_proto::proxy::{Data, Packet};
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tonic::{Request, Response, Status};

/// What the host does with a call.
#[derive(Debug, Clone)]
pub(crate) enum Manner {
    /// Replies with this body.
    Says(String),
    /// Fails the call.
    Fails,
    /// Takes this long, then replies with the body.
    Dawdles(Duration, String),
    /// Takes this long, then replies with what it makes of the packet.
    Thinks(Duration, fn(&Packet) -> String),
}

#[derive(Debug)]
struct Service {
    manner: Manner,
    asked: Arc<Mutex<Vec<Packet>>>,
}

#[tonic::async_trait]
impl DataTransferService for Service {
    async fn unary_call(&self, request: Request<Packet>) -> Result<Response<Packet>, Status> {
        let packet = request.into_inner();
        self.asked.lock().push(packet.clone());
        let body = match &self.manner {
            Manner::Says(body) => body.clone(),
            Manner::Fails => return Err(Status::unavailable("boom")),
            Manner::Dawdles(time, body) => {
                tokio::time::sleep(*time).await;
                body.clone()
            }
            Manner::Thinks(time, answer) => {
                tokio::time::sleep(*time).await;
                answer(&packet)
            }
        };
        Ok(Response::new(Packet {
            body: Some(Data {
                key: String::new(),
                value: body.into_bytes().into(),
            }),
            ..Packet::default()
        }))
    }
}

/// Stops with its value.
pub(crate) struct FalseHost {
    pub(crate) address: SocketAddr,
    pub(crate) asked: Arc<Mutex<Vec<Packet>>>,
    task: JoinHandle<()>,
}

impl FalseHost {
    pub(crate) async fn start(manner: Manner) -> FalseHost {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let service = DataTransferServiceServer::new(Service {
            manner,
            asked: Arc::clone(&asked),
        });
        let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
        let task = tokio::spawn(async move {
            tonic::transport::Server::builder()
                .add_service(service)
                .serve_with_incoming(incoming)
                .await
                .unwrap();
        });
        FalseHost {
            address,
            asked,
            task,
        }
    }
}

impl Drop for FalseHost {
    fn drop(&mut self) {
        self.task.abort();
    }
}
