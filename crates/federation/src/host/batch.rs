//! Many rows at the host: features for all of them at once, every row with its own outcome.

use std::io::Write;

use fate_domain::fault::Fault;
use fate_domain::return_code::ReturnCode;
use fate_features::FeatureRow;
use fate_inference::{Partial, Plan, Row};

use super::features::{self, Part};
use super::{Host, Question};
use crate::admission::check_interface;
use crate::java_json::write_text;
use crate::packet::Speaker;
use crate::record::{CallRecord, Stage};
use crate::reply::{Extras, RowObjects};
use crate::watch::Watch;
use crate::{compact, reply, request};

pub(super) const SERVICE: &str = "batchInference";
pub(super) const RESOURCE: &str = "I_batch";

/// Rows computed before other tasks of the thread get a turn.
const ROWS_PER_TURN: usize = 64;

pub(super) async fn answer(
    host: &Host,
    question: &Question<'_>,
    record: &mut CallRecord,
) -> Result<Vec<u8>, Fault> {
    check_interface(&*host.admission, RESOURCE, SERVICE)?;
    let members = question
        .members
        .as_ref()
        .ok_or_else(|| Fault::new(ReturnCode::PARAM, "the body is not a JSON object"))?;
    let rows = request::host_batch(members, host.settings.batch_max)?;
    let model = host.model_for(question, rows.len(), record)?;
    let source = features::source(host.batch.as_ref())?;
    let ids: Vec<&str> = rows.iter().map(|row| row.ids).collect();
    record.laps.end(Stage::Parse);
    let found = source
        .fetch_batch(&ids)
        .await
        .map_err(|fault| features::hidden(&**source, &fault))?;
    if found.len() != rows.len() {
        let text = format!("{} rows for {} ids", found.len(), rows.len());
        let fault = Fault::new(ReturnCode::FEATURE_ADAPTOR, text);
        return Err(features::hidden(&**source, &fault));
    }
    record.laps.end(Stage::Features);
    let mut watch = Watch::new(&model.plan, &model.party_id, host.inquiry(members));
    let form = host.compact_form(members, &model.plan);
    let form = form.filter(|_| question.speaker == Speaker::Current);
    let mut packed = Packed::default();
    let mut row_objects = match form {
        Some(_) => RowObjects::default(),
        None => RowObjects::for_rows(rows.len()),
    };
    let mut cells = model.plan.new_row();
    for (position, (row, found)) in rows.iter().zip(&found).enumerate() {
        let part = part(&model.plan, found, &mut cells, watch.as_mut());
        record.failed_rows += u32::from(part.partial.is_err());
        let told = part
            .told
            .and_then(|told| told.object("source", source.name()));
        match &part.partial {
            Ok(partial) if form.is_some() => {
                packed.add(&model.plan, row.index, partial);
                if told.is_some() {
                    row_objects.add(row.index, |out| {
                        write_told(row.index, told.as_deref(), out);
                    });
                }
            }
            partial => row_objects.add(row.index, |out| {
                write_row(&model.plan, row.index, partial, told.as_deref(), out);
            }),
        }
        if position % ROWS_PER_TURN == ROWS_PER_TURN - 1 {
            tokio::task::yield_now().await;
        }
    }
    // Rows are written as they are computed.
    record.laps.end(Stage::Local);
    let compact = form.map(|form| compact::object(form, Some(&packed.rows), &packed.parts));
    let extras = Extras {
        compact: compact.as_deref(),
        explanation: None,
    };
    Ok(reply::batch("", b"{}", &row_objects, extras))
}

/// The rows whose parts are packed.
#[derive(Debug, Default)]
struct Packed {
    rows: Vec<i32>,
    parts: Vec<u8>,
}

impl Packed {
    fn add(&mut self, plan: &Plan, index: i32, partial: &Partial) {
        plan.write_compact(partial, &mut self.parts);
        self.rows.push(index);
    }
}

/// What is told of a row whose part is packed.
fn write_told(index: i32, explanation: Option<&[u8]>, out: &mut Vec<u8>) {
    // Writing to memory cannot fail.
    let _ = write!(out, r#"{{"index":{index},"retcode":0"#);
    reply::write_explanation(explanation, out);
    out.push(b'}');
}

/// Whatever keeps a row from having features is 113 to the guest. Features that a guest sent along are never used.
fn part<'a>(
    plan: &'a Plan,
    found: &'a Result<FeatureRow, Fault>,
    cells: &mut Row<'a>,
    watch: Option<&mut Watch<'_>>,
) -> Part {
    match found {
        Ok(features) => features::part(plan, features, cells, watch),
        Err(fault) => {
            tracing::debug!(code = fault.code.0, cause = %fault, "a row has no features");
            Part::failed(Fault::new(ReturnCode::HOST_FEATURE_NOT_EXIST, "no feature"))
        }
    }
}

/// A row's text is in its data, which is never null: Java guests rely on both (contract 01 §2.7).
fn write_row(
    plan: &Plan,
    index: i32,
    partial: &Result<Partial, Fault>,
    explanation: Option<&[u8]>,
    out: &mut Vec<u8>,
) {
    let code = partial
        .as_ref()
        .map_or_else(|fault| fault.code, |_| ReturnCode::SUCCESS);
    // Writing to memory cannot fail.
    let _ = write!(out, r#"{{"index":{index},"retcode":{code},"data":{{"#);
    match partial {
        Ok(partial) => plan.write_partial(partial, out),
        Err(fault) => {
            out.extend_from_slice(b"\"message\":");
            write_text(&fault.message, out);
        }
    }
    out.push(b'}');
    reply::write_explanation(explanation, out);
    out.push(b'}');
}
