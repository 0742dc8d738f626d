//! `LabelTransform` behind a model: predicted labels become the original ones (contract 02 B4; label_transform.py).

use std::collections::BTreeMap;

use fate_domain::fault::Fault;
use fate_proto::buffer::{LabelTransformMeta, LabelTransformParam};

use super::{Built, Context, Output, Part, Source};
use crate::{Refusal, Score};

#[derive(Debug)]
struct LabelTransform {
    /// Original label by the one that was trained on.
    originals: BTreeMap<String, Box<str>>,
}

pub(crate) fn build(source: &Source<'_>, _context: &mut Context<'_>) -> Result<Part, Refusal> {
    let meta: LabelTransformMeta = source.meta()?;
    if !meta.need_run {
        return Ok(Part::pass_through("switched off"));
    }
    let param: LabelTransformParam = source.param()?;
    let originals: BTreeMap<String, Box<str>> = param
        .label_encoder
        .into_iter()
        .map(|(original, encoded)| (encoded, original.into()))
        .collect();
    let detail = format!("maps {} labels back", originals.len());
    Ok(Part {
        built: Built::Output(Box::new(LabelTransform { originals })),
        detail,
    })
}

impl Output for LabelTransform {
    fn apply(&self, mut score: Score) -> Result<Score, Fault> {
        score.label = score
            .label
            .map(|label| self.original(&label).unwrap_or(label));
        Ok(score)
    }
}

impl LabelTransform {
    /// Labels have types offline, so that `1` and `1.0` are the same number.
    fn original(&self, label: &str) -> Option<Box<str>> {
        let by_text = self.originals.get(label);
        let by_number = || {
            let label: f64 = label.parse().ok()?;
            let mut encoded = self.originals.iter();
            let found = encoded.find(|(encoded, _)| encoded.parse() == Ok(label));
            found.map(|(_, original)| original)
        };
        by_text.or_else(by_number).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_mapped_back_and_scores_stay() {
        let transform = LabelTransform {
            originals: [
                ("0".to_owned(), "good".into()),
                ("1".to_owned(), "bad".into()),
            ]
            .into(),
        };
        let classes = ["0".into(), "1".into(), "2".into()];
        for (values, label) in [(vec![0.1, 0.8, 0.1], "bad"), (vec![0.1, 0.2, 0.7], "2")] {
            let score = transform
                .apply(Score::classes(values.clone(), &classes))
                .unwrap();
            assert_eq!((score.label(), score.scores()), (Some(label), &values[..]));
        }
        let numbers = LabelTransform {
            originals: [("1.0".to_owned(), "yes".into())].into(),
        };
        assert_eq!(numbers.original("1"), Some("yes".into()));
        assert_eq!(numbers.original("2"), None);
        assert_eq!(transform.apply(Score::one(0.5)).unwrap().label(), None);
    }
}
