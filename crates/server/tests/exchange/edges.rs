//! The edges beside inference: HTTP forms, health, reflection, queryModel, limits, drain.

use std::time::Duration;

use fate_proto::model::{QueryModelRequest, UnbindRequest, UnloadRequest};
use serde_json::Value;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use crate::cluster::{channel, guest_of, http, models, pair};
use crate::example::{GUEST, VERSION};
use crate::false_host::{FalseHost, Manner};

pub(crate) const FLAT: &str =
    r#"{"serviceId":"lr-test","featureData":{"x0":0.5},"sendToRemoteFeatureData":{"id":"1"}}"#;

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| panic!("{text}"))
}

#[tokio::test]
async fn the_proxys_form_over_http() {
    let pair = pair(&[], &[]).await;
    let body = r#"{"head":{"serviceId":"lr-test"},"body":{"featureData":{"x0":0.5},"sendToRemoteFeatureData":{"id":"1"}}}"#;
    let (status, answer) = http(
        pair.guest.http(),
        "POST /federation/v1/inference",
        body.as_bytes(),
    )
    .await;
    let answer = json(&answer);
    let keys: Vec<&str> = answer
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    assert_eq!(
        (status, keys),
        (200, vec!["retcode", "retmsg", "data", "flag"])
    );
    assert!((answer["data"]["score"].as_f64().unwrap() - 0.4912321851754741).abs() <= 1e-12);

    let batch = r#"{"head":{"serviceId":"lr-test"},"body":{"batchDataList":[{"index":0,"featureData":{"x0":0.5},"sendToRemoteFeatureData":{"id":"1"}}]}}"#;
    let (_, answer) = http(
        pair.guest.http(),
        "POST /federation/v1/batchInference",
        batch.as_bytes(),
    )
    .await;
    assert!(
        json(&answer)["batchDataList"][0]["data"]["score"].is_f64(),
        "{answer}"
    );

    for (path, body, expected) in [
        (
            "POST /federation/v1/inference",
            "{",
            r#"{"code":110,"message":"SYSTEM_ERROR"}"#,
        ),
        (
            "PUT /federation/v1/inference",
            "{}",
            r#"{"code":110,"message":"SYSTEM_ERROR"}"#,
        ),
        (
            "POST /federation/v1/nothing",
            "{}",
            r#"{"retcode":122,"retmsg":"SERVICE_NOT_FOUND","data":{},"flag":0}"#,
        ),
    ] {
        assert_eq!(
            http(pair.guest.http(), path, body.as_bytes()).await,
            (200, expected.to_owned())
        );
    }
    let (status, _) = http(pair.guest.http(), "GET /nowhere", b"").await;
    assert_eq!(status, 404);
}

#[tokio::test]
async fn rows_that_differ_only_at_the_host_have_scores_of_their_own() {
    let pair = pair(&[], &[]).await;
    let rows: Vec<String> = (0..300)
        .map(|index| {
            let id = if index % 2 == 0 { 1 } else { 2 };
            format!(r#"{{"index":{index},"featureData":{{"x0":0.5}},"sendToRemoteFeatureData":{{"device_id":"{id}"}}}}"#)
        })
        .collect();
    let body = format!(
        r#"{{"serviceId":"lr-test","batchDataList":[{}]}}"#,
        rows.join(",")
    );
    let answer = pair.guest.infer_batch(&body).await;
    let rows = answer["batchDataList"].as_array().unwrap();
    assert_eq!(rows.len(), 300);
    for (index, row) in rows.iter().enumerate() {
        let expected = [0.4912321851754741, 0.4849119381506504][index % 2];
        assert!(
            (row["data"]["score"].as_f64().unwrap() - expected).abs() <= 1e-12,
            "{index}"
        );
    }
    let one_more = format!(
        r#"{{"serviceId":"lr-test","batchDataList":[{},{{"index":300}}]}}"#,
        body.split_once('[').unwrap().1.rsplit_once(']').unwrap().0
    );
    let answer = pair.guest.infer_batch(&one_more).await;
    assert_eq!(answer["retcode"], 2100);
    assert_eq!(
        answer["retmsg"],
        "host return code 100 host msg :batch size is big than 300"
    );
}

#[tokio::test]
async fn a_guest_refuses_what_no_host_would_take() {
    let host = FalseHost::start(Manner::Fails).await;
    let guest = guest_of(host.address, &[("batch.inference.guest.max", "3")]).await;
    let answer = guest
        .infer_batch(r#"{"serviceId":"lr-test","batchDataList":[{},{},{},{}]}"#)
        .await;
    assert_eq!(
        (&answer["retcode"], &answer["retmsg"]),
        (&Value::from(100), &Value::from("batch size is big than 3"))
    );
    // Under the limit of the request, over that of the message that would come of it.
    let id = "y".repeat((32 << 20) - 1024);
    let body = format!(
        r#"{{"serviceId":"lr-test","batchDataList":[{{"sendToRemoteFeatureData":{{"id":"{id}"}}}}]}}"#
    );
    let answer: Value = json(&guest.infer_batch_text(body.as_bytes()).await);
    assert_eq!(answer["retcode"], 100, "{}", answer["retmsg"]);
    let text = answer["retmsg"].as_str().unwrap();
    assert!(
        text.starts_with("the request is too large: its message to host 10000"),
        "{text}"
    );
    assert!(host.asked.lock().is_empty());
}

#[tokio::test]
async fn health_and_reflection() {
    let pair = pair(&[], &[]).await;
    let mut health = HealthClient::new(channel(pair.guest.grpc()).await);
    for service in ["", "com.webank.ai.fate.api.serving.InferenceService"] {
        let request = HealthCheckRequest {
            service: service.to_owned(),
        };
        assert_eq!(
            health.check(request).await.unwrap().into_inner().status,
            1,
            "{service}"
        );
    }
    let (status, text) = http(pair.guest.http(), "GET /ready", b"").await;
    assert_eq!((status, &json(&text)["ready"]), (200, &Value::Bool(true)));

    use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
    use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
    use tonic_reflection::pb::v1::{
        ServerReflectionRequest, server_reflection_response::MessageResponse,
    };
    let mut reflection = ServerReflectionClient::new(channel(pair.guest.grpc()).await);
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut answers = reflection
        .server_reflection_info(tokio_stream::iter([request]))
        .await
        .unwrap()
        .into_inner();
    let answer = answers
        .message()
        .await
        .unwrap()
        .unwrap()
        .message_response
        .unwrap();
    let MessageResponse::ListServicesResponse(list) = answer else {
        panic!("{answer:?}")
    };
    let names: Vec<&str> = list
        .service
        .iter()
        .map(|service| service.name.as_str())
        .collect();
    for name in [
        "com.webank.ai.fate.api.serving.InferenceService",
        "com.webank.ai.fate.api.networking.proxy.DataTransferService",
        "com.webank.ai.fate.api.mlmodel.manager.ModelService",
        "com.webank.ai.fate.api.networking.common.CommonService",
        "grpc.health.v1.Health",
    ] {
        assert!(names.contains(&name), "{name} in {names:?}");
    }
}

#[tokio::test]
async fn query_model_and_the_end_of_a_model() {
    let pair = pair(&[], &[]).await;
    let mut models = models(pair.guest.grpc()).await;
    let by = |query_type, service_id: &str, namespace: &str| QueryModelRequest {
        query_type,
        service_id: service_id.to_owned(),
        table_name: VERSION.to_owned(),
        namespace: namespace.to_owned(),
        ..QueryModelRequest::default()
    };
    for (request, found) in [
        (by(0, "", ""), 1),
        (by(1, "R-TES", ""), 1),
        (by(1, "", ""), 1),
        (by(1, "other", ""), 0),
        (by(2, "", GUEST), 1),
        (by(2, "", "other"), 0),
        (by(7, "", GUEST), 0),
    ] {
        let answer = models
            .query_model(request.clone())
            .await
            .unwrap()
            .into_inner();
        assert_eq!(
            (answer.retcode, answer.model_infos.len()),
            (0, found),
            "{request:?}"
        );
        if let Some(info) = answer.model_infos.first() {
            assert_eq!(info.service_ids, ["lr-test"]);
            let nodes = &info.model_processor_ext.as_ref().unwrap().nodes;
            assert_eq!(!nodes.is_empty(), request.query_type == 0);
            let content = json(&info.content);
            assert_eq!(content["partId"], "9999");
            assert_eq!(content["federationModelMap"]["10000"]["role"], "host");
            assert_eq!(content["resourceName"], format!("M_{VERSION}_{GUEST}"));
        }
    }
    let unbind = |service_id: &str| UnbindRequest {
        service_ids: vec![service_id.to_owned()],
        table_name: VERSION.to_owned(),
        namespace: GUEST.to_owned(),
    };
    let answer = models.unbind(unbind("other")).await.unwrap().into_inner();
    assert_eq!(
        (answer.status_code, answer.message.as_str()),
        (104, "unbind request info is error")
    );
    let answer = models.unbind(unbind("lr-test")).await.unwrap().into_inner();
    assert_eq!((answer.status_code, answer.message.as_str()), (0, ""));
    assert_eq!(pair.guest.infer(FLAT).await["retcode"], 104);

    assert_eq!(pair.guest.bind_example("lr-test").await.status_code, 0);
    assert_eq!(pair.guest.infer(FLAT).await["retcode"], 0);
    let unload = UnloadRequest {
        table_name: VERSION.to_owned(),
        namespace: GUEST.to_owned(),
    };
    assert_eq!(
        models
            .unload(unload.clone())
            .await
            .unwrap()
            .into_inner()
            .status_code,
        0
    );
    assert_eq!(pair.guest.infer(FLAT).await["retcode"], 104);
    let again = models.unload(unload).await.unwrap().into_inner();
    assert_eq!(
        (again.status_code, again.message.as_str()),
        (
            104,
            " found model info, please check if the model is already loaded."
        )
    );
}

#[tokio::test]
async fn one_call_too_many_is_refused_at_once_and_a_drain_answers_the_rest() {
    let reply = r#"{"retcode":0,"data":{"hetero_lr_0":{"score":1.0}}}"#;
    let slow = Manner::Dawdles(Duration::from_millis(1500), reply.to_owned());
    let host = FalseHost::start(slow).await;
    let guest = guest_of(host.address, &[("serving.max.inflight", "2")]).await;
    let (first, second) = (guest.infer(FLAT), guest.infer(FLAT));
    let third = async {
        while host.asked.lock().len() < 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        guest.infer(FLAT).await
    };
    let refused_first = async {
        let answer = third.await;
        (answer, tokio::time::Instant::now())
    };
    let (first, second, (third, refused_at)) = tokio::join!(first, second, refused_first);
    assert_eq!(
        (&first["retcode"], &second["retcode"]),
        (&Value::from(0), &Value::from(0))
    );
    assert_eq!(third["retcode"], 124, "{third}");
    assert_eq!(
        third["retmsg"],
        "request was block by over load, service name: singleInference"
    );
    assert!(
        refused_at.elapsed() > Duration::from_millis(300),
        "the refusal did not wait"
    );

    // A call is in flight when the drain begins; it is answered.
    let address = guest.grpc();
    let in_flight = tokio::spawn(async move {
        let mut client =
            fate_proto::inference::inference_service_client::InferenceServiceClient::new(
                channel(address).await,
            );
        let request = fate_proto::inference::InferenceMessage {
            body: FLAT.as_bytes().to_vec().into(),
            ..Default::default()
        };
        let answer = client.inference(request).await.unwrap().into_inner();
        json(std::str::from_utf8(&answer.body).unwrap())
    });
    while host.asked.lock().len() < 3 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    guest.server.drain().await;
    assert_eq!(in_flight.await.unwrap()["retcode"], 0);
    assert!(
        tokio::net::TcpStream::connect(address).await.is_err(),
        "the port is closed"
    );
}

#[tokio::test]
async fn a_flow_rule_limits_an_interface_and_a_model() {
    use fate_proto::common_service::UpdateFlowRuleRequest;
    use fate_proto::common_service::common_service_client::CommonServiceClient;
    let pair = pair(&[], &[]).await;
    let mut common = CommonServiceClient::new(channel(pair.guest.grpc()).await);
    let model = format!("M_{VERSION}_{GUEST}");
    for (source, text) in [
        (
            model.as_str(),
            format!("request was block by over load, model resource: {model}"),
        ),
        (
            "I_singleInference",
            "request was block by over load, service name: singleInference".to_owned(),
        ),
    ] {
        let rule = UpdateFlowRuleRequest {
            source: source.to_owned(),
            allow_qps: 0.0,
        };
        let answer = common.update_flow_rule(rule).await.unwrap().into_inner();
        assert_eq!(
            (answer.status_code, answer.message.as_str()),
            (0, "success")
        );
        let answer = pair.guest.infer(FLAT).await;
        assert_eq!(
            (&answer["retcode"], &answer["retmsg"]),
            (&Value::from(124), &Value::from(text))
        );
    }
}

#[tokio::test]
async fn what_was_published_is_there_after_a_restart() {
    let pair = pair(&[], &[]).await;
    let crate::cluster::Node { server, folder } = pair.guest;
    server.drain().await;
    let path = folder.path().to_str().unwrap();
    let hosts = format!("10000={}", pair.host.grpc());
    let mut config = fate_server::Config::from_pairs([
        ("port", "0"),
        ("server.port", ""),
        ("model.cache.path", path),
        ("federation.hosts", hosts.as_str()),
    ])
    .unwrap();
    config.bind = std::net::Ipv4Addr::LOCALHOST.into();
    let server = fate_server::Server::start(config).await.unwrap();
    let node = crate::cluster::Node { server, folder };
    let answer = node.infer(FLAT).await;
    assert!((answer["data"]["score"].as_f64().unwrap() - 0.4912321851754741).abs() <= 1e-12);
}
