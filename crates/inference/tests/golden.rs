//! Every golden model, row by row, against FATE's offline scores (`fate`) and FATE-Serving 2.1.7's answers (`java`).

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall fail")]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use fate_domain::party::Role;
use fate_inference::{Buffers, Partial, Plan, Score, Semantics, Site, compile};

const TOLERANCE: f64 = 1e-12;

/// Cells by column, by row id.
type Rows = BTreeMap<String, Vec<(String, String)>>;

struct Party {
    id: String,
    buffers: Buffers,
    rows: Rows,
}

fn models() -> PathBuf {
    std::env::var_os("FATE_GOLDEN").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models"),
        PathBuf::from,
    )
}

fn table(path: &Path) -> Vec<BTreeMap<String, String>> {
    let mut reader = csv::Reader::from_path(path).unwrap();
    let header = reader.headers().unwrap().clone();
    reader
        .records()
        .map(|record| {
            header
                .iter()
                .map(str::to_owned)
                .zip(record.unwrap().iter().map(str::to_owned))
                .collect()
        })
        .collect()
}

fn party(directory: &Path, id: &str) -> Party {
    let index: serde_json::Value =
        serde_json::from_slice(&fs::read(directory.join("index.json")).unwrap()).unwrap();
    let mut buffers = Buffers::new();
    for model in index["models"].as_array().unwrap() {
        let bytes = fs::read(directory.join(model["file"].as_str().unwrap())).unwrap();
        buffers.insert(model["key"].as_str().unwrap().to_owned(), bytes.into());
    }
    let mut reader = csv::Reader::from_path(directory.join("features.csv")).unwrap();
    let header = reader.headers().unwrap().clone();
    let rows = reader
        .records()
        .map(|record| {
            let record = record.unwrap();
            let cells = header
                .iter()
                .zip(&record)
                .skip(1)
                .filter(|(_, cell)| !cell.is_empty());
            (
                record[0].to_owned(),
                cells
                    .map(|(name, cell)| (name.to_owned(), cell.to_owned()))
                    .collect(),
            )
        })
        .collect();
    Party {
        id: id.to_owned(),
        buffers,
        rows,
    }
}

struct Set {
    name: String,
    guest: Plan,
    guest_rows: Rows,
    hosts: Vec<(String, Plan, Rows)>,
}

impl Set {
    fn read(directory: &Path, semantics: Semantics) -> Result<Set, String> {
        let (mut guests, mut hosts) = (Vec::new(), Vec::new());
        for entry in fs::read_dir(directory).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            match name.split_once('_') {
                Some(("guest", id)) => guests.push(party(&directory.join(&name), id)),
                Some(("host", id)) => hosts.push(party(&directory.join(&name), id)),
                _ => {}
            }
        }
        let guest = guests.pop().unwrap();
        let ids = hosts.iter().map(|host| host.id.clone()).collect();
        let site = Site {
            role: Role::Guest,
            party_id: guest.id,
            hosts: ids,
        };
        let plan =
            compile(&guest.buffers, &site, semantics).map_err(|refusal| refusal.to_string())?;
        let mut compiled = Vec::new();
        for host in hosts {
            let site = Site {
                role: Role::Host,
                party_id: host.id.clone(),
                hosts: Vec::new(),
            };
            compiled.push((
                host.id,
                compile(&host.buffers, &site, semantics).map_err(|refusal| refusal.to_string())?,
                host.rows,
            ));
        }
        let name = directory
            .file_name()
            .unwrap()
            .to_string_lossy()
            .into_owned();
        Ok(Set {
            name,
            guest: plan,
            guest_rows: guest.rows,
            hosts: compiled,
        })
    }

    /// A request as it travels: the host's part goes through JSON. Cells go as text, or as numbers where the text is one.
    fn score(&self, id: &str, numbers: bool) -> Result<Score, String> {
        let guest_json = json(&self.guest_rows[id], numbers);
        let mut row = self.guest.new_row();
        self.guest
            .read_json(&guest_json, &mut row)
            .map_err(|fault| fault.to_string())?;
        let local = self
            .guest
            .guest_local(&mut row)
            .map_err(|fault| fault.to_string())?;
        let mut partials: Vec<(&str, Partial)> = Vec::new();
        let mut packed: Vec<(&str, Partial)> = Vec::new();
        for (party_id, plan, rows) in &self.hosts {
            let host_json = json(&rows[id], numbers);
            let mut row = plan.new_row();
            plan.read_json(&host_json, &mut row)
                .map_err(|fault| fault.to_string())?;
            let partial = plan
                .host_partial(&mut row)
                .map_err(|fault| fault.to_string())?;
            packed.extend(
                self.packed(party_id, plan, &partial)
                    .map(|part| (&**party_id, part)),
            );
            let mut data = b"{".to_vec();
            plan.write_partial(&partial, &mut data);
            data.extend_from_slice(b",\"retcode\":0}");
            let data = String::from_utf8(data).unwrap();
            partials.push((
                party_id,
                self.guest
                    .read_partial(party_id, &data)
                    .map_err(|fault| fault.to_string())?,
            ));
        }
        let score = self.guest.merge(local.clone(), &partials);
        if self.name.starts_with("sbt_") {
            assert_eq!(packed.len(), partials.len(), "{}", self.name);
            assert_eq!(
                self.guest.merge(local, &packed),
                score,
                "{} {id}",
                self.name
            );
        }
        score.map_err(|fault| fault.to_string())
    }

    /// The same part on its other way, packed; forests have it, and the parties count alike.
    fn packed(&self, party_id: &str, host: &Plan, partial: &Partial) -> Option<Partial> {
        let form = host.own_compact_form()?;
        assert_eq!(
            self.guest.compact_form_of(party_id),
            Some(form),
            "{}",
            self.name
        );
        let mut bytes = Vec::new();
        host.write_compact(partial, &mut bytes);
        assert_eq!(bytes.len(), form.row_bytes);
        Some(self.guest.read_compact(party_id, &bytes).unwrap())
    }
}

fn json(cells: &[(String, String)], numbers: bool) -> String {
    let members: Vec<String> = cells
        .iter()
        .map(|(name, cell)| {
            let is_number = numbers && serde_json::from_str::<f64>(cell).is_ok();
            let cell = if is_number {
                cell.clone()
            } else {
                serde_json::to_string(cell).unwrap()
            };
            format!("{}:{cell}", serde_json::to_string(name).unwrap())
        })
        .collect();
    format!("{{{}}}", members.join(","))
}

fn sets() -> Vec<PathBuf> {
    let mut sets: Vec<PathBuf> = fs::read_dir(models())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.join("predictions.csv").exists())
        .collect();
    sets.sort();
    assert!(
        sets.len() >= 20,
        "golden sets are missing in {}",
        models().display()
    );
    sets
}

fn difference(scores: &[f64], expected: &[f64]) -> f64 {
    assert_eq!(scores.len(), expected.len());
    scores
        .iter()
        .zip(expected)
        .map(|(score, expected)| (score - expected).abs() / expected.abs().max(1.0))
        .fold(0.0, f64::max)
}

#[test]
fn fate_semantics_equal_offline_predictions() {
    for directory in sets() {
        let set = Set::read(&directory, Semantics::Fate)
            .unwrap_or_else(|refusal| panic!("{}: {refusal}", directory.display()));
        let mut worst = 0.0_f64;
        for prediction in table(&directory.join("predictions.csv")) {
            let detail: BTreeMap<String, f64> =
                serde_json::from_str(&prediction["predict_detail"]).unwrap();
            for numbers in [false, true] {
                let score = set
                    .score(&prediction["id"], numbers)
                    .unwrap_or_else(|fault| panic!("{} {}: {fault}", set.name, prediction["id"]));
                let expected: Vec<f64> = if score.scores().len() > 1 {
                    assert_eq!(
                        score.label(),
                        Some(prediction["predict_result"].as_str()),
                        "{} {}",
                        set.name,
                        prediction["id"]
                    );
                    let mut classes: Vec<(i64, f64)> = detail
                        .iter()
                        .map(|(class, value)| (class.parse().unwrap(), *value))
                        .collect();
                    classes.sort_by_key(|(class, _)| *class);
                    classes.into_iter().map(|(_, value)| value).collect()
                } else {
                    vec![prediction["predict_score"].parse().unwrap()]
                };
                worst = worst.max(difference(score.scores(), &expected));
            }
        }
        println!("{:24} {worst:e}", set.name);
        assert!(worst <= TOLERANCE, "{}: {worst:e}", set.name);
    }
}

#[test]
fn java_semantics_equal_fate_serving() {
    for directory in sets() {
        let answers = table(&directory.join("serving_java_omit.csv"));
        let scored: Vec<_> = answers
            .iter()
            .filter_map(|answer| {
                let detail: serde_json::Value = serde_json::from_str(&answer["detail"]).ok()?;
                let score = detail.get("score")?;
                let scores = match score.as_array() {
                    Some(scores) => scores.iter().map(|score| score.as_f64().unwrap()).collect(),
                    None => vec![score.as_f64()?],
                };
                Some((
                    answer["id"].clone(),
                    scores,
                    detail["label"].as_str().map(str::to_owned),
                ))
            })
            .collect();
        let set = match Set::read(&directory, Semantics::Java) {
            Ok(set) => set,
            Err(refusal) => {
                assert!(
                    scored.is_empty(),
                    "{}: refused with {refusal}",
                    directory.display()
                );
                println!("{}: {refusal}", directory.display());
                continue;
            }
        };
        let mut worst = 0.0_f64;
        for (id, expected, label) in &scored {
            let score = set
                .score(id, false)
                .unwrap_or_else(|fault| panic!("{} {id}: {fault}", set.name));
            assert_eq!(score.label(), label.as_deref(), "{} {id}", set.name);
            worst = worst.max(difference(score.scores(), expected));
        }
        println!("{:24} {worst:e} of {} rows", set.name, scored.len());
        assert!(worst <= TOLERANCE, "{}: {worst:e}", set.name);
    }
}

impl Set {
    fn parties(&self) -> impl Iterator<Item = (&str, &Plan, &Rows)> {
        let hosts = self.hosts.iter();
        let hosts = hosts.map(|(id, plan, rows)| (id.as_str(), plan, rows));
        hosts.chain([("guest", &self.guest, &self.guest_rows)])
    }

    fn differences(&self) -> Vec<&String> {
        let plans = self.parties().map(|(_, plan, _)| plan);
        plans.flat_map(|plan| &plan.verdict().differences).collect()
    }

    /// Whether some row has another score, or none, in the other semantics.
    fn differs_from(&self, other: &Set) -> bool {
        self.guest_rows.keys().any(|id| {
            let (own, others) = (self.score(id, false).unwrap(), other.score(id, false));
            !others.is_ok_and(|others| {
                others.scores().len() == own.scores().len()
                    && difference(others.scores(), own.scores()) < 1e-9
            })
        })
    }
}

#[test]
fn verdicts_name_differences_where_scores_differ() {
    const ALIKE: [&str; 5] = [
        "lr_plain",
        "lr_two_hosts",
        "lr_sshe",
        "sbt_binary",
        "sbt_two_hosts",
    ];
    for directory in sets() {
        let fate = Set::read(&directory, Semantics::Fate).unwrap();
        let Ok(java) = Set::read(&directory, Semantics::Java) else {
            assert!(!fate.differences().is_empty(), "{}", fate.name);
            continue;
        };
        assert_eq!(fate.differences(), java.differences(), "{}", fate.name);
        let is_named = !fate.differences().is_empty();
        let differs = fate.differs_from(&java);
        assert!(is_named || !differs, "{} differs", fate.name);
        if ALIKE.contains(&fate.name.as_str()) {
            assert!(
                !is_named && !differs,
                "{}: {:?}",
                fate.name,
                fate.differences()
            );
        }
        // Every feature that a party must supply is a column of its table.
        for (of, plan, rows) in fate.parties() {
            let missing = plan.verdict().features.iter().find(|name| {
                rows.values()
                    .all(|row| row.iter().all(|(cell, _)| cell != *name))
            });
            assert_eq!(missing, None, "{} {of}", fate.name);
        }
    }
}
