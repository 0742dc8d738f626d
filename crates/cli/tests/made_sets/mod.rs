//! Sets made from golden ones, for what those do not have: the scores stay, the form changes.

#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "a helper of a test fails the test, and not every test needs every helper"
)]

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use fate_golden::PartyModel;
use fate_inference::PIPELINE_KEY;
use fate_proto::buffer::{
    DataTransformMeta, DataTransformParam, LrModelMeta, LrModelParam, Pipeline,
};
use prost::Message;
use serde_json::{Value, json};

use super::process::copy_set;

const META: &str = "data_transform_0.model:DataTransformMeta";
const PARAM: &str = "data_transform_0.model:DataTransformParam";
const WEIGHTS: &str = "hetero_lr_0.model:HeteroLogisticRegressionParam";

/// One party of a copied set, to be changed and written.
struct Part {
    role: String,
    party_id: String,
    namespace: String,
    version: String,
    buffers: BTreeMap<String, Bytes>,
    header: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Part {
    fn read(directory: &Path) -> Part {
        let model = PartyModel::open(directory).unwrap();
        let text = fs::read_to_string(directory.join("features.csv")).unwrap();
        let split = |line: &str| line.split(',').map(str::to_owned).collect();
        let mut lines = text.lines();
        Part {
            role: model.role.to_string(),
            party_id: model.party_id,
            namespace: model.key.namespace,
            version: model.key.table_name,
            buffers: model.buffers,
            header: split(lines.next().unwrap()),
            rows: lines.map(split).collect(),
        }
    }

    fn change<M: Message + Default>(&mut self, key: &str, change: impl FnOnce(&mut M)) {
        let mut message = M::decode(self.buffers[key].clone()).unwrap();
        change(&mut message);
        self.buffers
            .insert(key.to_owned(), message.encode_to_vec().into());
    }

    fn write(&self, directory: &Path) {
        let _ = fs::remove_dir_all(directory);
        fs::create_dir_all(directory).unwrap();
        let mut models = Vec::new();
        for (number, (key, buffer)) in self.buffers.iter().enumerate() {
            let file = format!("{number}.pb");
            fs::write(directory.join(&file), buffer).unwrap();
            models.push(json!({ "key": key, "file": file }));
        }
        let index = json!({
            "role": self.role, "party_id": self.party_id, "namespace": self.namespace, "name": self.version,
            "models": models,
        });
        fs::write(directory.join("index.json"), index.to_string()).unwrap();
        let mut table = csv::Writer::from_path(directory.join("features.csv")).unwrap();
        table.write_record(&self.header).unwrap();
        for row in &self.rows {
            table.write_record(row).unwrap();
        }
        table.flush().unwrap();
    }
}

/// `lr_plain` with tags: the guest's rows `id,label;name=value;…` without a header, the host's `id,name:value,…` with one.
pub(crate) fn tags(into: &Path) -> PathBuf {
    let set = copy_set("lr_plain", into);
    for (directory, delimiter, between) in [("guest_9999", ";", "="), ("host_10000", ",", ":")] {
        let directory = set.join(directory);
        let mut part = Part::read(&directory);
        part.change(META, |meta: &mut DataTransformMeta| {
            meta.input_format = "tag".to_owned();
            meta.delimitor = delimiter.to_owned();
            meta.tag_with_value = true;
            meta.tag_value_delimitor = between.to_owned();
        });
        part.write(&directory);
        let is_guest = part.role == "guest";
        let mut text = String::new();
        if !is_guest {
            text.push_str("id,features\n");
        }
        for row in &part.rows {
            let mut cells: Vec<String> = part
                .header
                .iter()
                .zip(row)
                .skip(if is_guest { 2 } else { 1 })
                .map(|(name, cell)| format!("{name}{between}{cell}"))
                .collect();
            // Tags come in any order.
            cells.reverse();
            let label = if is_guest {
                format!("{};", row[1])
            } else {
                String::new()
            };
            text.push_str(&format!("{},{label}{}\n", row[0], cells.join(delimiter)));
        }
        fs::write(directory.join("features.csv"), text).unwrap();
    }
    rename(&set, "tags")
}

/// `lr_plain` under names that are no ASCII words: ids, features, parties.
pub(crate) fn odd_names(into: &Path) -> PathBuf {
    let set = copy_set("lr_plain", into);
    let ids: BTreeMap<String, String> = Part::read(&set.join("guest_9999"))
        .rows
        .iter()
        .enumerate()
        .map(|(number, row)| {
            let id = match number {
                0 => "7".to_owned(),
                1 => "007".to_owned(),
                2 => " 7 ".to_owned(),
                3 => "客户,\"7\"".to_owned(),
                4 => "a/B#c.d%20".to_owned(),
                5 => "A/b#c.d%20".to_owned(),
                _ => format!("第{number}号/{}", row[0]),
            };
            (row[0].clone(), id)
        })
        .collect();
    for (directory, party_id) in [("guest_9999", "0099/甲"), ("host_10000", "银行 1.0#乙/")] {
        let directory = set.join(directory);
        let mut part = Part::read(&directory);
        let first = if part.role == "guest" { 2 } else { 1 };
        let names: BTreeMap<String, String> = part.header[first..]
            .iter()
            .enumerate()
            .map(|(number, name)| {
                let odd = match number {
                    0 => "x".to_owned(),
                    1 => "X".to_owned(),
                    2 => "收入 (元)".to_owned(),
                    3 => "a#b/c.d".to_owned(),
                    4 => "\"quoted\", 1".to_owned(),
                    _ => format!("特征{number} {name}"),
                };
                (name.clone(), odd)
            })
            .collect();
        let renamed = |list: &mut Vec<String>| {
            for name in list {
                *name = names[name.as_str()].clone();
            }
        };
        part.change(PARAM, |param: &mut DataTransformParam| {
            renamed(&mut param.header)
        });
        part.change(WEIGHTS, |param: &mut LrModelParam| {
            renamed(&mut param.header);
            param.weight = std::mem::take(&mut param.weight)
                .into_iter()
                .map(|(name, weight)| (names[&name].clone(), weight))
                .collect();
        });
        for name in &mut part.header[first..] {
            *name = names[name.as_str()].clone();
        }
        for row in &mut part.rows {
            row[0] = ids[&row[0]].clone();
        }
        part.namespace = format!("{}#{party_id}#模型 一", part.role);
        part.party_id = party_id.to_owned();
        part.write(&directory);
    }
    let path = set.join("predictions.csv");
    let mut predictions = csv::Reader::from_path(&path).unwrap();
    let header = predictions.headers().unwrap().clone();
    let records: Vec<csv::StringRecord> = predictions.records().map(Result::unwrap).collect();
    let mut out = csv::Writer::from_path(&path).unwrap();
    out.write_record(&header).unwrap();
    for record in records {
        let cells = std::iter::once(ids[&record[0]].as_str()).chain(record.iter().skip(1));
        out.write_record(cells).unwrap();
    }
    out.flush().unwrap();
    rename(&set, "奇怪的 名字&")
}

/// `lr_two_hosts` with the second host's columns divided between it and a third one, whose id sorts before theirs.
pub(crate) fn three_hosts(into: &Path) -> PathBuf {
    let set = copy_set("lr_two_hosts", into);
    let second = set.join("host_10001");
    let keep = |part: &mut Part, kept: &dyn Fn(usize) -> bool| {
        let columns: Vec<String> = part.header[1..].to_vec();
        let names: Vec<&String> = columns
            .iter()
            .enumerate()
            .filter(|(number, _)| kept(*number))
            .map(|(_, name)| name)
            .collect();
        part.change(PARAM, |param: &mut DataTransformParam| {
            param.header.retain(|name| names.contains(&name));
        });
        part.change(WEIGHTS, |param: &mut LrModelParam| {
            param.header.retain(|name| names.contains(&name));
            param.weight.retain(|name, _| names.contains(&name));
        });
        let of_kept = |cells: &[String]| -> Vec<String> {
            let keeps = |(number, cell): (usize, &String)| {
                (number == 0 || kept(number - 1)).then(|| cell.clone())
            };
            cells.iter().enumerate().filter_map(keeps).collect()
        };
        part.header = of_kept(&part.header);
        part.rows = part.rows.iter().map(|row| of_kept(row)).collect();
    };
    let mut third = Part::read(&second);
    keep(&mut third, &|column| column < 4);
    third.party_id = "9".to_owned();
    third.namespace = third.namespace.replacen("host#10001", "host#9", 1);
    third.write(&set.join("host_third"));
    let mut part = Part::read(&second);
    keep(&mut part, &|column| column >= 4);
    part.write(&second);
    rename(&set, "three_hosts")
}

/// `lr_plain`'s guest as the only party of a homogeneous logistic regression, its scores computed here; with `host` a host's
/// part of the model, which has no rows, beside it.
pub(crate) fn homogeneous(into: &Path, host: bool) -> PathBuf {
    let set = copy_set("lr_plain", into);
    let directory = set.join("guest_9999");
    let mut guest = Part::read(&directory);
    guest.change(PIPELINE_KEY, |pipeline: &mut Pipeline| {
        let dsl = String::from_utf8(pipeline.inference_dsl.to_vec()).unwrap();
        pipeline.inference_dsl = dsl.replace("HeteroLRGuest", "HomoLRGuest").into();
        pipeline.fate_version = "1.9.2".to_owned();
    });
    let meta = WEIGHTS.replace("Param", "Meta");
    guest.change(&meta, |meta: &mut LrModelMeta| {
        meta.module = "HomoLR".to_owned()
    });
    let weights = LrModelParam::decode(guest.buffers[WEIGHTS].clone()).unwrap();
    let mut predictions = String::from("id,label,predict_result,predict_score,predict_detail\n");
    for row in &guest.rows {
        let sum: f64 = guest.header[2..]
            .iter()
            .zip(&row[2..])
            .map(|(name, cell)| weights.weight[name] * cell.parse::<f64>().unwrap())
            .sum();
        let score = 1.0 / (1.0 + (-sum - weights.intercept).exp());
        predictions.push_str(&format!("{},{},,{score},\n", row[0], row[1]));
    }
    fs::write(set.join("predictions.csv"), predictions).unwrap();
    guest.write(&directory);
    fs::remove_dir_all(set.join("host_10000")).unwrap();
    if host {
        let host = set.join("host_10000");
        guest.role = "host".to_owned();
        guest.party_id = "10000".to_owned();
        guest.namespace = guest.namespace.replacen("guest#9999", "host#10000", 1);
        guest.write(&host);
        fs::remove_file(host.join("features.csv")).unwrap();
    }
    rename(&set, if host { "homo_with_host" } else { "homo_alone" })
}

/// `sbt_two_hosts` whose guest and first host are FATE-Flow's exports, and the second host its folder.
pub(crate) fn exports(into: &Path) -> PathBuf {
    let set = copy_set("sbt_two_hosts", into);
    for directory in ["guest_9999", "host_10000", "host_10001"] {
        let directory = set.join(directory);
        let model = PartyModel::open(&directory).unwrap();
        let rows = fs::read(directory.join("features.csv")).unwrap();
        fs::remove_dir_all(&directory).unwrap();
        fs::create_dir(&directory).unwrap();
        fs::write(directory.join("features.csv"), rows).unwrap();
        if directory.ends_with("host_10001") {
            write_flow_folder(&directory, &model.buffers);
        } else {
            write_archive(&directory.join("export.zip"), &model.buffers);
        }
    }
    rename(&set, "exports")
}

/// FATE-Flow's export of a model.
pub(crate) fn write_archive(path: &Path, buffers: &BTreeMap<String, Bytes>) {
    let mut zip = zip::ZipWriter::new(fs::File::create(path).unwrap());
    let options = zip::write::SimpleFileOptions::default();
    let mut meta = json!({});
    for (key, buffer) in buffers {
        let (component, rest) = key.split_once('.').unwrap();
        let (alias, name) = rest.split_once(':').unwrap();
        meta[component][alias][name] = Value::from(name);
        let entry = format!("variables/data/{component}/{alias}/{name}");
        zip.start_file(entry, options).unwrap();
        zip.write_all(buffer).unwrap();
    }
    zip.start_file("define/define_meta.yaml", options).unwrap();
    // JSON is YAML.
    let text = json!({ "model_proto": meta }).to_string();
    zip.write_all(text.as_bytes()).unwrap();
    zip.finish().unwrap();
}

/// A model's folder in FATE-Flow's model cache.
pub(crate) fn write_flow_folder(folder: &Path, buffers: &BTreeMap<String, Bytes>) {
    for (key, buffer) in buffers {
        let (component, rest) = key.split_once('.').unwrap();
        let (alias, name) = rest.split_once(':').unwrap();
        let directory = folder.join("variables/data").join(component).join(alias);
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join(name), buffer).unwrap();
        fs::write(directory.join(format!("{name}.json")), "{}").unwrap();
    }
    fs::write(folder.join(".lock"), "").unwrap();
}

fn rename(set: &Path, name: &str) -> PathBuf {
    let renamed = set.with_file_name(name);
    fs::rename(set, &renamed).unwrap();
    renamed
}
