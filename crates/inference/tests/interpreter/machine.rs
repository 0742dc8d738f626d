//! Factorization machines (contract 02 A10, F30): within a party FATE's form of the sum over pairs, across parties the
//! product of every two parties' vectors.

use fate_domain::java_hash::hash_order;
use fate_inference::Semantics;
use fate_proto::buffer_fm::{Embedding, FmModelMeta, FmModelParam, OneVsRestResult, SingleModel};

use crate::{
    Expected, Model,
    dice::Dice,
    party::{Component, host_id},
    values::{Row, columns, number, random_row},
};

#[derive(Debug)]
pub(crate) struct Machine {
    parties: Vec<Vec<String>>,
    /// By class, by party; one without classes.
    tables: Vec<Vec<Table>>,
    size: usize,
    classes: bool,
}

#[derive(Debug)]
struct Table {
    /// Weight and vector of each column.
    features: Vec<(f64, Vec<f64>)>,
    intercept: f64,
}

impl Machine {
    pub(crate) fn random(dice: &mut Dice<'_>) -> Self {
        let parties: Vec<Vec<String>> = (0..2 + dice.below(3))
            .map(|_| {
                let count = 1 + dice.below(3);
                columns(dice, count)
            })
            .collect();
        let size = 1 + dice.below(3);
        let classes = dice.chance(25);
        let count = if classes { 2 + dice.below(3) } else { 1 };
        let mut table = |party: usize, columns: &Vec<String>| Table {
            features: columns
                .iter()
                .map(|_| {
                    let vector = (0..size).map(|_| dice.hundredths() / 10.0).collect();
                    (dice.hundredths() / 10.0, vector)
                })
                .collect(),
            intercept: if party == 0 { dice.hundredths() } else { 0.0 },
        };
        let tables = (0..count)
            .map(|_| {
                let parties = parties.iter().enumerate();
                parties
                    .map(|(party, columns)| table(party, columns))
                    .collect()
            })
            .collect();
        Machine {
            parties,
            tables,
            size,
            classes,
        }
    }

    fn single(&self, class: usize, party: usize) -> SingleModel {
        let (table, header) = (&self.tables[class][party], &self.parties[party]);
        let named = || header.iter().zip(&table.features);
        SingleModel {
            weight: named()
                .map(|(name, (weight, _))| (name.clone(), *weight))
                .collect(),
            embedding: named()
                .map(|(name, (_, vector))| {
                    let weight = vector.clone();
                    (name.clone(), Embedding { weight })
                })
                .collect(),
            embed_size: self.size as i32,
            intercept: table.intercept,
            header: header.clone(),
            ..Default::default()
        }
    }

    fn param(&self, party: usize) -> FmModelParam {
        let header = self.parties[party].clone();
        if self.classes {
            let classes = 0..self.tables.len();
            return FmModelParam {
                header,
                need_one_vs_rest: true,
                one_vs_rest_result: Some(OneVsRestResult {
                    completed_models: classes
                        .clone()
                        .map(|class| self.single(class, party))
                        .collect(),
                    one_vs_rest_classes: classes.map(class_name).collect(),
                }),
                ..Default::default()
            };
        }
        let single = self.single(0, party);
        FmModelParam {
            weight: single.weight,
            embedding: single.embedding,
            embed_size: single.embed_size,
            intercept: single.intercept,
            header,
            ..Default::default()
        }
    }

    /// A party's own sum and its vector; none where a value is no number.
    fn part(&self, class: usize, party: usize, row: &Row) -> Option<(f64, Vec<f64>)> {
        let table = &self.tables[class][party];
        let (mut sum, mut vector, mut squares) = (0.0, vec![0.0; self.size], vec![0.0; self.size]);
        for (name, (weight, factors)) in self.parties[party].iter().zip(&table.features) {
            let Some(value) = row.get(name) else { continue };
            let number = value.number()?;
            sum += weight * number;
            for (k, factor) in factors.iter().enumerate() {
                vector[k] += factor * number;
                squares[k] += (factor * number) * (factor * number);
            }
        }
        let pairs: f64 = (0..self.size)
            .map(|k| vector[k] * vector[k] - squares[k])
            .sum();
        Some((sum + 0.5 * pairs + table.intercept, vector))
    }

    fn total(&self, class: usize, rows: &[Row], semantics: Semantics) -> Option<f64> {
        let mut parts = Vec::new();
        for (party, row) in rows.iter().enumerate() {
            let (sum, vector) = self.part(class, party, row)?;
            let is_finite = sum.is_finite() && vector.iter().all(|factor| factor.is_finite());
            if party > 0 && !is_finite {
                return None;
            }
            parts.push((sum, vector));
        }
        if semantics == Semantics::Java {
            // One host counts: the first in a `HashMap` over the ids.
            let ids: Vec<String> = (0..rows.len() - 1).map(host_id).collect();
            let first = hash_order(ids.iter().map(String::as_str), 16)[0];
            parts = vec![parts[0].clone(), parts[first + 1].clone()];
        }
        let mut total: f64 = parts.iter().map(|(sum, _)| sum).sum();
        for (index, (_, one)) in parts.iter().enumerate() {
            for (_, other) in &parts[index + 1..] {
                total += one
                    .iter()
                    .zip(other)
                    .map(|(one, other)| one * other)
                    .sum::<f64>();
            }
        }
        Some(total)
    }
}

fn class_name(class: usize) -> String {
    (class * 3 + 2).to_string()
}

impl Model for Machine {
    fn version(&self) -> &'static str {
        "1.4.0"
    }

    fn components(&self) -> Vec<Vec<Component>> {
        // FATE writes no empty message.
        let meta = FmModelMeta {
            need_run: true,
            ..Default::default()
        };
        let of = |party: usize| {
            let class = if party == 0 {
                "HeteroFMGuest"
            } else {
                "HeteroFMHost"
            };
            vec![Component::new(class, &meta, &self.param(party))]
        };
        (0..self.parties.len()).map(of).collect()
    }

    fn random_rows(&self, dice: &mut Dice<'_>) -> Vec<Row> {
        let is_odd = dice.chance(40);
        let row = |columns: &Vec<String>| {
            if is_odd {
                return random_row(dice, columns, &[]);
            }
            let present = dice.some_of(80, columns).into_iter();
            present
                .map(|name| (name, number(dice.hundredths())))
                .collect()
        };
        self.parties.iter().map(row).collect()
    }

    fn interpret(&self, rows: &[Row], semantics: Semantics) -> Expected {
        if self.classes && semantics == Semantics::Java {
            // The tables of the whole are empty.
            return Some((vec![0.5], None));
        }
        let mut scores = Vec::new();
        for class in 0..self.tables.len() {
            let total = self.total(class, rows, semantics)?;
            if total.is_nan() && semantics == Semantics::Fate {
                return None;
            }
            scores.push(1.0 / (1.0 + (-total).exp()));
        }
        if !self.classes {
            return Some((scores, None));
        }
        let best = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let label = scores
            .iter()
            .position(|score| *score == best)
            .map(class_name);
        Some((scores, label))
    }
}
