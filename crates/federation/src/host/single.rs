//! One row at the host.

use fate_domain::fault::Fault;
use fate_domain::members::Members;
use fate_domain::return_code::ReturnCode;

use super::{Host, Question, features};
use crate::admission::check_interface;
use crate::packet::Speaker;
use crate::record::{CallRecord, Stage};
use crate::reply::Extras;
use crate::watch::Watch;
use crate::{compact, reply, request};

pub(super) const SERVICE: &str = "hostInferenceProvider";
pub(super) const RESOURCE: &str = "I_federatedInference";

pub(super) async fn answer(
    host: &Host,
    question: &Question<'_>,
    record: &mut CallRecord,
) -> Result<Vec<u8>, Fault> {
    check_interface(&*host.admission, RESOURCE, SERVICE)?;
    let members = question
        .members
        .as_ref()
        .ok_or_else(|| Fault::new(ReturnCode::SYSTEM, "the body is not a JSON object"))?;
    let is_legacy = question.speaker == Speaker::Legacy;
    let ids = request::host_single_ids(members, is_legacy)?;
    let model = host.model_for(question, 1, record)?;
    let source = features::source(host.single.as_ref())?;
    record.laps.end(Stage::Parse);
    let found = source
        .fetch(&ids)
        .await
        .map_err(|fault| features::hidden(&**source, &fault))?;
    record.laps.end(Stage::Features);
    let mut watch = Watch::new(&model.plan, &model.party_id, host.inquiry(members));
    let mut row = model.plan.new_row();
    let part = features::part(&model.plan, &found, &mut row, watch.as_mut());
    let partial = part.partial?;
    record.laps.end(Stage::Local);
    let told = part
        .told
        .and_then(|told| told.object("source", source.name()));
    let explanation = told.as_deref();
    let compact = host.compact_form(members, &model.plan);
    if let Some(form) = compact.filter(|_| !is_legacy) {
        let mut part = Vec::with_capacity(form.row_bytes);
        model.plan.write_compact(&partial, &mut part);
        let compact = compact::object(form, None, &part);
        let compact = Some(&compact[..]);
        return Ok(reply::single(
            "",
            br#"{"retcode":0}"#,
            Extras {
                compact,
                explanation,
            },
        ));
    }
    let mut member = Vec::with_capacity(256);
    model.plan.write_partial(&partial, &mut member);
    let extras = Extras {
        compact: None,
        explanation,
    };
    Ok(reply::single("", &data(&member, is_legacy), extras))
}

/// `{"<component>":{…},"retcode":0}`; for 1.x guests with the component's members beside it (contract 01 §2.7).
fn data(member: &[u8], is_legacy: bool) -> Vec<u8> {
    let mut data = Vec::with_capacity(2 * member.len() + 16);
    data.push(b'{');
    data.extend_from_slice(member);
    if is_legacy {
        data.extend_from_slice(flattened(member).as_bytes());
    }
    data.extend_from_slice(b",\"retcode\":0}");
    data
}

/// `,"score":0.5` of `"hetero_lr_0":{"score":0.5}`.
fn flattened(member: &[u8]) -> String {
    let object = format!("{{{}}}", String::from_utf8_lossy(member));
    let inner = Members::leading(&object)
        .and_then(|members| members.iter().next().map(|(_, value)| value))
        .and_then(|value| value.strip_prefix('{')?.strip_suffix('}'))
        .unwrap_or_default();
    if inner.is_empty() {
        return String::new();
    }
    format!(",{inner}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn legacy_guests_get_the_members_beside_the_component() {
        let member = br#""hetero_lr_0":{"score":0.5}"#;
        let text = |is_legacy| String::from_utf8(data(member, is_legacy)).unwrap();
        assert_eq!(text(false), r#"{"hetero_lr_0":{"score":0.5},"retcode":0}"#);
        assert_eq!(
            text(true),
            r#"{"hetero_lr_0":{"score":0.5},"score":0.5,"retcode":0}"#
        );
        assert_eq!(flattened(br#""a:b":{}"#), "");
    }
}
