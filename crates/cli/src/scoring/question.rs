//! Requests written once and asked many times, with what their answers have to be.

use std::sync::Arc;

use bytes::Bytes;
use fate_golden::Expected;
use serde_json::json;

use super::answer::{BatchAnswer, ScoreData, SingleAnswer, is_refused};
use super::compare::compare;
use super::sample::Sample;

/// One call.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    pub(crate) body: Bytes,
    pub(crate) is_batch: bool,
    pub(crate) rows: usize,
    expected: Arc<[Expected]>,
}

/// Calls with `rows` rows each, so that every sample is asked for about as often as any other: a call's rows follow
/// the last call's, and the first sample follows the last.
///
/// A row's ids are `id` and `device_id`, the names that the file-pick source looks for in single calls and in batches.
pub(crate) fn questions(service_id: &str, samples: &[Sample<'_>], rows: usize) -> Vec<Question> {
    let calls = samples.len().div_ceil(rows.max(1)).max(1);
    (0..calls)
        .map(|call| {
            let rows: Vec<&Sample<'_>> = (call * rows..(call + 1) * rows)
                .map(|position| &samples[position % samples.len()])
                .collect();
            question(service_id, &rows)
        })
        .collect()
}

fn question(service_id: &str, samples: &[&Sample<'_>]) -> Question {
    let id = json!(service_id);
    let texts: Vec<String> = samples
        .iter()
        .map(|sample| sample.inputs(&json!({ "id": sample.id, "device_id": sample.id })))
        .collect();
    let (is_batch, body) = match texts.as_slice() {
        [row] => (false, format!(r#"{{"serviceId":{id},{row}}}"#)),
        rows => {
            let rows: Vec<String> = rows
                .iter()
                .enumerate()
                .map(|(index, row)| format!(r#"{{"index":{index},{row}}}"#))
                .collect();
            let rows = rows.join(",");
            (
                true,
                format!(r#"{{"serviceId":{id},"batchDataList":[{rows}]}}"#),
            )
        }
    };
    Question {
        body: body.into(),
        is_batch,
        rows: samples.len(),
        expected: samples
            .iter()
            .map(|sample| sample.expected.clone())
            .collect(),
    }
}

impl Question {
    /// Whether the answer says that there was too much to do.
    pub(crate) fn is_refused(answer: &[u8]) -> bool {
        is_refused(answer)
    }

    /// How far the answer is from FATE's offline scores, the label included, or why it is no answer.
    pub(crate) fn largest_difference(&self, answer: &[u8]) -> Result<f64, String> {
        let rows = if self.is_batch {
            BatchAnswer::read(answer, self.rows)?
        } else {
            vec![SingleAnswer::read(answer)]
        };
        rows.into_iter()
            .zip(&*self.expected)
            .try_fold(0.0, |largest: f64, (data, expected)| {
                Ok(largest.max(difference(&data?, expected)?))
            })
    }
}

fn difference(data: &ScoreData, expected: &Expected) -> Result<f64, String> {
    let deviation = compare(data, expected)?;
    Ok(deviation.difference.max(deviation.wrong_class_by))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample<'a>(id: &'a str, expected: &'a Expected) -> Sample<'a> {
        Sample {
            id,
            features: format!(r#"{{"x":{id}}}"#),
            expected,
        }
    }

    #[test]
    fn rows_rotate_and_answers_are_compared() {
        let expected = Expected {
            score: Some(0.5),
            ..Expected::default()
        };
        let samples = ["1", "2", "3"].map(|id| sample(id, &expected));
        let asked = questions("s", &samples, 2);
        let text = |question: &Question| String::from_utf8(question.body.to_vec()).unwrap();
        assert_eq!(asked.len(), 2);
        assert!(text(&asked[1]).contains(r#""index":0,"featureData":{"x":3}"#));
        assert!(text(&asked[1]).contains(r#""index":1,"featureData":{"x":1}"#));
        let rows = r#"{"index":0,"retcode":0,"data":{"score":0.5}},{"index":1,"retcode":0,"data":{"score":0.25}}"#;
        let answer = format!(r#"{{"retcode":0,"batchDataList":[{rows}]}}"#);
        assert_eq!(asked[0].largest_difference(answer.as_bytes()), Ok(0.25));

        let single = &questions("s", &samples, 1)[0];
        assert!(!single.is_batch);
        let late = br#"{"retcode":105,"retmsg":"late"}"#;
        assert_eq!(
            single.largest_difference(late),
            Err("retcode 105 late".to_owned())
        );
    }
}
