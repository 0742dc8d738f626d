//! What a finished call leaves for counters and logs.

use std::sync::Arc;
use std::time::{Duration, Instant};

use fate_domain::fault::Fault;
use fate_domain::return_code::ReturnCode;
use fate_model::LoadedModel;

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
    pub model: Option<Arc<LoadedModel>>,
    /// Whether it was refused because its model has as many calls as it may have.
    pub is_model_full: bool,
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
    /// Where the time went.
    pub laps: Laps,
}

/// A part of a call's way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Reading the request, finding the model, writing questions to hosts.
    Parse,
    /// A host: asking its source of features.
    Features,
    /// The party's own part.
    Local,
    /// A guest: waiting for hosts, after its own part.
    Remote,
    /// A guest: reading the parts and putting them together.
    Merge,
    /// Writing the answer.
    Encode,
}

impl Stage {
    /// All of them, in the order of a call.
    pub const ALL: [Self; 6] = [
        Self::Parse,
        Self::Features,
        Self::Local,
        Self::Remote,
        Self::Merge,
        Self::Encode,
    ];

    /// For labels.
    pub fn name(self) -> &'static str {
        match self {
            Self::Parse => "parse",
            Self::Features => "features",
            Self::Local => "local",
            Self::Remote => "remote",
            Self::Merge => "merge",
            Self::Encode => "encode",
        }
    }
}

/// What each stage of a call took, as far as it came.
#[derive(Debug, Clone, Copy)]
pub struct Laps {
    last: Instant,
    spent: [Option<Duration>; Stage::ALL.len()],
}

impl Laps {
    fn start() -> Self {
        Self {
            last: Instant::now(),
            spent: [None; Stage::ALL.len()],
        }
    }

    /// Ends a stage now; it began when the one before it ended.
    pub(crate) fn end(&mut self, stage: Stage) {
        let now = Instant::now();
        self.spent[stage as usize] = Some(now - self.last);
        self.last = now;
    }

    /// What a stage took; `None` when the call did not get to its end.
    pub fn of(&self, stage: Stage) -> Option<Duration> {
        self.spent[stage as usize]
    }
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
            is_model_full: false,
            rows: 1,
            failed_rows: 0,
            cache_hits: 0,
            cache_misses: 0,
            downstream: Duration::ZERO,
            laps: Laps::start(),
        }
    }

    pub(crate) fn fail(&mut self, fault: &Fault) {
        self.return_code = fault.code;
    }
}
