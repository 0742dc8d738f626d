//! What a finished call leaves for counters and logs.

use std::time::Duration;

use fate_domain::fault::Fault;
use fate_domain::model_key::ModelKey;
use fate_domain::return_code::ReturnCode;

/// The body of an answer, and what is to be counted.
#[derive(Debug)]
pub struct Answer {
    /// UTF-8 JSON (contract 01 §2.4, §2.5).
    pub body: Vec<u8>,
    /// For counters and the flow log.
    pub record: CallRecord,
}

/// One finished call.
#[derive(Debug, Clone)]
pub struct CallRecord {
    /// The client's case id, or the one made for it; empty when the call failed before it was known.
    pub case_id: String,
    /// The code of the whole answer.
    pub return_code: ReturnCode,
    /// Name of the service in the contract, for the flow log.
    pub service: &'static str,
    /// Resource that is counted.
    pub resource: &'static str,
    /// The model, once it was found.
    pub model: Option<ModelKey>,
    /// Rows asked for.
    pub rows: u32,
    /// Rows of a successful batch that have no score.
    pub failed_rows: u32,
    /// Hosts' parts of rows that were remembered.
    pub cache_hits: u32,
    /// Those that were looked for in vain.
    pub cache_misses: u32,
    /// Time spent waiting for other parties.
    pub downstream: Duration,
}

impl CallRecord {
    /// A call that has just come in.
    pub(crate) fn new(service: &'static str, resource: &'static str) -> Self {
        Self {
            case_id: String::new(),
            return_code: ReturnCode::SUCCESS,
            service,
            resource,
            model: None,
            rows: 1,
            failed_rows: 0,
            cache_hits: 0,
            cache_misses: 0,
            downstream: Duration::ZERO,
        }
    }

    pub(crate) fn fail(&mut self, fault: &Fault) {
        self.return_code = fault.code;
    }
}
