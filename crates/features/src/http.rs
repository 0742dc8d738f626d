//! `http`: asks a feature service, whose answer's `code` decides (Java's `HttpAdapter`, contract 01 §8.1).
//!
//! Two forms are understood, with outer code 0 or 200:
//! * as documented, `{"code":200,"data":{"x0":1.5}}`;
//! * as Java 2.1.7 reads them, `{"code":0,"data":{"code":200,"x0":1.5,"data":{"x1":2}}}`, with the features beside the
//!   inner `data`, in it, or both; of a name in both places the one beside counts, as in Java.
//!
//! The HTTP status is not looked at.

use std::sync::Arc;

use fate_domain::fault::Fault;
use fate_domain::members::Members;
use fate_domain::return_code::ReturnCode;

use crate::feature_service::{self, FeatureService};
use crate::registry::Error;
use crate::{BatchRows, BoxFuture, FeatureRow, FeatureSource, Settings};

const NAME: &str = "http";

const CODE: &str = "code";
const DATA: &str = "data";
/// The only inner code that Java takes for success.
const INNER_SUCCESS: i64 = 200;

#[derive(Debug)]
struct Http {
    service: FeatureService,
}

pub(crate) fn open(settings: &Settings) -> Result<Arc<dyn FeatureSource>, Error> {
    Ok(Arc::new(Http {
        service: FeatureService::open(NAME, settings)?,
    }))
}

impl FeatureSource for Http {
    fn name(&self) -> &str {
        NAME
    }

    fn fetch<'a>(&'a self, ids: &'a str) -> BoxFuture<'a, Result<FeatureRow, Fault>> {
        Box::pin(async move {
            let answer = self.service.ask(ids).await?;
            features(&answer.body).map_err(|fault| {
                Fault::new(
                    fault.code,
                    format!("HTTP {}: {}", answer.status, fault.message),
                )
            })
        })
    }

    fn fetch_batch<'a>(&'a self, ids: &'a [&'a str]) -> BoxFuture<'a, BatchRows> {
        crate::one_by_one(self, ids)
    }
}

fn no_features(message: impl Into<String>) -> Fault {
    Fault::new(ReturnCode::FEATURE_ADAPTOR, message)
}

fn features(body: &[u8]) -> Result<FeatureRow, Fault> {
    let text = std::str::from_utf8(body)
        .map_err(|_| feature_service::fault("the answer is not UTF-8 text"))?;
    let answer = object(text, "the answer")?;
    match code(answer.get(CODE)) {
        Some(0 | 200) => {}
        Some(404) => return Err(no_features("the service has no features (code 404)")),
        Some(other) => return Err(no_features(format!("unknown code {other}"))),
        None => return Err(feature_service::fault("the answer's code is not a number")),
    }
    let data = answer.get(DATA).filter(|data| *data != NULL);
    let data = data.ok_or_else(|| no_features("the answer has no data"))?;
    row(data).map(FeatureRow::Json)
}

/// The features in `data` as the text of one object.
fn row(data: &str) -> Result<String, Fault> {
    let mut beside = object(data, "data")?;
    let inner_code = beside.get(CODE);
    let inner_data = beside.get(DATA);
    let is_nested = inner_code.is_some() || inner_data.is_some_and(is_object);
    if !is_nested {
        return some(&beside).map(|()| data.to_owned());
    }
    if inner_code.is_some_and(|inner| code(Some(inner)) != Some(INNER_SUCCESS)) {
        return Err(no_features("the code in data is not 200"));
    }
    beside.remove(CODE);
    beside.remove(DATA);
    if let Some(inner) = inner_data.filter(|inner| *inner != NULL) {
        let mut inner = object(inner, "data in data")?;
        inner.remove(CODE);
        inner.remove(DATA);
        beside.add_missing(inner);
    }
    some(&beside).map(|()| beside.to_text())
}

/// The token.
const NULL: &str = "null";

fn is_object(value: &str) -> bool {
    value.starts_with('{')
}

fn some(features: &Members<'_>) -> Result<(), Fault> {
    if features.is_empty() {
        return Err(no_features("the answer has no features"));
    }
    Ok(())
}

fn object<'a>(text: &'a str, what: &str) -> Result<Members<'a>, Fault> {
    Members::whole(text)
        .map_err(|cause| feature_service::fault(format!("{what} is not a JSON object: {cause}")))
}

/// The code as Java's `int` takes it: 0 when missing or null, a number in quotes counts, a fraction is cut off.
fn code(value: Option<&str>) -> Option<i64> {
    let Some(value) = value.filter(|value| *value != NULL) else {
        return Some(0);
    };
    match serde_json::from_str(value).ok()? {
        serde_json::Value::Number(number) => number
            .as_i64()
            .or_else(|| number.as_f64().map(|number| number as i64)),
        serde_json::Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
