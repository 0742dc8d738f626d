//! `predictions.csv`: FATE's offline predict output.

use std::collections::BTreeMap;
use std::path::Path;

use csv::StringRecord;

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
    /// Column `predict_score`: the score, of several classes the winner's; none when the cell is empty.
    pub score: Option<f64>,
    /// Column `predict_detail`, class to score; of a regression `label` to score.
    pub detail: BTreeMap<String, f64>,
}

/// Positions of the columns.
struct Columns {
    label: Option<usize>,
    result: Option<usize>,
    score: usize,
    detail: Option<usize>,
}

pub(crate) fn read(path: &Path) -> Result<Predictions, Error> {
    let mut reader = reader(path)?;
    let header = reader.headers().map_err(|cause| Error::csv(path, cause))?;
    let columns = Columns::find(header)
        .ok_or_else(|| Error::line(path, 1, "there is no column predict_score"))?;
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
        Some(Columns {
            label: find("label"),
            result: find("predict_result"),
            score: find("predict_score")?,
            detail: find("predict_detail"),
        })
    }

    fn expected(&self, record: &StringRecord) -> Result<Expected, String> {
        let cell = |column: Option<usize>| {
            column
                .and_then(|column| record.get(column))
                .unwrap_or_default()
        };
        let score = match cell(Some(self.score)) {
            "" => None,
            text => Some(
                text.parse()
                    .map_err(|_| format!("predict_score {text:?} is not a number"))?,
            ),
        };
        let detail = match cell(self.detail) {
            "" => BTreeMap::new(),
            text => serde_json::from_str(text)
                .map_err(|cause| format!("predict_detail is not an object of numbers: {cause}"))?,
        };
        Ok(Expected {
            label: cell(self.label).to_owned(),
            result: cell(self.result).to_owned(),
            score,
            detail,
        })
    }
}
