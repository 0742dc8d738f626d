//! Spans, and the one that the running task is in.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use super::context::{SpanId, TraceContext};
use super::recorder::Recorder;

tokio::task_local! {
    static CURRENT: Current;
}

/// What the running task works for.
#[derive(Debug, Clone, Default)]
struct Current {
    context: Option<TraceContext>,
    /// None: this process only hands the context on.
    recorder: Option<Arc<Recorder>>,
}

/// Whose work a span measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Answering a request.
    Server,
    /// Waiting for another's answer.
    Client,
}

/// What a span says besides its times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Note {
    Text(String),
    Number(i64),
}

impl From<&str> for Note {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<i32> for Note {
    fn from(number: i32) -> Self {
        Self::Number(number.into())
    }
}

impl From<i64> for Note {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

impl From<usize> for Note {
    fn from(number: usize) -> Self {
        Self::Number(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

/// A piece of work, from its making until it is dropped. Without a trace, or in one that nobody wants to see, it costs
/// nothing and leaves nothing.
#[derive(Debug, Default)]
pub struct Span {
    current: Current,
    record: Option<Box<Record>>,
}

/// A span that is going to be exported.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) context: TraceContext,
    pub(super) parent: Option<SpanId>,
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) began: SystemTime,
    started: Instant,
    pub(super) ended: SystemTime,
    pub(super) notes: Vec<(&'static str, Note)>,
    /// What went wrong.
    pub(super) failure: Option<String>,
}

/// The context of the running task, to be passed on.
pub fn current() -> Option<TraceContext> {
    CURRENT.try_with(|current| current.context.clone()).ok()?
}

/// Work that another task does for the running one: it belongs to the same span.
pub fn carried<F: Future>(work: F) -> impl Future<Output = F::Output> + use<F> {
    let current = CURRENT.try_with(Current::clone).unwrap_or_default();
    CURRENT.scope(current, work)
}

/// A span of the running task's trace.
pub fn child(name: &'static str, kind: Kind) -> Span {
    let current = CURRENT.try_with(Current::clone).unwrap_or_default();
    match current {
        Current {
            context: Some(parent),
            recorder: Some(recorder),
        } => Span::below(parent, recorder, name, kind),
        only_passed_on => Span {
            current: only_passed_on,
            record: None,
        },
    }
}

impl Span {
    /// A trace that this process hands on and does not take part in.
    pub(super) fn passed_on(context: Option<TraceContext>) -> Self {
        Self {
            current: Current {
                context,
                recorder: None,
            },
            record: None,
        }
    }

    /// The first one of a trace.
    pub(super) fn first(
        context: TraceContext,
        recorder: Arc<Recorder>,
        name: &'static str,
    ) -> Self {
        Self::made(context, None, recorder, name, Kind::Server)
    }

    pub(super) fn below(
        parent: TraceContext,
        recorder: Arc<Recorder>,
        name: &'static str,
        kind: Kind,
    ) -> Self {
        // Whoever comes next should find a parent that exists.
        let context = if parent.is_sampled() {
            parent.child()
        } else {
            parent.clone()
        };
        Self::made(context, Some(parent.span_id), recorder, name, kind)
    }

    fn made(
        context: TraceContext,
        parent: Option<SpanId>,
        recorder: Arc<Recorder>,
        name: &'static str,
        kind: Kind,
    ) -> Self {
        let record = context.is_sampled().then(|| {
            let began = SystemTime::now();
            Box::new(Record {
                context: context.clone(),
                parent,
                name,
                kind,
                began,
                started: Instant::now(),
                ended: began,
                notes: Vec::new(),
                failure: None,
            })
        });
        Self {
            current: Current {
                context: Some(context),
                recorder: Some(recorder),
            },
            record,
        }
    }

    /// What calls made for this piece of work should bring along instead of what the caller brought. `None` when this
    /// process takes no part in the trace.
    pub fn context(&self) -> Option<&TraceContext> {
        let is_part = self.current.recorder.is_some();
        self.current.context.as_ref().filter(|_| is_part)
    }

    /// Runs what belongs to this span.
    pub fn around<F: Future>(&self, work: F) -> impl Future<Output = F::Output> + use<F> {
        CURRENT.scope(self.current.clone(), work)
    }

    /// The same for what does not wait.
    pub fn within<T>(&self, work: impl FnOnce() -> T) -> T {
        CURRENT.sync_scope(self.current.clone(), work)
    }

    /// Says something of it. The names are the field's or begin with `fate.`; never a payload.
    pub fn note(&mut self, name: &'static str, note: impl Into<Note>) {
        if let Some(record) = &mut self.record {
            record.notes.push((name, note.into()));
        }
    }

    /// The return code of an answer; whatever is no success is a failure.
    pub fn answered(&mut self, code: i32) {
        self.note("fate.return_code", code);
        if code != 0 {
            self.fail(|| format!("return code {code}"));
        }
    }

    /// Says that it went wrong.
    pub fn fail(&mut self, cause: impl FnOnce() -> String) {
        if let Some(record) = &mut self.record {
            record.failure = Some(cause());
        }
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        if let (Some(mut record), Some(recorder)) = (self.record.take(), &self.current.recorder) {
            // One clock for the length; the other may be set meanwhile.
            record.ended = record.began + record.started.elapsed();
            recorder.take(*record);
        }
    }
}
