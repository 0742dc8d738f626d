//! K-means (contract 02 B4): squared distances, added over the parties; offline only.

use fate_domain::java_hash::hash_order;
use fate_inference::Semantics;
use fate_proto::buffer::{Centroiddetail, KmeansModelMeta, KmeansModelParam};

use crate::{
    Expected, Model,
    dice::Dice,
    party::{Component, host_id},
    values::{Row, columns, number, random_row},
};

#[derive(Debug)]
pub(crate) struct Clusters {
    clusters: usize,
    parties: Vec<Party>,
}

#[derive(Debug)]
struct Party {
    columns: Vec<String>,
    /// Coordinates of each cluster.
    centroids: Vec<Vec<f64>>,
}

impl Clusters {
    pub(crate) fn random(dice: &mut Dice<'_>) -> Self {
        let clusters = 2 + dice.below(4);
        let mut party = || {
            let count = 1 + dice.below(3);
            let columns = columns(dice, count);
            let mut centroid = || columns.iter().map(|_| dice.hundredths()).collect();
            let centroids = (0..clusters).map(|_| centroid()).collect();
            Party { columns, centroids }
        };
        let mut parties = vec![party(), party()];
        if dice.chance(50) {
            parties.extend((0..1 + dice.below(2)).map(|_| {
                let columns = columns(dice, 1);
                let centroids = (0..clusters).map(|_| vec![dice.hundredths()]).collect();
                Party { columns, centroids }
            }));
        }
        Clusters { clusters, parties }
    }
}

impl Party {
    fn distances(&self, row: &Row) -> Option<Vec<f64>> {
        let mut values = Vec::new();
        for name in &self.columns {
            let number = row.get(name)?.number()?;
            if number.is_nan() {
                return None;
            }
            values.push(number);
        }
        let distance = |centroid: &Vec<f64>| {
            let apart = centroid.iter().zip(&values);
            apart
                .map(|(at, value)| (at - value) * (at - value))
                .sum::<f64>()
        };
        let distances: Vec<f64> = self.centroids.iter().map(distance).collect();
        distances
            .iter()
            .all(|distance| distance.is_finite())
            .then_some(distances)
    }

    fn component(&self, class: &'static str) -> Component {
        let k = self.centroids.len() as i64;
        let meta = KmeansModelMeta {
            k,
            ..Default::default()
        };
        let param = KmeansModelParam {
            count_of_clusters: k,
            centroid_detail: self
                .centroids
                .iter()
                .map(|centroid| Centroiddetail {
                    centroid: centroid.clone(),
                })
                .collect(),
            header: self.columns.clone(),
            ..Default::default()
        };
        Component::new(class, &meta, &param)
    }
}

impl Model for Clusters {
    fn version(&self) -> &'static str {
        "1.11.4"
    }

    fn components(&self) -> Vec<Vec<Component>> {
        let of = |(index, party): (usize, &Party)| {
            let class = if index == 0 {
                "HeteroKmeansGuest"
            } else {
                "HeteroKmeansHost"
            };
            vec![party.component(class)]
        };
        self.parties.iter().enumerate().map(of).collect()
    }

    fn random_rows(&self, dice: &mut Dice<'_>) -> Vec<Row> {
        let is_odd = dice.chance(25);
        let row = |party: &Party| {
            if is_odd {
                return random_row(dice, &party.columns, &[]);
            }
            let columns = party.columns.iter().cloned();
            columns
                .map(|name| (name, number(dice.hundredths())))
                .collect()
        };
        self.parties.iter().map(row).collect()
    }

    fn semantics(&self) -> &'static [Semantics] {
        &[Semantics::Fate]
    }

    fn interpret(&self, rows: &[Row], _semantics: Semantics) -> Expected {
        let mut parts = Vec::new();
        for (party, row) in self.parties.iter().zip(rows) {
            parts.push(party.distances(row)?);
        }
        let ids: Vec<String> = (1..parts.len()).map(|party| host_id(party - 1)).collect();
        // Of distances that differ in their last digit the label depends on the order of the sum.
        let mut total = parts[0].clone();
        for host in hash_order(ids.iter().map(String::as_str), 16) {
            for cluster in 0..self.clusters {
                total[cluster] += parts[host + 1][cluster];
            }
        }
        if total.iter().any(|distance| !distance.is_finite()) {
            return None;
        }
        let least = total.iter().copied().fold(f64::INFINITY, f64::min);
        let label = total.iter().position(|distance| *distance == least);
        Some((total, label.map(|label| label.to_string())))
    }
}
