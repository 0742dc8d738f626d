//! Calls to other serving-servers that are not inference: fetching a model, management on behalf of an HTTP caller.

use std::net::Ipv4Addr;
use std::time::Duration;

use fate_domain::fault::Fault;
use fate_domain::model_key::ModelKey;
use fate_domain::return_code::ReturnCode;
use fate_edge::channel::lazy_channel;
use fate_edge::config::Address;
use fate_proto::common_service::common_service_client::CommonServiceClient;
use fate_proto::common_service::{CommonResponse, UpdateServiceRequest};
use fate_proto::model::model_service_client::ModelServiceClient;
use fate_proto::model::{
    FetchModelRequest, FetchModelResponse, ModelInfoEx, ModelTransferRequest,
    ModelTransferResponse, QueryModelRequest, UnbindRequest, UnbindResponse,
};
use tonic::transport::Channel;
use tonic::{Request, Response, Status};

/// Descriptions of all models of a large node.
const MAX_LIST_BYTES: usize = 64 << 20;

/// Java accepts nothing but dotted IPv4 here.
pub(crate) fn dotted_address(ip: &str, port: i32) -> Result<Address, Fault> {
    let literal = ip.parse::<Ipv4Addr>();
    let port = u16::try_from(port).ok().filter(|port| *port > 0);
    match (literal, port) {
        (Ok(_), Some(port)) => Ok(Address {
            host: ip.to_owned(),
            port,
        }),
        _ => Err(Fault::new(ReturnCode::SYSTEM, "invalid address")),
    }
}

/// Asks a server for a model; anything but its success is an error with the server's own code and text.
pub(crate) async fn model_transfer(
    server: &Address,
    key: &ModelKey,
    max_bytes: usize,
    timeout: Duration,
) -> Result<ModelTransferResponse, Fault> {
    let request = ModelTransferRequest {
        table_name: key.table_name.clone(),
        namespace: key.namespace.clone(),
        ..ModelTransferRequest::default()
    };
    let mut client = models(server)?.max_decoding_message_size(max_bytes);
    let call = client.model_transfer(with_timeout(request, timeout));
    let answer = within(server, timeout, call).await?;
    match answer.status_code {
        0 => Ok(answer),
        code => Err(Fault::new(ReturnCode(code), answer.message)),
    }
}

/// The largest answer of a transfer: buffers of `max_model_bytes` as Base64, names and punctuation.
pub(crate) fn transfer_limit(max_model_bytes: u64) -> usize {
    let text = max_model_bytes
        .saturating_add(max_model_bytes / 3)
        .saturating_add(2 << 20);
    usize::try_from(text).unwrap_or(usize::MAX)
}

/// Everything that a server holds.
pub(crate) async fn query_models(
    server: &Address,
    timeout: Duration,
) -> Result<Vec<ModelInfoEx>, Fault> {
    let mut client = models(server)?.max_decoding_message_size(MAX_LIST_BYTES);
    let call = client.query_model(with_timeout(QueryModelRequest::default(), timeout));
    let answer = within(server, timeout, call).await?;
    match answer.retcode {
        0 => Ok(answer.model_infos),
        code => Err(Fault::new(ReturnCode(code), answer.message)),
    }
}

pub(crate) async fn unbind(
    server: &Address,
    request: UnbindRequest,
    timeout: Duration,
) -> Result<UnbindResponse, Fault> {
    let mut client = models(server)?;
    within(
        server,
        timeout,
        client.unbind(with_timeout(request, timeout)),
    )
    .await
}

pub(crate) async fn fetch_model(
    server: &Address,
    request: FetchModelRequest,
    timeout: Duration,
) -> Result<FetchModelResponse, Fault> {
    let mut client = models(server)?;
    within(
        server,
        timeout,
        client.fetch_model(with_timeout(request, timeout)),
    )
    .await
}

pub(crate) async fn update_service(
    server: &Address,
    request: UpdateServiceRequest,
    timeout: Duration,
) -> Result<CommonResponse, Fault> {
    let mut client = CommonServiceClient::new(channel(server)?);
    within(
        server,
        timeout,
        client.update_service(with_timeout(request, timeout)),
    )
    .await
}

fn models(server: &Address) -> Result<ModelServiceClient<Channel>, Fault> {
    Ok(ModelServiceClient::new(channel(server)?))
}

fn channel(server: &Address) -> Result<Channel, Fault> {
    lazy_channel(server).map_err(|text| Fault::new(ReturnCode::SYSTEM, text))
}

fn with_timeout<T>(message: T, timeout: Duration) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(timeout);
    request
}

async fn within<T>(
    server: &Address,
    timeout: Duration,
    call: impl Future<Output = Result<Response<T>, Status>>,
) -> Result<T, Fault> {
    let net = |text: String| Fault::new(ReturnCode::NET, text);
    match tokio::time::timeout(timeout, call).await {
        Ok(Ok(response)) => Ok(response.into_inner()),
        Ok(Err(status)) => Err(net(format!("server {server}: {}", status.message()))),
        Err(_) => Err(net(format!(
            "server {server} did not answer within {} ms",
            timeout.as_millis()
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_dotted_addresses_are_taken() {
        assert_eq!(
            dotted_address("127.0.0.1", 8000).unwrap().to_string(),
            "127.0.0.1:8000"
        );
        for (ip, port) in [
            ("localhost", 8000),
            ("", 8000),
            ("::1", 8000),
            ("127.0.0.1", 0),
            ("127.0.0.1", -1),
            ("127.0.0.1", 65536),
            ("127.0.0.1:1", 80),
            ("999.0.0.1", 80),
        ] {
            let fault = dotted_address(ip, port).unwrap_err();
            assert_eq!(
                (fault.code.0, fault.message.as_str()),
                (110, "invalid address")
            );
        }
    }
}
