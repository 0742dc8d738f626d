//! Answers that never reach the inference code: refused, stopping, broken (contract 01 §2.4, §2.5, §5).

use fate_domain::fault::Fault;
use fate_domain::return_code::ReturnCode;

use crate::admission::Refused;

/// Which of the two answer forms the caller expects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    Single,
    Batch,
}

/// The answer of an inference that failed as a whole.
pub(crate) fn failed(shape: Shape, fault: &Fault) -> Vec<u8> {
    let mut answer = return_result(fault.code, &fault.message);
    if shape == Shape::Batch {
        answer.pop();
        answer.extend_from_slice(br#","batchDataList":[],"singleInferenceResultMap":{}}"#);
    }
    answer
}

/// A `ReturnResult` with nothing but a code and a text.
pub(crate) fn return_result(code: ReturnCode, message: &str) -> Vec<u8> {
    format!(
        r#"{{"retcode":{},"retmsg":{},"caseid":"","data":{{}},"log":{{}},"warn":{{}},"flag":0}}"#,
        code.0,
        serde_json::Value::from(message)
    )
    .into_bytes()
}

/// What a caller is told who may not enter. `service` is the service's name in the contract.
pub(crate) fn refusal(refused: Refused, service: &str) -> Fault {
    match refused {
        Refused::Full => over_load(service),
        Refused::Closed => Fault::new(ReturnCode::SHUTDOWN, "server is shutting down"),
    }
}

/// The contract's text for calls over a limit.
pub(crate) fn over_load(service: &str) -> Fault {
    Fault::new(
        ReturnCode::OVERLOAD,
        format!("request was block by over load, service name: {service}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_answers_have_the_contract_s_keys_and_order() {
        let fault = Fault::new(ReturnCode::MODEL_NULL, "serviceId is not bind model");
        assert_eq!(
            String::from_utf8(failed(Shape::Single, &fault)).unwrap(),
            r#"{"retcode":104,"retmsg":"serviceId is not bind model","caseid":"","data":{},"log":{},"warn":{},"flag":0}"#
        );
        assert_eq!(
            String::from_utf8(failed(Shape::Batch, &fault)).unwrap(),
            r#"{"retcode":104,"retmsg":"serviceId is not bind model","caseid":"","data":{},"log":{},"warn":{},"flag":0,"batchDataList":[],"singleInferenceResultMap":{}}"#
        );
    }

    #[test]
    fn texts_are_escaped() {
        let fault = Fault::new(ReturnCode::SYSTEM, "a \"b\"\n");
        let answer: serde_json::Value =
            serde_json::from_slice(&failed(Shape::Batch, &fault)).unwrap();
        assert_eq!(answer["retmsg"], "a \"b\"\n");
    }

    #[test]
    fn refusals() {
        let full = refusal(Refused::Full, "singleInference");
        assert_eq!(
            (full.code.0, full.message.as_str()),
            (
                124,
                "request was block by over load, service name: singleInference"
            )
        );
        assert_eq!(refusal(Refused::Closed, "x").code.0, 111);
    }
}
