//! `http-header`: asks a feature service, whose HTTP status decides; the body of a 200 is the object of the features
//! (Java's `HttpAdapterByHeader`, contract 01 §8).

use std::sync::Arc;

use fate_domain::fault::Fault;
use fate_domain::members::Members;
use fate_domain::return_code::ReturnCode;
use hyper::StatusCode;

use crate::feature_service::{Answer, FeatureService};
use crate::registry::Error;
use crate::{BatchRows, BoxFuture, FeatureRow, FeatureSource, Settings};

const NAME: &str = "http-header";

#[derive(Debug)]
struct HttpHeader {
    service: FeatureService,
}

pub(crate) fn open(settings: &Settings) -> Result<Arc<dyn FeatureSource>, Error> {
    Ok(Arc::new(HttpHeader {
        service: FeatureService::open(NAME, settings)?,
    }))
}

impl FeatureSource for HttpHeader {
    fn name(&self) -> &str {
        NAME
    }

    fn fetch<'a>(&'a self, ids: &'a str) -> BoxFuture<'a, Result<FeatureRow, Fault>> {
        Box::pin(async move { features(&self.service.ask(ids).await?) })
    }

    fn fetch_batch<'a>(&'a self, ids: &'a [&'a str]) -> BoxFuture<'a, BatchRows> {
        crate::one_by_one(self, ids)
    }
}

fn features(answer: &Answer) -> Result<FeatureRow, Fault> {
    if answer.status != StatusCode::OK {
        return Err(no_features(format!("HTTP {}", answer.status)));
    }
    let text = std::str::from_utf8(&answer.body)
        .map_err(|_| no_features("the answer is not UTF-8 text".to_owned()))?;
    let members = Members::whole(text)
        .map_err(|cause| no_features(format!("the answer is not a JSON object: {cause}")))?;
    if members.is_empty() {
        return Err(no_features("the answer has no features".to_owned()));
    }
    Ok(FeatureRow::Json(text.to_owned()))
}

fn no_features(message: String) -> Fault {
    Fault::new(ReturnCode::FEATURE_ADAPTOR, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::single_source;
    use crate::test_service::{Reply, TestService};

    #[tokio::test]
    async fn contract_table() {
        let cases: &[(u16, &str, Result<&str, i32>)] = &[
            (
                200,
                r#"{"x0":1.50,"x1":"2"}"#,
                Ok(r#"{"x0":1.50,"x1":"2"}"#),
            ),
            // The body is flat: nothing in it has a meaning of its own.
            (
                200,
                r#"{"code":404,"data":{}}"#,
                Ok(r#"{"code":404,"data":{}}"#),
            ),
            (200, "", Err(116)),
            (200, "{}", Err(116)),
            (200, "[1]", Err(116)),
            (200, "<html>", Err(116)),
            (201, r#"{"x0":1}"#, Err(116)),
            (302, "", Err(116)),
            (404, r#"{"x0":1}"#, Err(116)),
            (500, "", Err(116)),
        ];
        for (status, body, expected) in cases {
            let service = TestService::start(Reply::answer(*status, *body)).await;
            let source = single_source("HttpAdapterByHeader", &service.settings()).expect("source");
            let got = source.fetch(r#"{"id":"1"}"#).await;
            let got = got.map_err(|fault| fault.code.0);
            let expected = expected.map(|text| FeatureRow::Json(text.to_owned()));
            assert_eq!(got, expected, "{status} {body}");
            assert_eq!(service.requests().len(), 1, "no redirect is followed");
        }
    }

    #[tokio::test]
    async fn a_broken_exchange_is_110() {
        let service = TestService::start(Reply::Cut(br#"{"x0":1}"#[..4].into(), 8)).await;
        let source = single_source("http-header", &service.settings()).expect("source");
        let fault = source.fetch("{}").await.expect_err("cut off");
        assert_eq!(fault.code.0, 110, "{fault}");
    }
}
