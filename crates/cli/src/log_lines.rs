//! The shape of log lines: the usual text, or one JSON object each. Lines that are written while a call is worked on carry
//! the id of its trace in JSON.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use fate_edge::{flow_log, trace};
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::FmtContext;
use tracing_subscriber::fmt::format::{Format, FormatEvent, FormatFields, Full, Writer};
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::registry::LookupSpan;

/// Lines whose text has columns that others read: no field is added to it.
const FLOW: &str = "flow";

pub(crate) struct Lines {
    is_json: Arc<AtomicBool>,
    text: Format<Full>,
}

impl Lines {
    /// Text, or JSON while `is_json` is true.
    pub(crate) fn new(is_json: Arc<AtomicBool>) -> Self {
        Self {
            is_json,
            text: Format::default(),
        }
    }
}

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        if self.is_json.load(Ordering::Relaxed) {
            return writeln!(writer, "{}", json(event));
        }
        if event.metadata().target() != FLOW {
            return self.text.format_event(context, writer, event);
        }
        let mut head = String::new();
        flow_log::begin(std::time::SystemTime::now(), &mut head);
        writer.write_str(&head)?;
        let mut message = Message {
            out: writer.by_ref(),
            written: Ok(()),
        };
        event.record(&mut message);
        message.written?;
        writer.write_char('\n')
    }
}

/// `{"time":…,"level":…,"target":…,"message":…,"trace_id":…}` and the fields of the event.
fn json(event: &Event<'_>) -> Value {
    let Fields { message, others } = fields(event);
    let mut time = String::new();
    // Writing to a string cannot fail.
    let _ = SystemTime.format_time(&mut Writer::new(&mut time));
    let mut line = Map::new();
    let mut member = |name: &str, text: String| line.insert(name.to_owned(), text.into());
    member("time", time);
    member("level", event.metadata().level().to_string());
    member("target", event.metadata().target().to_owned());
    member("message", message);
    if let Some(context) = trace::current() {
        member("trace_id", context.trace_id().to_string());
    }
    for (name, value) in others {
        line.entry(name).or_insert(value);
    }
    Value::Object(line)
}

/// Writes the message and leaves the fields out: there is a line for every call.
struct Message<'w> {
    out: Writer<'w>,
    written: fmt::Result,
}

impl Visit for Message<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.written = write!(self.out, "{value:?}");
        }
    }

    fn record_str(&mut self, _: &Field, _: &str) {}
}

fn fields(event: &Event<'_>) -> Fields {
    let mut fields = Fields::default();
    event.record(&mut fields);
    fields
}

#[derive(Default)]
struct Fields {
    message: String,
    others: Vec<(String, Value)>,
}

impl Fields {
    fn take(&mut self, field: &Field, value: Value) {
        self.others.push((field.name().to_owned(), value));
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let text = format!("{value:?}");
        if field.name() == "message" {
            self.message = text;
        } else {
            self.take(field, text.into());
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            self.message = value.to_owned();
        } else {
            self.take(field, value.into());
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.take(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.take(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.take(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.take(field, value.into());
    }
}
