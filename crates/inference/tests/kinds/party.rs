//! Pipelines as buffers, and a row's way through the plans of all parties.

use fate_domain::{fault::Fault, party::Role};
use fate_inference::{Buffers, PIPELINE_KEY, Plan, Semantics, Site, compile};
use prost::Message;
use serde_json::{Map, Value, json};

pub(crate) const GUEST: &str = "9999";
pub(crate) const FATE: Semantics = Semantics::Fate;
pub(crate) const JAVA: Semantics = Semantics::Java;

/// One component; components of a party run one after the other.
#[derive(Clone)]
pub(crate) struct Component {
    name: &'static str,
    class: &'static str,
    buffers: Vec<(&'static str, Vec<u8>)>,
}

impl Component {
    pub(crate) fn new(
        name: &'static str,
        class: &'static str,
        meta: &impl Message,
        param: &impl Message,
    ) -> Self {
        let written = |message: Vec<u8>| {
            // FATE writes an empty message as these five bytes.
            if message.is_empty() {
                b"\x0a\x03set".to_vec()
            } else {
                message
            }
        };
        Component {
            name,
            class,
            buffers: vec![
                ("AnyMeta", written(meta.encode_to_vec())),
                ("AnyParam", written(param.encode_to_vec())),
            ],
        }
    }

    /// A component that leaves no buffers.
    pub(crate) fn bare(name: &'static str, class: &'static str) -> Self {
        Component {
            name,
            class,
            buffers: Vec::new(),
        }
    }
}

/// What the pipeline says beside its components.
#[derive(Clone, Default)]
pub(crate) struct About {
    pub(crate) version: &'static str,
    pub(crate) conf: Option<Value>,
}

pub(crate) fn version(version: &'static str) -> About {
    About {
        version,
        conf: None,
    }
}

pub(crate) fn host_id(host: usize) -> String {
    (10_000 + host).to_string()
}

pub(crate) struct Plans {
    pub(crate) guest: Plan,
    pub(crate) hosts: Vec<Plan>,
}

/// How a party's components are wired.
#[derive(Clone, Copy, PartialEq)]
enum Wiring {
    InARow,
    SideBySide,
}

/// Compiles all parties' pipelines, the guest's first; a refusal as text.
pub(crate) fn compile_all(
    about: &About,
    parties: &[Vec<Component>],
    semantics: Semantics,
) -> Result<Plans, String> {
    compile_wired(about, parties, semantics, Wiring::InARow)
}

/// As [`compile_all`], every component reading the request's row.
pub(crate) fn compile_side_by_side(
    about: &About,
    parties: &[Vec<Component>],
    semantics: Semantics,
) -> Result<Plans, String> {
    compile_wired(about, parties, semantics, Wiring::SideBySide)
}

fn compile_wired(
    about: &About,
    parties: &[Vec<Component>],
    semantics: Semantics,
    wiring: Wiring,
) -> Result<Plans, String> {
    let hosts: Vec<String> = (0..parties.len() - 1).map(host_id).collect();
    let plan = |party: usize| {
        let site = match party {
            0 => Site {
                role: Role::Guest,
                party_id: GUEST.to_owned(),
                hosts: hosts.clone(),
            },
            host => Site {
                role: Role::Host,
                party_id: host_id(host - 1),
                hosts: Vec::new(),
            },
        };
        compile(&buffers(about, &parties[party], wiring), &site, semantics)
            .map_err(|refusal| refusal.to_string())
    };
    Ok(Plans {
        guest: plan(0)?,
        hosts: (1..parties.len())
            .map(plan)
            .collect::<Result<_, String>>()?,
    })
}

/// The refusal of a pipeline that must not be served.
pub(crate) fn refusal(about: &About, parties: &[Vec<Component>], semantics: Semantics) -> String {
    compile_all(about, parties, semantics)
        .err()
        .expect("it is served")
}

fn buffers(about: &About, components: &[Component], wiring: Wiring) -> Buffers {
    let mut buffers = Buffers::new();
    let mut dsl = Map::new();
    let mut before = "args.eval_data".to_owned();
    for component in components {
        let name = component.name;
        for (message, bytes) in &component.buffers {
            buffers.insert(format!("{name}.model:{message}"), bytes.clone().into());
        }
        let body = json!({"input": {"data": {"data": [before]}}, "CodePath": component.class});
        dsl.insert(name.to_owned(), body);
        if wiring == Wiring::InARow {
            before = format!("{name}.data");
        }
    }
    let conf = about
        .conf
        .as_ref()
        .map(Value::to_string)
        .unwrap_or_default();
    let pipeline = fate_proto::buffer::Pipeline {
        inference_dsl: json!({"components": dsl}).to_string().into_bytes().into(),
        train_runtime_conf: conf.into_bytes().into(),
        fate_version: about.version.to_owned(),
        ..Default::default()
    };
    buffers.insert(PIPELINE_KEY.to_owned(), pipeline.encode_to_vec().into());
    buffers
}

impl Plans {
    /// The members of an answer; hosts are asked only where the guest says so. Or the return code.
    pub(crate) fn answer(&self, rows: &[Value]) -> Result<Value, i32> {
        self.exchange(rows).map_err(|fault| fault.code.0)
    }

    pub(crate) fn exchange(&self, rows: &[Value]) -> Result<Value, Fault> {
        let text = rows[0].to_string();
        let mut row = self.guest.new_row();
        self.guest.read_json(&text, &mut row)?;
        let local = self.guest.guest_local(&mut row)?;
        let ids: Vec<String> = (0..self.hosts.len()).map(host_id).collect();
        let mut partials = Vec::new();
        if self.guest.needs_hosts() {
            for ((host, id), row) in self.hosts.iter().zip(&ids).zip(&rows[1..]) {
                let text = part(host, row)?;
                partials.push((id.as_str(), self.guest.read_partial(id, &text)?));
            }
        }
        let score = self.guest.merge(local, &partials)?;
        let mut members = b"{".to_vec();
        score.write_members(&mut members);
        members.push(b'}');
        Ok(serde_json::from_slice(&members).unwrap())
    }
}

/// What a host answers under `data`.
pub(crate) fn part(host: &Plan, row: &Value) -> Result<String, Fault> {
    let text = row.to_string();
    let mut row = host.new_row();
    host.read_json(&text, &mut row)?;
    let partial = host.host_partial(&mut row)?;
    let mut data = b"{".to_vec();
    host.write_partial(&partial, &mut data);
    data.push(b'}');
    Ok(String::from_utf8(data).unwrap())
}

pub(crate) fn numbers(score: &Value) -> Vec<f64> {
    match score {
        Value::Array(list) => list.iter().flat_map(numbers).collect(),
        number => vec![number.as_f64().unwrap()],
    }
}

/// The answer's label and scores, within 1e-12.
pub(crate) fn assert_answer(answer: &Result<Value, i32>, scores: &[f64], label: Option<&str>) {
    let answer = answer.as_ref().unwrap_or_else(|code| panic!("code {code}"));
    let found = numbers(&answer["score"]);
    assert_eq!(found.len(), scores.len(), "{answer}");
    for (found, expected) in found.iter().zip(scores) {
        let is_near = (found - expected).abs() <= 1e-12 * expected.abs().max(1.0);
        assert!(is_near, "{found} instead of {expected}");
    }
    assert_eq!(answer["label"].as_str(), label, "{answer}");
}

pub(crate) fn sigmoid(sum: f64) -> f64 {
    1.0 / (1.0 + (-sum).exp())
}

/// Shares as FATE's `activation.softmax` has them.
pub(crate) fn softmax(sums: &[f64]) -> Vec<f64> {
    let powers: Vec<f64> = sums.iter().map(|sum| sum.exp()).collect();
    let total: f64 = powers.iter().sum();
    powers.iter().map(|power| power / total).collect()
}
