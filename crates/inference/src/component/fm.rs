//! Factorization machines of the FederatedRec add-on (contract 02 A10, F30; federatedrec of FATE 1.4.0, hetero_fm_base.py
//! `compute_fm`, hetero_fm_guest.py `predict`): a weighted sum, and the products of all pairs of features through
//! vectors of k factors. Of pairs within a party the party knows the sum; pairs across parties meet as the product of
//! the parties' summed vectors.
//!
//! A host answers `{"score":s,"fm_cross":[k numbers]}`, in one-vs-rest lists of both, one entry per class.

use std::collections::BTreeMap;

use fate_domain::{
    fault::Fault, java_number::write_json_double, party::Role, return_code::ReturnCode,
};
use fate_proto::buffer_fm::{Embedding, FmModelMeta, FmModelParam};

use super::{
    Context, GuestModel, HostModel, Part, Source, alone,
    linear::{finite_share, sigmoid},
};
use crate::{
    Cell, GuestLocal, Partial, Refusal, Row, Score,
    merge::{HitRates, write_list},
    partial::{Factored, Local, Share},
    symbols::Column,
};

/// One party's machine of one class.
#[derive(Debug)]
struct Machine {
    weights: Vec<(Column, f64)>,
    factors: Vec<(Column, Box<[f64]>)>,
    /// Factors per feature.
    size: usize,
    intercept: f64,
}

/// One machine per class, or the only one.
#[derive(Debug)]
struct Machines {
    machines: Vec<Machine>,
    /// One-vs-rest.
    classes: Option<Vec<Box<str>>>,
    java: bool,
}

pub(crate) fn build_guest(source: &Source<'_>, context: &mut Context<'_>) -> Result<Part, Refusal> {
    if context.site.hosts.len() > 1 {
        context.differs("FATE-Serving 2.1.7 adds one host's part of a factorization machine only");
    }
    let machines = machines(source, context)?;
    let kind = machines.kind();
    Ok(Part::guest(machines, kind))
}

pub(crate) fn build_host(source: &Source<'_>, context: &mut Context<'_>) -> Result<Part, Refusal> {
    let machines = machines(source, context)?;
    let kind = machines.kind();
    Ok(Part::host(machines, kind))
}

pub(crate) fn build_homo(source: &Source<'_>, context: &mut Context<'_>) -> Result<Part, Refusal> {
    if context.role() == Role::Host {
        return Ok(alone::unasked("homogeneous factorization machine"));
    }
    let machines = machines(source, context)?;
    let kind = format!("homogeneous {}", machines.kind());
    Ok(alone::guest(machines, kind))
}

fn machines(source: &Source<'_>, context: &mut Context<'_>) -> Result<Machines, Refusal> {
    let _meta: FmModelMeta = source.meta()?;
    let param: FmModelParam = source.param()?;
    let java = context.java();
    if param.need_one_vs_rest {
        context.differs("FATE-Serving 2.1.7 ignores one-vs-rest and answers 0.5 for every row");
    }
    if !param.need_one_vs_rest || java {
        let single = Tables {
            weight: &param.weight,
            embedding: &param.embedding,
            embed_size: param.embed_size,
            intercept: param.intercept,
            header: &param.header,
        };
        return Ok(Machines {
            machines: vec![single.machine(source, context)?],
            classes: None,
            java,
        });
    }
    let result = param.one_vs_rest_result.unwrap_or_default();
    let classes = result.one_vs_rest_classes;
    if classes.is_empty() || result.completed_models.len() != classes.len() {
        return Err(source.refuse(format!(
            "one-vs-rest has {} models for {} classes",
            result.completed_models.len(),
            classes.len()
        )));
    }
    let machines = result
        .completed_models
        .iter()
        .map(|model| {
            let tables = Tables {
                weight: &model.weight,
                embedding: &model.embedding,
                embed_size: model.embed_size,
                intercept: model.intercept,
                header: if model.header.is_empty() {
                    &param.header
                } else {
                    &model.header
                },
            };
            tables.machine(source, context)
        })
        .collect::<Result<_, Refusal>>()?;
    Ok(Machines {
        machines,
        classes: Some(classes.into_iter().map(String::into_boxed_str).collect()),
        java,
    })
}

/// The tables of one machine in its buffer.
struct Tables<'a> {
    weight: &'a BTreeMap<String, f64>,
    embedding: &'a BTreeMap<String, Embedding>,
    embed_size: i32,
    intercept: f64,
    header: &'a [String],
}

impl Tables<'_> {
    fn machine(&self, source: &Source<'_>, context: &mut Context<'_>) -> Result<Machine, Refusal> {
        let size = usize::try_from(self.embed_size).unwrap_or(0);
        let is_wide = |embedding: &&Embedding| embedding.weight.len() < size;
        if let Some(short) = self.embedding.values().find(is_wide) {
            return Err(source.refuse(format!(
                "a feature has {} factors of {size}",
                short.weight.len()
            )));
        }
        if size > 0 && self.embedding.is_empty() {
            return Err(source.refuse("it has no factors"));
        }
        if !context.java() {
            self.check(source, size)?;
        }
        let mut names: Vec<&String> = self.header.iter().collect();
        let unlisted = self.weight.keys().chain(self.embedding.keys());
        names.extend(unlisted);
        let mut machine = Machine {
            weights: Vec::new(),
            factors: Vec::new(),
            size,
            intercept: self.intercept,
        };
        let mut seen = std::collections::HashSet::new();
        for name in names.into_iter().filter(|name| seen.insert(*name)) {
            let column = context.symbols.intern(name);
            if let Some(weight) = self.weight.get(name) {
                machine.weights.push((column, *weight));
            }
            if let Some(embedding) = self.embedding.get(name) {
                machine
                    .factors
                    .push((column, embedding.weight[..size].into()));
            }
        }
        Ok(machine)
    }

    /// FATE writes a weight and k factors for every column of the header.
    fn check(&self, source: &Source<'_>, size: usize) -> Result<(), Refusal> {
        if self.weight.is_empty() {
            return Err(source.refuse("it has no weights"));
        }
        let named: std::collections::BTreeSet<&String> = self.header.iter().collect();
        let is_listed = named.is_empty() || named.iter().copied().eq(self.weight.keys());
        if !is_listed || !self.weight.keys().eq(self.embedding.keys()) {
            return Err(source.refuse(format!(
                "its {} weights and {} vectors are not those of its header ({})",
                self.weight.len(),
                self.embedding.len(),
                self.header.len()
            )));
        }
        let factors = || self.embedding.values().flat_map(|vector| &vector.weight);
        if self
            .embedding
            .values()
            .any(|vector| vector.weight.len() != size)
        {
            return Err(source.refuse(format!("a feature has not {size} factors")));
        }
        let mut numbers = factors()
            .chain(self.weight.values())
            .chain([&self.intercept]);
        if numbers.any(|number| !number.is_finite()) {
            return Err(source.refuse("a weight, factor or the intercept is not a finite number"));
        }
        Ok(())
    }
}

impl Machine {
    /// Absent features contribute nothing; one that is there and has no value is a fault, as in linear models.
    fn part(&self, row: &Row<'_>) -> Result<Factored, Fault> {
        let mut sum = 0.0;
        for &(column, weight) in &self.weights {
            if let Some(value) = value_of(row.cell(column))? {
                sum += weight * value;
            }
        }
        let mut cross = vec![0.0; self.size];
        let mut squares = vec![0.0; self.size];
        for (column, factors) in &self.factors {
            if let Some(value) = value_of(row.cell(*column))? {
                for ((cross, square), factor) in cross.iter_mut().zip(&mut squares).zip(factors) {
                    let product = factor * value;
                    *cross += product;
                    *square += product * product;
                }
            }
        }
        let pairs: f64 = cross
            .iter()
            .zip(&squares)
            .map(|(cross, square)| cross * cross - square)
            .sum();
        sum += pairs * 0.5;
        Ok(Factored {
            sum: sum + self.intercept,
            cross,
        })
    }
}

fn value_of(cell: &Cell<'_>) -> Result<Option<f64>, Fault> {
    match cell {
        Cell::Absent | Cell::ImplicitZero => Ok(None),
        cell => cell.number().map(Some).ok_or_else(|| {
            Fault::new(
                ReturnCode::SYSTEM,
                "a feature of the factorization machine is missing or not a number",
            )
        }),
    }
}

impl Machines {
    fn kind(&self) -> String {
        match &self.classes {
            Some(classes) => format!(
                "one-vs-rest factorization machine of {} classes",
                classes.len()
            ),
            None => "binary factorization machine".to_owned(),
        }
    }

    fn parts(&self, row: &Row<'_>) -> Result<Vec<Factored>, Fault> {
        self.machines
            .iter()
            .map(|machine| machine.part(row))
            .collect()
    }

    fn hit_rates(&self, row: &Row<'_>) -> HitRates {
        let weights = self
            .machines
            .first()
            .map_or(&[][..], |machine| &machine.weights);
        let is_there = |(column, _): &&(Column, f64)| !matches!(row.cell(*column), Cell::Absent);
        let hits = weights.iter().filter(is_there).count() as f64;
        HitRates {
            weights: hits / weights.len() as f64,
            row: hits / row.present() as f64,
        }
    }

    /// The sums of all parties, and the product of the vectors of every two of them. FATE-Serving 2.1.7 takes one host.
    fn total(&self, class: usize, own: &Factored, partials: &[&Partial]) -> Result<f64, Fault> {
        let hosts = if self.java {
            partials.get(..1).unwrap_or_default()
        } else {
            partials
        };
        let mut total = own.sum;
        let mut met = own.cross.clone();
        for partial in hosts {
            let part = match &partial.0 {
                Share::Factored(parts) => parts.get(class),
                _ => None,
            };
            let part =
                part.ok_or_else(|| Fault::new(ReturnCode::MERGE, "host data score is null"))?;
            if part.cross.len() != met.len() {
                return Err(Fault::new(
                    ReturnCode::SYSTEM,
                    format!(
                        "a host has {} factors where the guest has {}",
                        part.cross.len(),
                        met.len()
                    ),
                ));
            }
            total += part.sum;
            for (met, factor) in met.iter_mut().zip(&part.cross) {
                total += factor * *met;
                *met += factor;
            }
        }
        Ok(total)
    }

    /// NaN is no score. FATE-Serving 2.1.7 answers it with success (contract 02 F31), so `java` does.
    fn score_of(&self, total: f64) -> Result<f64, Fault> {
        if total.is_nan() && !self.java {
            return Err(Fault::new(
                ReturnCode::SYSTEM,
                "the score is not a number: a feature of the model is NaN",
            ));
        }
        Ok(sigmoid(total))
    }
}

impl GuestModel for Machines {
    fn local(&self, row: &Row<'_>) -> Result<GuestLocal, Fault> {
        Ok(GuestLocal(Local::Factored {
            parts: self.parts(row)?,
            hit_rates: self.hit_rates(row),
        }))
    }

    fn read_partial(&self, party_id: &str, json: &str) -> Result<Partial, Fault> {
        #[derive(serde::Deserialize)]
        struct Reply<S, C> {
            score: S,
            fm_cross: C,
        }
        let bad = |error| {
            Fault::new(
                ReturnCode::MERGE,
                format!("the part of host {party_id} is not a sum with factors: {error}"),
            )
        };
        let parts = if self.classes.is_some() {
            let reply: Reply<Vec<f64>, Vec<Vec<f64>>> = serde_json::from_str(json).map_err(bad)?;
            let parts = reply.score.into_iter().zip(reply.fm_cross);
            parts.map(|(sum, cross)| Factored { sum, cross }).collect()
        } else {
            let reply: Reply<f64, Vec<f64>> = serde_json::from_str(json).map_err(bad)?;
            vec![Factored {
                sum: reply.score,
                cross: reply.fm_cross,
            }]
        };
        Ok(Partial(Share::Factored(parts)))
    }

    /// 1.x peers have the members at the top level (contract 02 A3.1).
    fn read_legacy_partial(&self, party_id: &str, data: &str) -> Result<Partial, Fault> {
        self.read_partial(party_id, data)
    }

    fn columns(&self) -> Vec<Column> {
        columns(&self.machines)
    }

    fn merge(&self, local: GuestLocal, partials: &[&Partial]) -> Result<Score, Fault> {
        let Local::Factored { parts, hit_rates } = local.0 else {
            return Err(Fault::new(ReturnCode::MERGE, "local result is invalid "));
        };
        let scores = parts
            .iter()
            .enumerate()
            .map(|(class, own)| self.score_of(self.total(class, own, partials)?))
            .collect::<Result<Vec<f64>, Fault>>()?;
        match (&self.classes, scores.as_slice()) {
            (Some(classes), _) => Ok(Score::classes(scores, classes)),
            (None, [score]) => Ok(Score {
                hit_rates: Some(hit_rates),
                ..Score::one(*score)
            }),
            (None, _) => Err(Fault::new(ReturnCode::MERGE, "local result is invalid ")),
        }
    }
}

fn columns(machines: &[Machine]) -> Vec<Column> {
    let of = |machine: &Machine| {
        let weighed = machine.weights.iter().map(|(column, _)| *column);
        let factored = machine.factors.iter().map(|(column, _)| *column);
        weighed.chain(factored).collect::<Vec<Column>>()
    };
    machines.iter().flat_map(of).collect()
}

impl HostModel for Machines {
    fn partial(&self, row: &Row<'_>) -> Result<Partial, Fault> {
        let parts = self.parts(row)?;
        for part in &parts {
            finite_share(part.sum)?;
            part.cross
                .iter()
                .try_for_each(|factor| finite_share(*factor).map(|_| ()))?;
        }
        Ok(Partial(Share::Factored(parts)))
    }

    fn columns(&self) -> Vec<Column> {
        columns(&self.machines)
    }

    fn write_partial(&self, partial: &Partial, out: &mut Vec<u8>) {
        match (&partial.0, &self.classes) {
            (Share::Factored(parts), None) => {
                for part in parts.iter().take(1) {
                    out.extend_from_slice(b"{\"score\":");
                    write_json_double(part.sum, out);
                    out.extend_from_slice(b",\"fm_cross\":");
                    write_list(&part.cross, out);
                    out.push(b'}');
                }
            }
            (Share::Factored(parts), Some(_)) => write_classes(parts, out),
            _ => out.extend_from_slice(b"{}"),
        }
    }
}

fn write_classes(parts: &[Factored], out: &mut Vec<u8>) {
    let sums: Vec<f64> = parts.iter().map(|part| part.sum).collect();
    out.extend_from_slice(b"{\"score\":");
    write_list(&sums, out);
    out.extend_from_slice(b",\"fm_cross\":[");
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write_list(&part.cross, out);
    }
    out.extend_from_slice(b"]}");
}
