//! Linear models: logistic regression (binary, one-vs-rest, SSHE), linear regression, Poisson regression
//! (contract 02 A9, B4). Homogeneous and local ones are built from the same parts.

use std::collections::{BTreeMap, HashSet};

use fate_domain::{fault::Fault, java_number::write_json_double, return_code::ReturnCode};
use fate_proto::buffer::{
    LinRModelMeta, LinRModelParam, LrModelMeta, LrModelParam, PoissonModelMeta, PoissonModelParam,
};

use super::{Context, GuestModel, HostModel, Part, Source};
use crate::{
    Cell, GuestLocal, Partial, Refusal, Row, Score,
    dsl::FateVersion,
    merge::{softmax, write_list},
    partial::{Local, Share},
    symbols::Column,
};

/// One weighted sum. Terms are added in the order of the model's header, so that a score has one value, always.
#[derive(Debug)]
pub(super) struct Sum {
    terms: Vec<(Column, f64)>,
    intercept: f64,
}

impl Sum {
    fn new(
        source: &Source<'_>,
        weight: &BTreeMap<String, f64>,
        header: &[String],
        intercept: f64,
        context: &mut Context<'_>,
    ) -> Result<Self, Refusal> {
        let named: HashSet<&str> = header.iter().map(String::as_str).collect();
        if !context.java() {
            check_weights(source, weight, &named, intercept)?;
        }
        let mut terms: Vec<(Column, f64)> = Vec::with_capacity(weight.len());
        let listed = header.iter().filter_map(|name| weight.get_key_value(name));
        let unlisted = weight
            .iter()
            .filter(|(name, _)| !named.contains(name.as_str()));
        for (name, &weight) in listed.chain(unlisted) {
            terms.push((context.symbols.intern(name), weight));
        }
        Ok(Sum { terms, intercept })
    }

    /// Absent features contribute nothing (contract 02 A9); one that is there and has no value is a fault.
    fn of(&self, row: &Row<'_>) -> Result<f64, Fault> {
        let mut sum = 0.0;
        for &(column, weight) in &self.terms {
            match row.cell(column) {
                Cell::Absent | Cell::ImplicitZero => {}
                Cell::Number(value, _) => sum += weight * value,
                cell => sum += weight * cell.number().ok_or_else(not_a_number)?,
            }
        }
        Ok(sum + self.intercept)
    }

    /// The first column that makes a fault.
    fn unreadable(&self, row: &Row<'_>) -> Option<Column> {
        let mut columns = self.terms.iter().map(|(column, _)| *column);
        columns.find(|column| match row.cell(*column) {
            Cell::Absent | Cell::ImplicitZero => false,
            cell => cell.number().is_none(),
        })
    }
}

/// FATE trains no model without features, and names a weight for each column of the header.
fn check_weights(
    source: &Source<'_>,
    weight: &BTreeMap<String, f64>,
    header: &HashSet<&str>,
    intercept: f64,
) -> Result<(), Refusal> {
    if weight.is_empty() {
        return Err(source.refuse("it has no weights"));
    }
    let is_complete =
        weight.len() == header.len() && weight.keys().all(|name| header.contains(name.as_str()));
    if !is_complete {
        return Err(source.refuse(format!(
            "its weights ({}) are not those of its header ({})",
            weight.len(),
            header.len()
        )));
    }
    if !intercept.is_finite() || weight.values().any(|weight| !weight.is_finite()) {
        return Err(source.refuse("a weight or the intercept is not a finite number"));
    }
    Ok(())
}

fn not_a_number() -> Fault {
    Fault::new(
        ReturnCode::SYSTEM,
        "a feature of the linear model is missing or not a number",
    )
}

/// How the merged sums become a score.
#[derive(Debug)]
pub(super) enum Link {
    /// `1 / (1 + exp(-s))`
    Sigmoid,
    Identity,
    /// `exp(s)` times the guest's exposure column.
    Exposure(Exposure),
    /// A number per class; the label is that of the largest.
    Classes(Vec<Box<str>>, Spread),
}

/// How the sums of several classes become their numbers.
#[derive(Debug, Clone, Copy)]
pub(super) enum Spread {
    /// A sigmoid per class (one_vs_rest.py).
    Sigmoids,
    /// Sigmoids, divided by their sum (scikit-learn's `_predict_proba_lr`).
    SharesOfSigmoids,
    Softmax,
}

/// Poisson's factor (hetero_poisson_guest.py).
#[derive(Debug)]
pub(super) struct Exposure {
    /// The guest's exposure column; without one the factor is 1.
    column: Option<Column>,
    /// What an exposure of 0 counts as: its logarithm was added up to 1.7 (`safe_log`), since then it is a factor.
    zero: f64,
}

#[derive(Debug)]
pub(super) struct LinearGuest {
    pub(super) sums: Vec<Sum>,
    pub(super) link: Link,
    pub(super) java: bool,
}

#[derive(Debug)]
struct LinearHost {
    sums: Vec<Sum>,
    one_vs_rest: bool,
}

/// `1 / (1 + exp(-x))`; an overflowing exponential gives exactly 0 (contract 02 A1.5).
pub(crate) fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

pub(super) struct Logistic {
    pub(super) meta: LrModelMeta,
    /// One for each class, or the only one.
    pub(super) sums: Vec<Sum>,
    pub(super) classes: Option<Vec<Box<str>>>,
}

pub(super) fn logistic(
    source: &Source<'_>,
    context: &mut Context<'_>,
) -> Result<Logistic, Refusal> {
    let meta: LrModelMeta = source.meta()?;
    let param: LrModelParam = source.param()?;
    refuse_encrypted(
        source,
        &meta.reveal_strategy,
        param.encrypted_weight.is_empty(),
    )?;
    if param.need_one_vs_rest {
        context.differs("FATE-Serving 2.1.7 ignores one-vs-rest and answers 0.5 for every row");
    }
    if !param.need_one_vs_rest || context.java() {
        let sum = Sum::new(
            source,
            &param.weight,
            &param.header,
            param.intercept,
            context,
        )?;
        return Ok(Logistic {
            meta,
            sums: vec![sum],
            classes: None,
        });
    }
    let result = param.one_vs_rest_result.unwrap_or_default();
    if result.completed_models.is_empty()
        || result.completed_models.len() != result.one_vs_rest_classes.len()
    {
        return Err(source.refuse(format!(
            "one-vs-rest has {} models for {} classes",
            result.completed_models.len(),
            result.one_vs_rest_classes.len()
        )));
    }
    let mut sums = Vec::new();
    for model in &result.completed_models {
        refuse_encrypted(source, "", model.encrypted_weight.is_empty())?;
        let header = if model.header.is_empty() {
            &param.header
        } else {
            &model.header
        };
        sums.push(Sum::new(
            source,
            &model.weight,
            header,
            model.intercept,
            context,
        )?);
    }
    let classes = result
        .one_vs_rest_classes
        .into_iter()
        .map(String::into_boxed_str)
        .collect();
    Ok(Logistic {
        meta,
        sums,
        classes: Some(classes),
    })
}

fn refuse_encrypted(source: &Source<'_>, strategy: &str, plain: bool) -> Result<(), Refusal> {
    if strategy == "encrypted_reveal_in_host" || !plain {
        return Err(source.refuse(
            "its host weights are encrypted (reveal_strategy encrypted_reveal_in_host); train with \"respectively\" to serve it",
        ));
    }
    Ok(())
}

/// A guest's logistic regression, and its kind.
pub(super) fn lr_guest(
    source: &Source<'_>,
    context: &mut Context<'_>,
) -> Result<(LinearGuest, String), Refusal> {
    let Logistic { sums, classes, .. } = logistic(source, context)?;
    let (kind, link) = match classes {
        Some(classes) => (
            format!(
                "one-vs-rest logistic regression of {} classes",
                classes.len()
            ),
            Link::Classes(classes, Spread::Sigmoids),
        ),
        None => ("binary logistic regression".to_owned(), Link::Sigmoid),
    };
    let java = context.java();
    Ok((LinearGuest { sums, link, java }, kind))
}

pub(crate) fn build_lr_guest(
    source: &Source<'_>,
    context: &mut Context<'_>,
) -> Result<Part, Refusal> {
    let (model, kind) = lr_guest(source, context)?;
    Ok(Part::guest(model, kind))
}

pub(crate) fn build_lr_host(
    source: &Source<'_>,
    context: &mut Context<'_>,
) -> Result<Part, Refusal> {
    let Logistic { sums, classes, .. } = logistic(source, context)?;
    let kind = if classes.is_some() {
        "one-vs-rest logistic regression"
    } else {
        "binary logistic regression"
    };
    Ok(Part::host(
        LinearHost {
            sums,
            one_vs_rest: classes.is_some(),
        },
        kind,
    ))
}

fn linr(source: &Source<'_>, context: &mut Context<'_>) -> Result<Sum, Refusal> {
    let meta: LinRModelMeta = source.meta()?;
    let param: LinRModelParam = source.param()?;
    refuse_encrypted(
        source,
        &meta.reveal_strategy,
        param.encrypted_weight.is_empty(),
    )?;
    Sum::new(
        source,
        &param.weight,
        &param.header,
        param.intercept,
        context,
    )
}

pub(crate) fn build_linr_guest(
    source: &Source<'_>,
    context: &mut Context<'_>,
) -> Result<Part, Refusal> {
    let sums = vec![linr(source, context)?];
    Ok(Part::guest(
        LinearGuest {
            sums,
            link: Link::Identity,
            java: false,
        },
        "linear regression",
    ))
}

pub(crate) fn build_linr_host(
    source: &Source<'_>,
    context: &mut Context<'_>,
) -> Result<Part, Refusal> {
    let sums = vec![linr(source, context)?];
    Ok(Part::host(
        LinearHost {
            sums,
            one_vs_rest: false,
        },
        "linear regression",
    ))
}

pub(crate) fn build_poisson_guest(
    source: &Source<'_>,
    context: &mut Context<'_>,
) -> Result<Part, Refusal> {
    let meta: PoissonModelMeta = source.meta()?;
    let param: PoissonModelParam = source.param()?;
    if context.site.hosts.len() > 1 {
        return Err(source.refuse("FATE's Poisson regression has one host"));
    }
    let exposure = Exposure {
        column: (!meta.exposure_colname.is_empty())
            .then(|| context.symbols.intern(&meta.exposure_colname)),
        zero: if context.version() < FateVersion(1, 8, 0) {
            1e-7
        } else {
            0.0
        },
    };
    let sums = vec![Sum::new(
        source,
        &param.weight,
        &param.header,
        param.intercept,
        context,
    )?];
    Ok(Part::guest(
        LinearGuest {
            sums,
            link: Link::Exposure(exposure),
            java: false,
        },
        "Poisson regression",
    ))
}

pub(crate) fn build_poisson_host(
    source: &Source<'_>,
    context: &mut Context<'_>,
) -> Result<Part, Refusal> {
    let _meta: PoissonModelMeta = source.meta()?;
    let param: PoissonModelParam = source.param()?;
    let sums = vec![Sum::new(
        source,
        &param.weight,
        &param.header,
        param.intercept,
        context,
    )?];
    Ok(Part::host(
        LinearHost {
            sums,
            one_vs_rest: false,
        },
        "Poisson regression",
    ))
}

fn columns(sums: &[Sum]) -> Vec<Column> {
    sums.iter()
        .flat_map(|sum| &sum.terms)
        .map(|(column, _)| *column)
        .collect()
}

impl GuestModel for LinearGuest {
    fn local(&self, row: &Row<'_>) -> Result<GuestLocal, Fault> {
        let local = match (&self.link, self.sums.as_slice()) {
            (Link::Exposure(exposure), [sum]) => Local::Scaled {
                sum: sum.of(row)?,
                factor: exposure.of(row)?,
            },
            (_, [sum]) => Local::Sum(sum.of(row)?),
            (_, sums) => Local::Sums(
                sums.iter()
                    .map(|sum| sum.of(row))
                    .collect::<Result<_, _>>()?,
            ),
        };
        Ok(GuestLocal(local))
    }

    fn unreadable(&self, row: &Row<'_>) -> Option<Column> {
        self.sums.iter().find_map(|sum| sum.unreadable(row))
    }

    fn read_partial(&self, party_id: &str, json: &str) -> Result<Partial, Fault> {
        #[derive(serde::Deserialize)]
        struct Reply<T> {
            score: T,
        }
        let bad = |error| {
            Fault::new(
                ReturnCode::MERGE,
                format!("the score of host {party_id} is not a number: {error}"),
            )
        };
        let share = match self.link {
            Link::Classes(..) => Share::Sums(
                serde_json::from_str::<Reply<Vec<f64>>>(json)
                    .map_err(bad)?
                    .score,
            ),
            _ => Share::Sum(serde_json::from_str::<Reply<f64>>(json).map_err(bad)?.score),
        };
        Ok(Partial(share))
    }

    /// 1.x hosts answer `{"prob": …}`.
    fn read_legacy_partial(&self, party_id: &str, data: &str) -> Result<Partial, Fault> {
        #[derive(serde::Deserialize)]
        struct Legacy {
            prob: Option<f64>,
        }
        let legacy: Option<Legacy> = serde_json::from_str(data).ok();
        match legacy.and_then(|legacy| legacy.prob) {
            Some(prob) => Ok(Partial(Share::Sum(prob))),
            None => Err(Fault::new(
                ReturnCode::MERGE,
                format!(
                    "host data score is null: host {party_id} answered without the model's component"
                ),
            )),
        }
    }

    fn columns(&self) -> Vec<Column> {
        let exposure = match &self.link {
            Link::Exposure(exposure) => exposure.column,
            _ => None,
        };
        columns(&self.sums).into_iter().chain(exposure).collect()
    }

    fn merge(&self, local: GuestLocal, partials: &[&Partial]) -> Result<Score, Fault> {
        match (local.0, &self.link) {
            (Local::Sum(sum), Link::Sigmoid) => {
                self.finite(sigmoid(add(sum, partials, 0)?)).map(Score::one)
            }
            (Local::Sum(sum), Link::Identity) => {
                self.finite(add(sum, partials, 0)?).map(Score::one)
            }
            (Local::Scaled { sum, factor }, Link::Exposure(_)) => self
                .finite(add(sum, partials, 0)?.exp() * factor)
                .map(Score::one),
            (Local::Sum(sum), Link::Classes(classes, spread)) => {
                self.classes(&[sum], partials, classes, *spread)
            }
            (Local::Sums(sums), Link::Classes(classes, spread)) => {
                self.classes(&sums, partials, classes, *spread)
            }
            _ => Err(Fault::new(ReturnCode::MERGE, "local result is invalid ")),
        }
    }
}

impl LinearGuest {
    fn classes(
        &self,
        sums: &[f64],
        partials: &[&Partial],
        classes: &[Box<str>],
        spread: Spread,
    ) -> Result<Score, Fault> {
        let mut numbers = sums
            .iter()
            .enumerate()
            .map(|(class, &sum)| self.finite(add(sum, partials, class)?))
            .collect::<Result<Vec<f64>, Fault>>()?;
        match spread {
            Spread::Softmax => softmax(&mut numbers),
            Spread::Sigmoids | Spread::SharesOfSigmoids => numbers
                .iter_mut()
                .for_each(|number| *number = sigmoid(*number)),
        }
        if let Spread::SharesOfSigmoids = spread {
            let total: f64 = numbers.iter().sum();
            numbers.iter_mut().for_each(|number| *number /= total);
        }
        for number in &numbers {
            self.finite(*number)?;
        }
        Ok(Score::classes(numbers, classes))
    }

    /// NaN and infinity are no scores. FATE-Serving 2.1.7 answers them with success (contract 02 F31), so `java` does.
    fn finite(&self, score: f64) -> Result<f64, Fault> {
        if !score.is_finite() && !self.java {
            return Err(Fault::new(
                ReturnCode::SYSTEM,
                "the score is not a finite number: a feature of the model is NaN or too large",
            ));
        }
        Ok(score)
    }
}

/// Adds the hosts' sums of one class, in the order given.
fn add(sum: f64, partials: &[&Partial], class: usize) -> Result<f64, Fault> {
    let mut total = sum;
    for partial in partials {
        total += match &partial.0 {
            Share::Sum(share) if class == 0 => *share,
            Share::Sums(shares) => *shares.get(class).ok_or_else(host_score_is_null)?,
            _ => return Err(host_score_is_null()),
        };
    }
    Ok(total)
}

fn host_score_is_null() -> Fault {
    Fault::new(ReturnCode::MERGE, "host data score is null")
}

impl Exposure {
    fn of(&self, row: &Row<'_>) -> Result<f64, Fault> {
        let Some(column) = self.column else {
            return Ok(1.0);
        };
        match row.cell(column).number() {
            Some(0.0) => Ok(self.zero),
            Some(exposure) if !exposure.is_nan() => Ok(exposure),
            _ => Err(Fault::new(
                ReturnCode::SYSTEM,
                "the exposure column is missing or not a number",
            )),
        }
    }
}

impl HostModel for LinearHost {
    fn partial(&self, row: &Row<'_>) -> Result<Partial, Fault> {
        let share = match self.sums.as_slice() {
            [sum] if !self.one_vs_rest => Share::Sum(finite_share(sum.of(row)?)?),
            sums => Share::Sums(
                sums.iter()
                    .map(|sum| finite_share(sum.of(row)?))
                    .collect::<Result<_, _>>()?,
            ),
        };
        Ok(Partial(share))
    }

    fn columns(&self) -> Vec<Column> {
        columns(&self.sums)
    }

    fn write_partial(&self, partial: &Partial, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"score\":");
        match &partial.0 {
            Share::Sum(sum) => write_json_double(*sum, out),
            Share::Sums(sums) => write_list(sums, out),
            _ => out.extend_from_slice(b"null"),
        }
        out.push(b'}');
    }
}

/// A guest rejects NaN and infinities, which travel as text (contract 02 A9); say so where the cause is known.
pub(super) fn finite_share(share: f64) -> Result<f64, Fault> {
    if share.is_finite() {
        return Ok(share);
    }
    Err(Fault::new(
        ReturnCode::SYSTEM,
        "the host's partial score is not a finite number",
    ))
}
