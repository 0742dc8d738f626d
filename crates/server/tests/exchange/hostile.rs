//! Malformed, oversized and malicious input: the contract's code and a text, and the node serves on.

use fate_proto::proxy::data_transfer_service_client::DataTransferServiceClient;
use fate_proto::proxy::{Command, Data, Metadata, Model, Packet, Task};
use serde_json::Value;

use crate::cluster::{Node, channel, http, models, pair, publish_request};
use crate::example::{GUEST, HOST, VERSION};

async fn still_serves(node: &Node) {
    let body = r#"{"serviceId":"lr-test","sendToRemoteFeatureData":{"id":"1"}}"#;
    assert_eq!(node.infer(body).await["retcode"], 0);
}

#[tokio::test]
async fn bad_requests_at_the_guest() {
    let pair = pair(&[], &[]).await;
    let deep = format!(
        r#"{{"serviceId":"lr-test","featureData":{{"x0":{}1{}}}}}"#,
        "[".repeat(100_000),
        "]".repeat(100_000)
    );
    let parse = "request message parse error";
    let cases: &[(&[u8], i32, &str)] = &[
        (b"", 100, parse),
        (b"\xff\xfe", 100, parse),
        (b"null", 100, parse),
        (b"{\"serviceId\":", 100, parse),
        (
            b"{\"serviceId\":\"lr-test\",\"featureData\":[]}",
            100,
            parse,
        ),
        (
            b"{\"serviceId\":\"lr-test\",\"featureData\":{\"x0\":NaN}}",
            100,
            parse,
        ),
        (
            deep.as_bytes(),
            110,
            "a feature of the linear model is missing or not a number: x0",
        ),
        (b"{}", 100, "no service id"),
        (b"{\"serviceId\":null}", 100, "no service id"),
        (
            b"{\"serviceId\":\"lr-test\",\"featureData\":null}",
            100,
            "no feature data",
        ),
        (
            b"{\"serviceId\":\"LR-TEST\"}",
            104,
            "serviceId is not bind model",
        ),
    ];
    for (body, code, text) in cases {
        let shown = String::from_utf8_lossy(&body[..body.len().min(60)]).into_owned();
        let answer: Value = serde_json::from_str(&pair.guest.infer_text(body).await).unwrap();
        assert_eq!(answer["retcode"], *code, "{shown}: {answer}");
        assert_eq!(answer["retmsg"], *text, "{shown}: {answer}");
        let (status, answer) = http(pair.guest.http(), "POST /v1/inference", body).await;
        let answer: Value = serde_json::from_str(&answer).unwrap();
        assert_eq!(
            (status, &answer["retcode"]),
            (200, &Value::from(*code)),
            "{shown}"
        );
    }
    for value in ["\"abc\"", "{}", "[]", "true", "\"1e999999999\"", "\"0x10\""] {
        let body = format!(
            r#"{{"serviceId":"lr-test","featureData":{{"x0":{value}}},"sendToRemoteFeatureData":{{"id":"1"}}}}"#
        );
        let answer = pair.guest.infer(&body).await;
        let has_score = answer["data"].get("score").is_some();
        assert_eq!(answer["retcode"] == 0, has_score, "{value}: {answer}");
    }
    still_serves(&pair.guest).await;
}

#[tokio::test]
async fn a_body_of_ten_megabytes() {
    let pair = pair(&[], &[]).await;
    let filler = "y".repeat(10 << 20);
    let body = format!(
        r#"{{"serviceId":"lr-test","featureData":{{"{filler}":1,"x0":0.5}},"sendToRemoteFeatureData":{{"id":"1"}}}}"#
    );
    let (status, answer) = http(pair.guest.http(), "POST /v1/inference", body.as_bytes()).await;
    let answer: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!((status, &answer["retcode"]), (200, &Value::from(0)));
    assert!((answer["data"]["score"].as_f64().unwrap() - 0.4912321851754741).abs() <= 1e-12);

    let too_large = vec![b' '; (32 << 20) + 1];
    let (status, answer) = http(pair.guest.http(), "POST /v1/inference", &too_large).await;
    let answer: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!((status, &answer["retcode"]), (200, &Value::from(100)));
    still_serves(&pair.guest).await;
}

fn packet(command: &str, operator: &str, namespace: &str, body: &str) -> Packet {
    Packet {
        header: Some(Metadata {
            task: Some(Task {
                model: Some(Model {
                    namespace: namespace.to_owned(),
                    table_name: VERSION.to_owned(),
                }),
                ..Task::default()
            }),
            command: Some(Command {
                name: command.to_owned(),
            }),
            operator: operator.to_owned(),
            ..Metadata::default()
        }),
        body: Some(Data {
            key: String::new(),
            value: body.as_bytes().to_vec().into(),
        }),
        ..Packet::default()
    }
}

async fn ask(host: &Node, packet: Packet) -> String {
    let mut client = DataTransferServiceClient::new(channel(host.grpc()).await);
    let reply = client.unary_call(packet).await.unwrap().into_inner();
    assert!(reply.header.is_none() && reply.auth.is_none());
    let body = reply.body.unwrap();
    assert_eq!(body.key, "");
    String::from_utf8(body.value.to_vec()).unwrap()
}

#[tokio::test]
async fn what_a_host_answers() {
    let pair = pair(&[], &[("batch.inference.max", "2")]).await;
    let one = r#"{"sendToRemoteFeatureData":{"id":"1"}}"#;
    assert_eq!(
        ask(&pair.host, packet("federatedInference", "216", HOST, one)).await,
        r#"{"retcode":0,"retmsg":"","caseid":"","data":{"hetero_lr_0":{"score":0.12630995579260276},"retcode":0},"log":{},"warn":{},"flag":0}"#
    );
    let legacy = format!(
        r#"{{"partnerModelInfo":{{"name":"{VERSION}","namespace":"{GUEST}"}},"featureIdMap":{{"id":"1"}}}}"#
    );
    for operator in ["", "100"] {
        let answer = ask(
            &pair.host,
            packet("federatedInference", operator, "", &legacy),
        )
        .await;
        let value: Value = serde_json::from_str(&answer).unwrap();
        assert_eq!(
            value["data"]["score"], value["data"]["hetero_lr_0"]["score"],
            "{answer}"
        );
        assert!(value["data"]["score"].is_f64(), "{answer}");
    }
    assert_eq!(
        ask(&pair.host, packet("batch", "216", HOST, r#"{"batchDataList":[{"index":3,"sendToRemoteFeatureData":{"device_id":"2"}},{"index":1,"featureData":{"x300":1},"sendToRemoteFeatureData":{"device_id":"7"}}]}"#)).await
            .split_once(r#""batchDataList":"#).unwrap().1.split_once(r#"{"index":1"#).unwrap().1,
        r#","retcode":113,"data":{"message":"no feature"}}],"singleInferenceResultMap":{"3":{"index":3,"retcode":0,"data":{"hetero_lr_0":{"score":S}}},"1":{"index":1,"retcode":113,"data":{"message":"no feature"}}}}"#
            .replace('S', &id_2_score(&pair.host).await)
    );
}

async fn id_2_score(host: &Node) -> String {
    let two = r#"{"sendToRemoteFeatureData":{"id":"2"}}"#;
    let answer = ask(host, packet("federatedInference", "216", HOST, two)).await;
    let rest = answer.split_once(r#""score":"#).unwrap().1.to_owned();
    rest.split_once('}').unwrap().0.to_owned()
}

#[tokio::test]
async fn bad_packets_at_the_host() {
    let pair = pair(&[], &[("batch.inference.max", "2")]).await;
    let one = r#"{"sendToRemoteFeatureData":{"id":"1"}}"#;
    let cases = [
        (packet("federatedInference4Tree", "216", HOST, one), 125),
        (packet("", "216", HOST, one), 125),
        (packet("federatedInference", "abc", HOST, one), 110),
        (packet("federatedInference", "", HOST, one), 110),
        (packet("federatedInference", "216", HOST, "nonsense"), 110),
        (packet("federatedInference", "216", "nobody", one), 104),
        (
            packet(
                "federatedInference",
                "216",
                HOST,
                r#"{"sendToRemoteFeatureData":{"id":"9"}}"#,
            ),
            113,
        ),
        (packet("federatedInference", "216", HOST, "{}"), 102),
        (packet("batch", "216", HOST, "{}"), 100),
        (
            packet("batch", "216", HOST, r#"{"batchDataList":[{},{},{}]}"#),
            100,
        ),
        (Packet::default(), 110),
    ];
    for (packet, code) in cases {
        let shown = format!("{packet:?}");
        let answer: Value = serde_json::from_str(&ask(&pair.host, packet).await).unwrap();
        assert_eq!(answer["retcode"], code, "{shown}: {answer}");
        assert!(answer["data"].is_object(), "{shown}: {answer}");
        assert_ne!(answer["retmsg"], "", "{shown}: {answer}");
    }
    let hidden: Value = serde_json::from_str(
        &ask(
            &pair.host,
            packet(
                "federatedInference",
                "216",
                HOST,
                r#"{"sendToRemoteFeatureData":{"id":"9"}}"#,
            ),
        )
        .await,
    )
    .unwrap();
    assert_eq!(hidden["retmsg"], "adaptor return error");
    still_serves(&pair.guest).await;
}

#[tokio::test]
async fn bad_publish_requests() {
    let node = Node::start(&[]).await;
    let outside = tempfile::tempdir().unwrap();
    let secret = outside.path().join("secret");
    std::fs::write(&secret, "{}").unwrap();
    let mut models = models(node.grpc()).await;
    for (load_type, path, part) in [
        ("CACHE", secret.to_str().unwrap(), "model.import.path"),
        ("FILE", "../../etc/passwd", ""),
        ("CACHE", "/etc/passwd", ""),
        (
            "FATEFLOW",
            "http://127.0.0.1:1/elsewhere",
            "model.transfer.allow",
        ),
        ("FATEFLOW", "file:///etc/passwd", ""),
        ("FATEFLOW", "", ""),
        (
            "SOMETHING",
            "",
            "No enum constant com.webank.ai.fate.serving.model.ModelLoader.LoadModelType.SOMETHING",
        ),
    ] {
        let mut request = publish_request("guest");
        request.load_type = load_type.to_owned();
        request.file_path = path.to_owned();
        let answer = models.publish_load(request).await.unwrap().into_inner();
        assert_ne!(answer.status_code, 0, "{load_type} {path}");
        assert!(
            answer.message.contains(part),
            "{load_type} {path}: {}",
            answer.message
        );
        assert!(!answer.message.is_empty(), "{load_type} {path}");
        assert_eq!(&answer.data[..], b"{}");
    }
    for (table_name, namespace) in [
        ("../x", GUEST),
        ("a/b", GUEST),
        (VERSION, "x/../y"),
        ("", GUEST),
    ] {
        let mut request = publish_request("guest");
        let path = node.folder.path().join("good.cache");
        crate::example::write_cache(&path, "guest");
        request.load_type = "CACHE".to_owned();
        request.file_path = path.to_str().unwrap().to_owned();
        let own = request.model.get_mut("guest").unwrap();
        let info = own.role_model_info.get_mut("9999").unwrap();
        (info.table_name, info.namespace) = (table_name.to_owned(), namespace.to_owned());
        let answer = models.publish_load(request).await.unwrap().into_inner();
        assert_eq!(
            answer.status_code, 110,
            "{table_name} {namespace}: {}",
            answer.message
        );
    }
    assert_eq!(
        models
            .publish_load(fate_proto::model::PublishRequest::default())
            .await
            .unwrap()
            .into_inner()
            .status_code,
        110
    );
}
