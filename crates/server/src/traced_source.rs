//! A source of features with a span of the host's call around every question.

use std::sync::Arc;

use fate_domain::fault::Fault;
use fate_edge::trace::{Kind, Span, child};
use fate_features::{BatchRows, BoxFuture, FeatureRow, FeatureSource};

/// Asks the source inside and says how it went.
#[derive(Debug)]
pub(crate) struct TracedSource(pub(crate) Arc<dyn FeatureSource>);

impl TracedSource {
    fn span(&self, rows: usize) -> Span {
        let mut span = child("features", Kind::Client);
        span.note("fate.source", self.0.name());
        span.note("fate.rows", rows);
        span
    }
}

impl FeatureSource for TracedSource {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn fetch<'a>(&'a self, ids: &'a str) -> BoxFuture<'a, Result<FeatureRow, Fault>> {
        let mut span = self.span(1);
        let asked = span.around(self.0.fetch(ids));
        Box::pin(async move {
            let row = asked.await;
            say(&mut span, row.as_ref().err());
            row
        })
    }

    fn fetch_batch<'a>(&'a self, ids: &'a [&'a str]) -> BoxFuture<'a, BatchRows> {
        let mut span = self.span(ids.len());
        let asked = span.around(self.0.fetch_batch(ids));
        Box::pin(async move {
            let rows = asked.await;
            say(&mut span, rows.as_ref().err());
            if let Ok(rows) = &rows {
                let failed = rows.iter().filter(|row| row.is_err()).count();
                span.note("fate.failed_rows", failed);
            }
            rows
        })
    }
}

/// The code only: a source's text may name files, addresses and ids.
fn say(span: &mut Span, fault: Option<&Fault>) {
    span.answered(fault.map_or(0, |fault| fault.code.0));
}
