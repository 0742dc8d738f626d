//! The name under which a host's server registers a model (contract 04 A.4, step 5).

use fate_domain::fault::Fault;
use fate_domain::java_number::parse_double;
use fate_domain::members::Members;
use fate_domain::return_code::ReturnCode;
use fate_proto::proxy::Packet;
use md5::{Digest as _, Md5};

/// The registry's environment of the host model that a packet is for; `None` when it names no model.
///
/// # Errors
/// 110 when `header.operator` is neither blank nor a number.
pub(super) fn environment(packet: &Packet) -> Result<Option<String>, Fault> {
    let header = packet.header.as_ref();
    let operator = header.map_or("", |header| header.operator.as_str());
    if is_first_generation(operator)? {
        return Ok(named_in_body(packet));
    }
    let task = header.and_then(|header| header.task.as_ref());
    let model = task.and_then(|task| task.model.as_ref());
    let (table_name, namespace) =
        model.map_or(("", ""), |model| (&model.table_name, &model.namespace));
    Ok(Some(key(table_name, namespace)))
}

/// Guests of version 1.x name the model in the body.
fn is_first_generation(operator: &str) -> Result<bool, Fault> {
    if operator.trim().is_empty() {
        return Ok(true);
    }
    match parse_double(operator) {
        Some(version) => Ok(version < 200.0),
        None => {
            let shown: String = operator.chars().take(64).collect();
            Err(Fault::new(
                ReturnCode::SYSTEM,
                format!("For input string: \"{shown}\""),
            ))
        }
    }
}

fn named_in_body(packet: &Packet) -> Option<String> {
    let body = std::str::from_utf8(&packet.body.as_ref()?.value).ok()?;
    let info = Members::leading(body)?.get("partnerModelInfo")?;
    let info = Members::whole(info).ok()?;
    let (namespace, name) = (text(info.get("namespace")?), text(info.get("name")?));
    Some(key(&name, &namespace))
}

/// A text without its quotes, anything else as it is spelled.
fn text(value: &str) -> String {
    serde_json::from_str(value).unwrap_or_else(|_| value.to_owned())
}

fn key(table_name: &str, namespace: &str) -> String {
    let digest = Md5::digest(format!("{table_name}&{namespace}"));
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use fate_proto::proxy::{Data, Metadata, Model, Task};

    use super::*;

    const NAMESPACE: &str = "host#10000#arbiter-10000#guest-9999#host-10000#model";
    const TABLE_NAME: &str = "2020040111152695637611";
    /// Contract 04 H.1, 3.
    const KEY: &str = "0d376e2d1f25b7b47fe48e1c0feaf194";

    fn packet(operator: &str, body: &str) -> Packet {
        Packet {
            header: Some(Metadata {
                task: Some(Task {
                    task_id: String::new(),
                    model: Some(Model {
                        namespace: NAMESPACE.to_owned(),
                        table_name: TABLE_NAME.to_owned(),
                    }),
                }),
                operator: operator.to_owned(),
                ..Metadata::default()
            }),
            body: Some(Data {
                key: String::new(),
                value: body.to_owned().into(),
            }),
            auth: None,
        }
    }

    #[test]
    fn the_header_names_the_model_from_version_200_on() {
        for operator in ["216", "200", "200.0", "2e2", " 216 "] {
            assert_eq!(
                environment(&packet(operator, "{}")),
                Ok(Some(KEY.to_owned())),
                "{operator}"
            );
        }
    }

    #[test]
    fn the_body_names_it_before() {
        let body = format!(
            r#"{{"partnerModelInfo":{{"name":"{TABLE_NAME}","namespace":"{NAMESPACE}"}}}}"#
        );
        let numeric =
            format!(r#"{{"partnerModelInfo":{{"name":{TABLE_NAME},"namespace":"{NAMESPACE}"}}}}"#);
        for operator in ["", "  ", "199.9", "1"] {
            for body in [&body, &numeric] {
                assert_eq!(
                    environment(&packet(operator, body)),
                    Ok(Some(KEY.to_owned())),
                    "{operator}"
                );
            }
        }
        for body in [
            "",
            "{}",
            "x",
            r#"{"partnerModelInfo":null}"#,
            r#"{"partnerModelInfo":{"name":"a"}}"#,
        ] {
            assert_eq!(environment(&packet("", body)), Ok(None), "{body}");
        }
    }

    #[test]
    fn another_operator_is_an_error() {
        let fault = environment(&packet("two", "{}")).unwrap_err();
        assert_eq!(
            (fault.code.0, fault.message.as_str()),
            (110, "For input string: \"two\"")
        );
    }
}
