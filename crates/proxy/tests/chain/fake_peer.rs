//! A peer that does what a test wants.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use fate_edge::grpc::GrpcServices;
use fate_edge::intake::ByteBudget;
use fate_proto::proxy::Packet;
use fate_proto::proxy::data_transfer_service_server::{
    DataTransferService, DataTransferServiceServer,
};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status};

pub(crate) const LARGE: usize = 64 << 20;

/// Answers every packet with itself, as soon as it may.
pub(crate) struct FakePeer {
    pub(crate) address: SocketAddr,
    /// A call needs one of these to be answered.
    pub(crate) answers: Arc<Semaphore>,
    /// Metadata of the calls.
    pub(crate) seen: mpsc::UnboundedReceiver<MetadataMap>,
    given_up: Arc<AtomicUsize>,
    _stop: DropGuard,
}

#[derive(Clone)]
struct Echo {
    answers: Arc<Semaphore>,
    seen: mpsc::UnboundedSender<MetadataMap>,
    given_up: Arc<AtomicUsize>,
}

impl FakePeer {
    /// A peer that answers at once.
    pub(crate) async fn quick() -> Self {
        Self::start(Semaphore::MAX_PERMITS).await
    }

    /// A peer that answers nothing until it is given permits.
    pub(crate) async fn slow() -> Self {
        Self::start(0).await
    }

    async fn start(answers: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, seen) = mpsc::unbounded_channel();
        let echo = Echo {
            answers: Arc::new(Semaphore::new(answers)),
            seen: sender,
            given_up: Arc::default(),
        };
        let (services, _) = GrpcServices::new(ByteBudget::new(4 * LARGE), Vec::new())
            .await
            .unwrap();
        let service = DataTransferServiceServer::new(echo.clone())
            .max_decoding_message_size(LARGE)
            .max_encoding_message_size(LARGE);
        let stop = CancellationToken::new();
        tokio::spawn(services.with(service).serve(listener, stop.clone()));
        Self {
            address,
            answers: echo.answers,
            seen,
            given_up: echo.given_up,
            _stop: stop.drop_guard(),
        }
    }

    /// Calls whose callers went away before there was an answer.
    pub(crate) fn given_up(&self) -> usize {
        self.given_up.load(Ordering::SeqCst)
    }
}

/// Counts when it is dropped before its time.
struct Unanswered(Option<Arc<AtomicUsize>>);

impl Drop for Unanswered {
    fn drop(&mut self) {
        if let Some(count) = &self.0 {
            count.fetch_add(1, Ordering::SeqCst);
        }
    }
}

#[tonic::async_trait]
impl DataTransferService for Echo {
    async fn unary_call(&self, request: Request<Packet>) -> Result<Response<Packet>, Status> {
        let mut unanswered = Unanswered(Some(Arc::clone(&self.given_up)));
        // The test may have ended.
        let _ = self.seen.send(request.metadata().clone());
        self.answers.acquire().await.unwrap().forget();
        unanswered.0 = None;
        Ok(Response::new(request.into_inner()))
    }
}
