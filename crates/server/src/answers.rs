//! Answers that never reach the inference code: refused, stopping (contract 01 §5).

use fate_domain::fault::Fault;
use fate_domain::return_code::ReturnCode;
use fate_federation::Shape;

use crate::admission::Refused;

/// A `ReturnResult` with nothing but a code and a text.
pub(crate) fn return_result(code: ReturnCode, message: &str) -> Vec<u8> {
    fate_federation::failed_reply(Shape::Single, &Fault::new(code, message))
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
