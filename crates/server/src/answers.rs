//! Answers that never reach the inference code (contract 01 §5).

use fate_domain::fault::Fault;
use fate_domain::return_code::ReturnCode;
use fate_federation::Shape;

/// A `ReturnResult` with nothing but a code and a text.
pub(crate) fn return_result(code: ReturnCode, message: &str) -> Vec<u8> {
    fate_federation::failed_reply(Shape::Single, &Fault::new(code, message))
}
