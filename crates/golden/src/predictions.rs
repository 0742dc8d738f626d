//! `predictions.csv`: FATE's offline predict output.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use csv::StringRecord;
use serde_json::{Map, Value};

use crate::Error;
use crate::table::{line, reader};

/// What FATE predicted, by id.
pub type Predictions = BTreeMap<String, Expected>;

/// One line of `predictions.csv`. Columns are found by name, the id is the first; others are not read.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Expected {
    /// Column `label`: the true label as the guest gave it; empty when there is none.
    pub label: String,
    /// Column `predict_result`: the predicted class, or a regression's score.
    pub result: String,
    /// Column `predict_score`: the score, of several classes the winner's; none when the cell is empty. Where there is a
    /// column `credit_score`, a Scorecard's, that one.
    pub score: Option<f64>,
    /// Column `predict_detail`, class to score; of a regression `label` to score.
    pub detail: BTreeMap<String, f64>,
    /// The keys of the detail in the order of the file.
    pub classes: Vec<String>,
}

/// Positions of the columns.
struct Columns {
    label: Option<usize>,
    result: Option<usize>,
    score: Option<usize>,
    detail: Option<usize>,
}

pub(crate) fn read(path: &Path) -> Result<Predictions, Error> {
    let bytes = fs::read(path).map_err(Error::io(path))?;
    let mut reader = reader(&bytes);
    let header = reader.headers().map_err(|cause| Error::csv(path, cause))?;
    let columns = Columns::find(header).ok_or_else(|| {
        Error::line(
            path,
            1,
            "there is no column predict_score or predict_detail",
        )
    })?;
    let mut predictions = Predictions::new();
    for record in reader.records() {
        let record = record.map_err(|cause| Error::csv(path, cause))?;
        let at = |cause: String| Error::line(path, line(&record), cause);
        let id = record.get(0).unwrap_or_default();
        let expected = columns.expected(&record).map_err(at)?;
        if predictions.insert(id.to_owned(), expected).is_some() {
            return Err(at(format!("the id {id:?} is there twice")));
        }
    }
    if predictions.is_empty() {
        return Err(Error::whole(path, "there are no predictions"));
    }
    Ok(predictions)
}

impl Columns {
    fn find(header: &StringRecord) -> Option<Columns> {
        let find = |wanted: &str| header.iter().position(|name| name == wanted);
        let columns = Columns {
            label: find("label"),
            result: find("predict_result"),
            score: find("credit_score").or_else(|| find("predict_score")),
            detail: find("predict_detail"),
        };
        (columns.score.is_some() || columns.detail.is_some()).then_some(columns)
    }

    fn expected(&self, record: &StringRecord) -> Result<Expected, String> {
        let cell = |column: Option<usize>| {
            column
                .and_then(|column| record.get(column))
                .unwrap_or_default()
        };
        let score = match cell(self.score) {
            "" => None,
            text => Some(
                text.parse()
                    .map_err(|_| format!("predict_score {text:?} is not a number"))?,
            ),
        };
        let detail = match cell(self.detail) {
            "" => Vec::new(),
            text => detail(text)
                .ok_or_else(|| format!("predict_detail is not an object of numbers: {text:?}"))?,
        };
        Ok(Expected {
            label: cell(self.label).to_owned(),
            result: cell(self.result).to_owned(),
            score,
            classes: detail.iter().map(|(class, _)| class.clone()).collect(),
            detail: detail.into_iter().collect(),
        })
    }
}

/// JSON, or what Python prints of a dictionary; FATE puts quotes around that, which stay when the cell was quoted anyhow.
fn detail(text: &str) -> Option<Vec<(String, f64)>> {
    let is_quoted = text.starts_with("\"{") && text.ends_with("}\"");
    let text = if is_quoted {
        text.trim_matches('"')
    } else {
        text
    };
    match serde_json::from_str::<Map<String, Value>>(text) {
        Ok(members) => members
            .into_iter()
            .map(|(class, score)| Some((class, score.as_f64()?)))
            .collect(),
        Err(_) => {
            let members = text.trim().strip_prefix('{')?.strip_suffix('}')?;
            members.split(',').map(python_member).collect()
        }
    }
}

fn python_member(text: &str) -> Option<(String, f64)> {
    let (class, score) = text.rsplit_once(':')?;
    let class = class.trim().trim_matches(['\'', '"']);
    Some((class.to_owned(), score.trim().parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn details_are_json_or_python_with_fates_quotes_or_without() {
        for text in [
            r#"{"-1": 0.25, "5": 0.75}"#,
            "{'-1': 0.25, '5': 0.75}",
            r#""{'-1': 0.25, '5': 0.75}""#,
        ] {
            let members = detail(text).unwrap();
            assert_eq!(members, [("-1".to_owned(), 0.25), ("5".to_owned(), 0.75)]);
        }
        assert_eq!(detail("0.25"), None);
    }
}
