//! An online score beside FATE's offline one.

use fate_golden::Expected;

use super::answer::{Number, Score, ScoreData};

/// How far a row's score is off, or why there is nothing to compare.
pub(super) type Outcome = Result<Deviation, String>;

/// The largest difference of a row.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Deviation {
    /// Absolute up to 1, relative above; infinite when one of the two is not finite. Never NaN.
    pub(super) difference: f64,
    pub(super) online: f64,
    pub(super) offline: f64,
    /// The class, when each class has a score.
    pub(super) class: Option<String>,
    /// How far another class than FATE's is from being as likely; 0 when the classes agree.
    pub(super) wrong_class_by: f64,
}

/// Compares one score with `predict_score`, or every class with `predict_detail` and the label with the predicted
/// class.
pub(super) fn compare(data: &ScoreData, expected: &Expected) -> Outcome {
    let classes = classes(expected);
    match &data.score {
        None => Err("the answer has no score".to_owned()),
        Some(Score::One(online)) => {
            if classes.len() > 2 {
                return Err(format!(
                    "one score where FATE has {} classes",
                    classes.len()
                ));
            }
            let of_detail = || match classes.as_slice() {
                // A regression's, or the positive class's of two.
                [(_, score)] | [_, (_, score)] => Some(*score),
                _ => None,
            };
            let offline = expected
                .score
                .or_else(of_detail)
                .ok_or("predictions.csv has no score for this row")?;
            Ok(Deviation::of(online.value(), offline))
        }
        Some(Score::PerClass(online)) if classes.is_empty() => {
            winner_only(online, data.label.as_deref(), expected)
        }
        Some(Score::PerClass(online)) => {
            if online.len() != classes.len() {
                return Err(format!(
                    "a list of {} where FATE has {} classes",
                    online.len(),
                    classes.len()
                ));
            }
            let in_file = worst(&classes, online);
            let by_number = worst(&by_number(classes), online);
            let nearest = in_file
                .into_iter()
                .chain(by_number)
                .min_by(|one, other| one.difference.total_cmp(&other.difference))
                .ok_or("neither the answer nor predictions.csv has classes")?;
            Ok(Deviation {
                wrong_class_by: wrong_class_by(data.label.as_deref(), expected)?,
                ..nearest
            })
        }
    }
}

impl Deviation {
    fn of(online: f64, offline: f64) -> Deviation {
        Deviation {
            difference: difference(online, offline),
            online,
            offline,
            class: None,
            wrong_class_by: 0.0,
        }
    }
}

fn difference(online: f64, offline: f64) -> f64 {
    if online == offline || (online.is_nan() && offline.is_nan()) {
        return 0.0;
    }
    let difference = (online - offline).abs() / offline.abs().max(1.0);
    if difference.is_nan() {
        f64::INFINITY
    } else {
        difference
    }
}

/// Without a detail: the label must be FATE's, and its score FATE's score. Such labels are positions (clusters).
fn winner_only(online: &[Number], label: Option<&str>, expected: &Expected) -> Outcome {
    let label = label.ok_or("the answer has no label")?;
    if label != expected.result {
        return Err(format!(
            "the class {label:?} where FATE has {:?}",
            expected.result
        ));
    }
    let position: usize = label
        .parse()
        .map_err(|_| format!("predictions.csv has no predict_detail to find {label:?} in"))?;
    let online = online
        .get(position)
        .ok_or_else(|| format!("a list of {} without a class {label}", online.len()))?;
    let offline = expected
        .score
        .ok_or("predictions.csv has neither detail nor score for this row")?;
    Ok(Deviation {
        class: Some(label.to_owned()),
        ..Deviation::of(online.value(), offline)
    })
}

/// Class and score in the order of the file. FATE writes its classes in their order; but who sorts a detail's keys writes
/// `10` before `2`, so that numbers may also be meant to ascend: scores must agree in one of the two orders.
fn classes(expected: &Expected) -> Vec<(&str, f64)> {
    let of = |class: &String| Some(*expected.detail.get(class)?);
    expected
        .classes
        .iter()
        .filter_map(|class| Some((class.as_str(), of(class)?)))
        .collect()
}

/// Numbers ascending, then texts as they were.
fn by_number(mut classes: Vec<(&str, f64)>) -> Vec<(&str, f64)> {
    let number = |class: &str| class.parse::<f64>().unwrap_or(f64::INFINITY);
    classes.sort_by(|(one, _), (other, _)| number(one).total_cmp(&number(other)));
    classes
}

/// The class whose score is off most.
fn worst(classes: &[(&str, f64)], online: &[Number]) -> Option<Deviation> {
    let deviations = classes
        .iter()
        .zip(online)
        .map(|((class, offline), online)| Deviation {
            class: Some((*class).to_owned()),
            ..Deviation::of(online.value(), *offline)
        });
    deviations.max_by(|one, other| one.difference.total_cmp(&other.difference))
}

/// Two classes that are equally likely may win in either order: then the scores tell how near the other one is.
fn wrong_class_by(label: Option<&str>, expected: &Expected) -> Result<f64, String> {
    let label = label.ok_or("the answer has no label")?;
    let predicted = predicted_class(expected);
    if label == predicted || predicted.is_empty() {
        return Ok(0.0);
    }
    let of = |class: &str| expected.detail.get(class).copied();
    match (of(label), of(predicted)) {
        (Some(online), Some(offline)) => Ok(difference(online, offline)),
        _ => Err(format!(
            "the class {label:?} where FATE has {:?}",
            expected.result
        )),
    }
}

/// `predict_result` as the detail spells it: a table of numbers may say `1.0` for the class `1`.
fn predicted_class(expected: &Expected) -> &str {
    let result = expected.result.as_str();
    let same = |class: &&String| {
        let number = |text: &str| text.parse::<f64>().ok();
        number(class).is_some_and(|class| number(result) == Some(class))
    };
    match expected.detail.contains_key(result) {
        true => result,
        false => expected
            .classes
            .iter()
            .find(same)
            .map_or(result, |class| class),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(text: &str) -> ScoreData {
        serde_json::from_str(text).unwrap()
    }

    fn expected(result: &str, score: f64, detail: &str) -> Expected {
        let members: serde_json::Map<String, serde_json::Value> =
            serde_json::from_str(detail).unwrap();
        Expected {
            result: result.to_owned(),
            score: Some(score),
            detail: serde_json::from_str(detail).unwrap(),
            classes: members.keys().cloned().collect(),
            ..Expected::default()
        }
    }

    #[test]
    fn differences_are_absolute_up_to_one_and_relative_above() {
        assert_eq!(difference(0.5, 0.25), 0.25);
        assert_eq!(difference(-1.5, -1.0), 0.5);
        assert_eq!(difference(300.0, 200.0), 0.5);
        assert_eq!(difference(f64::NAN, f64::NAN), 0.0);
        assert_eq!(difference(f64::INFINITY, f64::INFINITY), 0.0);
        for (online, offline) in [
            (f64::NAN, 1.0),
            (1.0, f64::NAN),
            (f64::INFINITY, f64::NEG_INFINITY),
            (1.0, f64::INFINITY),
        ] {
            assert_eq!(difference(online, offline), f64::INFINITY);
        }
    }

    #[test]
    fn one_score_is_compared_with_the_predicted_one() {
        let binary = expected("1", 0.75, r#"{"0": 0.25, "1": 0.75}"#);
        let deviation = compare(&data(r#"{"score":0.5}"#), &binary).unwrap();
        assert_eq!((deviation.difference, deviation.class), (0.25, None));
        let wine = expected("1", 0.75, r#"{"0": 0.1, "1": 0.75, "2": 0.15}"#);
        assert_eq!(
            compare(&data(r#"{"score":0.75}"#), &wine),
            Err("one score where FATE has 3 classes".to_owned())
        );
        assert_eq!(
            compare(&data("{}"), &binary),
            Err("the answer has no score".to_owned())
        );
    }

    #[test]
    fn every_class_is_compared_in_the_order_of_numbers() {
        let detail = r#"{"10": 0.125, "2": 0.625, "1": 0.25}"#;
        let good = data(r#"{"score":[0.25,0.625,0.125],"label":"2"}"#);
        let ten = expected("2", 0.625, detail);
        assert_eq!(compare(&good, &ten).unwrap().difference, 0.0);
        let bad = data(r#"{"score":[0.25,0.5625,0.125],"label":"2"}"#);
        let deviation = compare(&bad, &ten).unwrap();
        assert_eq!(
            (deviation.difference, deviation.class.as_deref()),
            (0.0625, Some("2"))
        );
        let short = data(r#"{"score":[1.0],"label":"1"}"#);
        assert!(compare(&short, &ten).unwrap_err().contains("a list of 1"));
    }

    #[test]
    fn classes_are_in_the_files_order_or_that_of_numbers() {
        let answer = data(r#"{"score":[0.25,0.5,0.125],"label":"2"}"#);
        for (detail, equal) in [
            (r#"{"1": 0.25, "10": 0.125, "2": 0.5}"#, true),
            (r#"{"1": 0.25, "2": 0.5, "10": 0.125}"#, true),
            (r#"{"2": 0.25, "1": 0.5, "10": 0.125}"#, true),
            (r#"{"1": 0.25, "10": 0.5, "2": 0.125}"#, true),
            (r#"{"10": 0.25, "2": 0.125, "1": 0.5}"#, false),
            (r#"{"b": 0.25, "2": 0.5, "a": 0.125}"#, true),
        ] {
            let expected = expected("2.0", 0.5, detail);
            let deviation = compare(&answer, &expected).unwrap();
            assert_eq!(
                deviation.difference == 0.0 && deviation.wrong_class_by == 0.0,
                equal,
                "{detail}"
            );
        }
    }

    #[test]
    fn without_a_detail_the_winner_is_compared() {
        let clusters = |text: &str| compare(&data(text), &expected("1", 0.5, "{}"));
        let good = clusters(r#"{"score":[2.0,0.5],"label":"1"}"#).unwrap();
        assert_eq!((good.difference, good.class.as_deref()), (0.0, Some("1")));
        let off = clusters(r#"{"score":[0.5,2.0],"label":"1"}"#).unwrap();
        assert!(off.difference > 0.5);
        for wrong in [
            r#"{"score":[0.5,2.0],"label":"0"}"#,
            r#"{"score":[0.5],"label":"1"}"#,
            r#"{"score":[0.5,0.5]}"#,
        ] {
            assert!(clusters(wrong).is_err(), "{wrong}");
        }
        let mut binary = expected("1", 0.75, r#"{"0": 0.25, "1": 0.75}"#);
        binary.score = None;
        assert_eq!(
            compare(&data(r#"{"score":0.5}"#), &binary)
                .unwrap()
                .difference,
            0.25
        );
    }

    #[test]
    fn another_class_counts_unless_it_is_as_likely() {
        let detail = r#"{"0": 0.5, "1": 0.5, "2": 0.25}"#;
        let outcome = |label: &str| {
            let text = format!(r#"{{"score":[0.5,0.5,0.25],"label":"{label}"}}"#);
            compare(&data(&text), &expected("0", 0.5, detail))
        };
        assert_eq!(outcome("0").unwrap().wrong_class_by, 0.0);
        assert_eq!(outcome("1").unwrap().wrong_class_by, 0.0);
        assert_eq!(outcome("2").unwrap().wrong_class_by, 0.25);
        assert!(outcome("3").is_err());
    }
}
