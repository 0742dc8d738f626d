//! `mock`: the same eleven features for every id (Java's `MockAdapter` and `MockBatchAdapter`).

use std::sync::Arc;

use crate::registry::Error;
use crate::{BatchRows, BoxFuture, FeatureRow, FeatureSource, Settings};
use fate_domain::fault::Fault;

/// Values of `x0` … `x10` (contract 01 §8).
const VALUES: [f64; 11] = [
    1.0, 5.0, 13.0, 58.0, 95.0, 352.0, 418.0, 833.0, 888.0, 937.0, 32776.0,
];

#[derive(Debug)]
struct Mock {
    row: FeatureRow,
}

pub(crate) fn open(_settings: &Settings) -> Result<Arc<dyn FeatureSource>, Error> {
    let features = VALUES
        .iter()
        .enumerate()
        .map(|(index, value)| (format!("x{index}").into_boxed_str(), *value));
    Ok(Arc::new(Mock {
        row: FeatureRow::Numbers(features.collect()),
    }))
}

impl FeatureSource for Mock {
    fn name(&self) -> &str {
        "mock"
    }

    fn fetch<'a>(&'a self, _ids: &'a str) -> BoxFuture<'a, Result<FeatureRow, Fault>> {
        Box::pin(async { Ok(self.row.clone()) })
    }

    fn fetch_batch<'a>(&'a self, ids: &'a [&'a str]) -> BoxFuture<'a, BatchRows> {
        Box::pin(async { Ok(ids.iter().map(|_| Ok(self.row.clone())).collect()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_id_has_the_eleven_features_of_java() {
        let source = open(&Settings::default()).expect("mock needs nothing");
        let Ok(FeatureRow::Numbers(row)) = source.fetch("{}").await else {
            panic!("mock gives numbers");
        };
        assert_eq!(row.len(), 11);
        assert_eq!((&*row[0].0, row[0].1), ("x0", 1.0));
        assert_eq!((&*row[10].0, row[10].1), ("x10", 32776.0));
        let rows = source.fetch_batch(&["{}", "not json"]).await.expect("rows");
        assert_eq!(rows, vec![Ok(FeatureRow::Numbers(row)); 2]);
    }
}
