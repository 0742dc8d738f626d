//! K-means over several parties (contract 02 B4; hetero_kmeans_client.py `educl_dist`, hetero_kmeans_arbiter.py
//! `predict`): every party adds its squared distances to its part of each centroid, the nearest cluster is the answer.
//!
//! A host's answer is `{"score":[distance per cluster]}`. Offline those sums are masked before they meet; here the guest
//! sees each host's distances.

use fate_domain::{fault::Fault, return_code::ReturnCode};
use fate_proto::buffer::{KmeansModelMeta, KmeansModelParam};

use super::{Context, GuestModel, HostModel, Part, Source, linear::finite_share};
use crate::{
    Cell, GuestLocal, Partial, Refusal, Row, Score,
    merge::write_list,
    partial::{Local, Share},
    symbols::Column,
};

/// A party's part of every centroid.
#[derive(Debug)]
struct Clusters {
    columns: Vec<Column>,
    /// A coordinate for each column, by cluster.
    centroids: Vec<Vec<f64>>,
    /// `"0"`, `"1"`, …
    labels: Vec<Box<str>>,
}

pub(crate) fn build_guest(source: &Source<'_>, context: &mut Context<'_>) -> Result<Part, Refusal> {
    let clusters = clusters(source, context)?;
    let kind = clusters.kind();
    Ok(Part::guest(clusters, kind))
}

pub(crate) fn build_host(source: &Source<'_>, context: &mut Context<'_>) -> Result<Part, Refusal> {
    let clusters = clusters(source, context)?;
    let kind = clusters.kind();
    Ok(Part::host(clusters, kind))
}

fn clusters(source: &Source<'_>, context: &mut Context<'_>) -> Result<Clusters, Refusal> {
    let meta: KmeansModelMeta = source.meta()?;
    let param: KmeansModelParam = source.param()?;
    let centroids: Vec<Vec<f64>> = param
        .centroid_detail
        .into_iter()
        .map(|detail| detail.centroid)
        .collect();
    let count = i64::try_from(centroids.len()).unwrap_or(i64::MAX);
    if count < 2 || meta.k != count || param.count_of_clusters != count {
        return Err(source.refuse(format!(
            "it has {count} centroids for {} clusters (k is {})",
            param.count_of_clusters, meta.k
        )));
    }
    let width = param.header.len();
    if width == 0 || centroids.iter().any(|centroid| centroid.len() != width) {
        return Err(source.refuse(format!(
            "a centroid has not the {width} coordinates of its header"
        )));
    }
    if centroids.iter().flatten().any(|value| !value.is_finite()) {
        return Err(source.refuse("a coordinate of a centroid is not a finite number"));
    }
    let columns: Vec<Column> = param
        .header
        .iter()
        .map(|name| context.symbols.intern(name))
        .collect();
    let labels = (0..count)
        .map(|cluster| cluster.to_string().into())
        .collect();
    Ok(Clusters {
        columns,
        centroids,
        labels,
    })
}

impl Clusters {
    fn kind(&self) -> String {
        format!("k-means of {} clusters", self.centroids.len())
    }

    /// Squared distances; a position that a sparse row leaves out is zero, a feature without value is a fault: offline
    /// every distance becomes NaN.
    fn distances(&self, row: &Row<'_>) -> Result<Vec<f64>, Fault> {
        let mut distances = vec![0.0; self.centroids.len()];
        for (position, &column) in self.columns.iter().enumerate() {
            let value = match row.cell(column) {
                Cell::ImplicitZero => Some(0.0),
                cell => cell.number().filter(|value| !value.is_nan()),
            };
            let value = value.ok_or_else(|| {
                Fault::new(
                    ReturnCode::SYSTEM,
                    "a feature of the k-means model is missing or not a number",
                )
            })?;
            for (distance, centroid) in distances.iter_mut().zip(&self.centroids) {
                let apart = centroid[position] - value;
                *distance += apart * apart;
            }
        }
        Ok(distances)
    }
}

impl GuestModel for Clusters {
    fn local(&self, row: &Row<'_>) -> Result<GuestLocal, Fault> {
        self.distances(row).map(Local::Sums).map(GuestLocal)
    }

    fn read_partial(&self, party_id: &str, json: &str) -> Result<Partial, Fault> {
        #[derive(serde::Deserialize)]
        struct Reply {
            score: Vec<f64>,
        }
        let bad = |what: String| {
            Fault::new(
                ReturnCode::MERGE,
                format!("the distances of host {party_id} {what}"),
            )
        };
        let reply: Reply = serde_json::from_str(json)
            .map_err(|error| bad(format!("are not a list of numbers: {error}")))?;
        if reply.score.len() != self.centroids.len() {
            return Err(bad(format!(
                "are {} for {} clusters",
                reply.score.len(),
                self.centroids.len()
            )));
        }
        Ok(Partial(Share::Sums(reply.score)))
    }

    fn merge(&self, local: GuestLocal, partials: &[&Partial]) -> Result<Score, Fault> {
        let Local::Sums(mut distances) = local.0 else {
            return Err(Fault::new(ReturnCode::MERGE, "local result is invalid "));
        };
        for partial in partials {
            let Share::Sums(shares) = &partial.0 else {
                return Err(Fault::new(ReturnCode::MERGE, "host data score is null"));
            };
            distances
                .iter_mut()
                .zip(shares)
                .for_each(|(distance, share)| *distance += share);
        }
        if distances.iter().any(|distance| !distance.is_finite()) {
            return Err(Fault::new(
                ReturnCode::SYSTEM,
                "a distance is not a finite number",
            ));
        }
        let nearest = first_smallest(&distances);
        Ok(Score::labelled(distances, &self.labels, nearest))
    }

    /// No 1.x release served k-means.
    fn read_legacy_partial(&self, party_id: &str, _data: &str) -> Result<Partial, Fault> {
        Err(Fault::new(
            ReturnCode::MERGE,
            format!("host {party_id} answered without the model's component"),
        ))
    }

    fn columns(&self) -> Vec<Column> {
        self.columns.clone()
    }
}

/// `np.argmin`.
fn first_smallest(values: &[f64]) -> usize {
    let mut best = 0;
    for (index, value) in values.iter().enumerate() {
        if *value < values[best] {
            best = index;
        }
    }
    best
}

impl HostModel for Clusters {
    fn partial(&self, row: &Row<'_>) -> Result<Partial, Fault> {
        let distances = self.distances(row)?;
        for distance in &distances {
            finite_share(*distance)?;
        }
        Ok(Partial(Share::Sums(distances)))
    }

    fn columns(&self) -> Vec<Column> {
        self.columns.clone()
    }

    fn write_partial(&self, partial: &Partial, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"score\":");
        match &partial.0 {
            Share::Sums(distances) => write_list(distances, out),
            _ => out.extend_from_slice(b"null"),
        }
        out.push(b'}');
    }
}
