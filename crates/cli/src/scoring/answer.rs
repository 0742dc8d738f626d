//! Answers of a guest, read as a client reads them (contract 01 §2.4, §2.5).

use serde::Deserialize;

/// What an answer, or a row of it, says about the score.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub(super) struct ScoreData {
    pub(super) score: Option<Score>,
    /// Predicted class, of models with several.
    pub(super) label: Option<String>,
}

/// One number, or one for each class in class order.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged)]
pub(super) enum Score {
    One(Number),
    PerClass(Vec<Number>),
}

/// A double; those that are not finite are texts (contract 01 §2.1).
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(untagged)]
pub(super) enum Number {
    Finite(f64),
    Text(NotFinite),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(super) enum NotFinite {
    NaN,
    Infinity,
    #[serde(rename = "-Infinity")]
    NegativeInfinity,
}

impl Number {
    pub(super) fn value(self) -> f64 {
        match self {
            Number::Finite(value) => value,
            Number::Text(NotFinite::NaN) => f64::NAN,
            Number::Text(NotFinite::Infinity) => f64::INFINITY,
            Number::Text(NotFinite::NegativeInfinity) => f64::NEG_INFINITY,
        }
    }
}

/// A single answer, also over HTTP.
#[derive(Debug, Deserialize)]
pub(super) struct SingleAnswer {
    retcode: i64,
    #[serde(default)]
    retmsg: Option<String>,
    #[serde(default)]
    data: Option<ScoreData>,
}

#[derive(Debug, Deserialize)]
pub(super) struct BatchAnswer {
    retcode: i64,
    #[serde(default)]
    retmsg: Option<String>,
    #[serde(default, rename = "batchDataList")]
    rows: Vec<RowAnswer>,
}

#[derive(Debug, Deserialize)]
struct RowAnswer {
    index: i64,
    #[serde(flatten)]
    answer: SingleAnswer,
}

impl SingleAnswer {
    /// The data of an answer with return code 0; otherwise the text says what the server said.
    pub(super) fn read(body: &[u8]) -> Result<ScoreData, String> {
        parse::<SingleAnswer>(body)?.data()
    }

    fn data(self) -> Result<ScoreData, String> {
        check(self.retcode, self.retmsg)?;
        Ok(self.data.unwrap_or_default())
    }
}

impl BatchAnswer {
    /// The data of each row, by position: the indices must be 0 to `rows - 1`, each once.
    pub(super) fn read(body: &[u8], rows: usize) -> Result<Vec<Result<ScoreData, String>>, String> {
        let answer: BatchAnswer = parse(body)?;
        check(answer.retcode, answer.retmsg)?;
        let mut by_index: Vec<Option<Result<ScoreData, String>>> = Vec::new();
        by_index.resize_with(rows, || None);
        for row in answer.rows {
            let place = usize::try_from(row.index)
                .ok()
                .and_then(|index| by_index.get_mut(index))
                .ok_or_else(|| format!("the batch is answered with a row {}", row.index))?;
            if place.replace(row.answer.data()).is_some() {
                return Err(format!(
                    "the batch is answered with row {} twice",
                    row.index
                ));
            }
        }
        let missing = || Err("the batch is answered without this row".to_owned());
        Ok(by_index
            .into_iter()
            .map(|row| row.unwrap_or_else(missing))
            .collect())
    }
}

/// Whether a call was refused because of load: 124, told by the guest (124), by its proxy to an application (124) or to
/// the guest (624), by a host (2124) or a host's proxy (2624).
pub(super) fn is_refused(body: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Code {
        retcode: i64,
    }
    let code = serde_json::from_slice(body).map_or(0, |answer: Code| answer.retcode);
    matches!(code, 124 | 624 | 2124 | 2624)
}

fn parse<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, String> {
    serde_json::from_slice(body).map_err(|cause| format!("unreadable answer: {cause}"))
}

fn check(retcode: i64, retmsg: Option<String>) -> Result<(), String> {
    match retcode {
        0 => Ok(()),
        code => Err(format!("retcode {code} {}", retmsg.unwrap_or_default())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(value: f64) -> ScoreData {
        ScoreData {
            score: Some(Score::One(Number::Finite(value))),
            label: None,
        }
    }

    #[test]
    fn single_answers() {
        let read = |text: &str| SingleAnswer::read(text.as_bytes());
        assert_eq!(
            read(
                r#"{"retcode":0,"retmsg":"","data":{"score":6.137630494698321E-5,"modelId":"m"}}"#
            ),
            Ok(one(6.137630494698321e-5))
        );
        let classes = read(r#"{"retcode":0,"data":{"score":[0.25,"NaN"],"label":"2"}}"#).unwrap();
        assert_eq!(classes.label.as_deref(), Some("2"));
        assert!(matches!(
            classes.score,
            Some(Score::PerClass(numbers)) if numbers[0].value() == 0.25 && numbers[1].value().is_nan()
        ));
        assert_eq!(
            read(r#"{"retcode":2113,"retmsg":"no row","data":{}}"#),
            Err("retcode 2113 no row".to_owned())
        );
        assert_eq!(read(r#"{"retcode":0}"#), Ok(ScoreData::default()));
        for text in [
            "",
            "[]",
            r#"{"data":{}}"#,
            r#"{"retcode":0,"data":{"score":"x"}}"#,
        ] {
            assert!(read(text).unwrap_err().starts_with("unreadable"), "{text}");
        }
    }

    #[test]
    fn refusals_are_told_from_other_failures() {
        for code in [124, 624, 2124, 2624] {
            let answer = format!(r#"{{"retcode":{code},"retmsg":"over load"}}"#);
            assert!(is_refused(answer.as_bytes()), "{code}");
        }
        for answer in [r#"{"retcode":0}"#, r#"{"retcode":105}"#, "124", ""] {
            assert!(!is_refused(answer.as_bytes()), "{answer}");
        }
    }

    #[test]
    fn batch_answers_are_sorted_by_index() {
        let read = |text: &str| BatchAnswer::read(text.as_bytes(), 3);
        let rows = read(
            r#"{"retcode":0,"batchDataList":[
                {"index":2,"retcode":108,"retmsg":"broken","data":null},
                {"index":0,"retcode":0,"retmsg":"","data":{"score":0.5}}]}"#,
        )
        .unwrap();
        assert_eq!(rows[0], Ok(one(0.5)));
        assert_eq!(
            rows[1],
            Err("the batch is answered without this row".to_owned())
        );
        assert_eq!(rows[2], Err("retcode 108 broken".to_owned()));
        for (text, cause) in [
            (
                r#"{"retcode":105,"retmsg":"late","batchDataList":[]}"#,
                "retcode 105 late",
            ),
            (
                r#"{"retcode":0,"batchDataList":[{"index":3,"retcode":0}]}"#,
                "the batch is answered with a row 3",
            ),
            (
                r#"{"retcode":0,"batchDataList":[{"index":1,"retcode":0},{"index":1,"retcode":0}]}"#,
                "the batch is answered with row 1 twice",
            ),
        ] {
            assert_eq!(read(text), Err(cause.to_owned()));
        }
    }
}
