//! Component buffers: one component of any class with strange Meta and Param messages, in the shortest pipeline that
//! reaches it. Input: the class's tag, flags, the Meta as a part, and the rest is the Param.
//!
//! Promises: compiling twice comes to the same verdict; a plan that compiles scores a row, twice alike, or says why not;
//! under `fate` a score is a finite number; what a host contributes is JSON.

use std::cell::RefCell;

use bytes::Bytes;
use fate_domain::fault::Fault;
use fate_domain::party::Role;
use fate_inference::{
    Buffers, PIPELINE_KEY, Partial, Plan, Refusal, Row, Semantics, Site, Treatment, classes,
    compile,
};
use fate_proto::buffer::{LrModelMeta, LrModelParam, Pipeline};
use prost::Message as _;
use serde_json::Value;

use super::models::set_named;
use super::{is_repeated, tagged, take_part, take_u16};

const VERSIONS: [&str; 6] = ["1.11.4", "1.6.1", "1.5.0", "1.4.0", "", "x.1"];
const HOSTS: [&str; 2] = ["10000", "10001"];

/// What the flags of an input say.
#[derive(Debug, Clone, Copy)]
struct Flags(u16);

impl Flags {
    fn semantics(self) -> Semantics {
        if self.0 & 1 == 0 {
            Semantics::Fate
        } else {
            Semantics::Java
        }
    }

    fn is_host(self) -> bool {
        self.0 & 2 != 0
    }

    fn hosts(self) -> &'static [&'static str] {
        &HOSTS[..if self.0 & 4 == 0 { 1 } else { 2 }]
    }

    fn version(self) -> &'static str {
        VERSIONS[usize::from(self.0 >> 3) % VERSIONS.len()]
    }
}

/// Set in the flags when an output follows a model of two classes.
pub(super) const BINARY: u16 = 0x200;

/// Flags for a seed.
pub(super) fn flags(role: Role, semantics: Semantics, hosts: usize) -> u16 {
    u16::from(semantics == Semantics::Java)
        | u16::from(role == Role::Host) << 1
        | u16::from(hosts > 1) << 2
}

/// The pipelines, made once: class → buffers without those of the class.
#[derive(Debug)]
struct Bench {
    classes: Vec<(&'static str, Option<Treatment>)>,
    /// The model behind a transform.
    model: [(Bytes, Bytes); 2],
    /// The model before an output.
    labelled: (Bytes, Bytes),
}

impl Bench {
    fn new() -> Bench {
        let classes: Vec<_> = classes().collect();
        let one_vs_rest = set_named("lr_one_vs_rest");
        let guest = &one_vs_rest.party(Role::Guest).buffers;
        let of = |suffix: &str| {
            let key = guest
                .keys()
                .find(|key| key.starts_with("hetero_lr_0.") && key.ends_with(suffix));
            guest[key.unwrap()].clone()
        };
        Bench {
            classes,
            model: [linear_model(Role::Guest), linear_model(Role::Host)],
            labelled: (of("Meta"), of("Param")),
        }
    }
}

/// A model over the columns of the two sets whose transforms make the seeds.
fn linear_model(role: Role) -> (Bytes, Bytes) {
    let mut param = LrModelParam::default();
    for set in ["lr_scale_onehot", "lr_binning_woe"] {
        let set = set_named(set);
        let buffers = set.party(role).buffers.iter();
        let mut own = buffers
            .filter(|(key, _)| key.starts_with("hetero_lr_0.") && key.ends_with("Param"))
            .map(|(_, bytes)| LrModelParam::decode(bytes.clone()).unwrap());
        param.weight.extend(own.next().unwrap().weight);
    }
    param.header = param.weight.keys().cloned().collect();
    param.intercept = 0.25;
    let meta = LrModelMeta {
        penalty: "L2".to_owned(),
        ..LrModelMeta::default()
    };
    (meta.encode_to_vec().into(), param.encode_to_vec().into())
}

thread_local! {
    static BENCH: RefCell<Option<Bench>> = const { RefCell::new(None) };
}

pub(super) fn run(mut input: &[u8]) {
    BENCH.with_borrow_mut(|bench| {
        let bench = bench.get_or_insert_with(Bench::new);
        let names = bench.classes.iter().map(|(name, _)| *name);
        let class = tagged(names, take_u16(&mut input));
        let (class, treatment) = bench.classes[class];
        let flags = Flags(take_u16(&mut input));
        let is_repeated = is_repeated(input);
        let meta = take_part(&mut input);
        let (buffers, site) = pipeline(bench, class, treatment, flags, (meta, input));
        if let Ok(plan) = compiled(&buffers, &site, flags.semantics(), is_repeated) {
            score(&plan, &site, flags.semantics(), is_repeated);
        }
    });
}

fn pipeline(
    bench: &Bench,
    class: &str,
    treatment: Option<Treatment>,
    flags: Flags,
    (meta, param): (&[u8], &[u8]),
) -> (Buffers, Site) {
    let is_host = match treatment {
        Some(Treatment::Model) => class.contains("Host"),
        Some(Treatment::Transform) => flags.is_host(),
        _ => false,
    };
    let role = if is_host { Role::Host } else { Role::Guest };
    let party = if is_host { "Host" } else { "Guest" };
    let (before, after) = match treatment {
        Some(Treatment::Transform) | Some(Treatment::PassThrough) => {
            (None, Some(&bench.model[usize::from(is_host)]))
        }
        Some(Treatment::Output) if flags.0 & BINARY != 0 => (Some(&bench.model[0]), None),
        Some(Treatment::Output) => (Some(&bench.labelled), None),
        Some(Treatment::Model) | None => (None, None),
    };
    let own = (Bytes::copy_from_slice(meta), Bytes::copy_from_slice(param));
    let steps = [
        before.map(|buffers| ("b", format!("HeteroLR{party}"), buffers)),
        Some(("c", class.to_owned(), &own)),
        after.map(|buffers| ("a", format!("HeteroLR{party}"), buffers)),
    ];
    let mut buffers = Buffers::new();
    let mut dsl = String::from("{\"components\":{");
    let mut last = "args";
    for (name, class, (meta, param)) in steps.into_iter().flatten() {
        let comma = if last == "args" { "" } else { "," };
        dsl.push_str(&format!(
            r#"{comma}"{name}":{{"CodePath":"{class}","input":{{"data":{{"data":["{last}.data"]}}}}}}"#
        ));
        buffers.insert(format!("{name}.model:XMeta"), meta.clone());
        buffers.insert(format!("{name}.model:XParam"), param.clone());
        last = name;
    }
    dsl.push_str("}}");
    let message = Pipeline {
        inference_dsl: dsl.into(),
        // Where a scorecard's parameters stand.
        train_runtime_conf: match treatment {
            Some(Treatment::Output) => own.1.clone(),
            _ => Bytes::new(),
        },
        fate_version: flags.version().to_owned(),
        ..Pipeline::default()
    };
    buffers.insert(PIPELINE_KEY.to_owned(), message.encode_to_vec().into());
    let hosts: &[&str] = if is_host { &[] } else { flags.hosts() };
    let site = Site {
        role,
        party_id: if is_host { "10000" } else { "9999" }.to_owned(),
        hosts: hosts.iter().map(|host| (*host).to_owned()).collect(),
    };
    (buffers, site)
}

/// Compiles; when `is_repeated`, again, and both must say the same.
pub(super) fn compiled(
    buffers: &Buffers,
    site: &Site,
    semantics: Semantics,
    is_repeated: bool,
) -> Result<Plan, Refusal> {
    let first = compile(buffers, site, semantics);
    if is_repeated {
        match (&first, &compile(buffers, site, semantics)) {
            (Ok(first), Ok(second)) => assert_eq!(first.verdict(), second.verdict()),
            (Err(first), Err(second)) => assert_eq!(first, second),
            (first, second) => panic!("compiled once, refused once: {first:?} {second:?}"),
        }
    }
    if let Err(refusal) = &first {
        assert!(!refusal.reason.is_empty());
    }
    first
}

/// Cells as JSON has them, for the columns of a plan in turn.
const ODD_CELLS: [&str; 16] = [
    "1",
    "null",
    "-3.5",
    "\"\"",
    "\"abc\"",
    "1e400",
    "true",
    "0",
    "\"NaN\"",
    "[1]",
    "1e-9",
    "\"2\"",
    "-0",
    "12345678901234567890",
    "\"NA\"",
    "{}",
];

/// Scores a row of numbers, when `is_repeated` twice, and a row of anything.
pub(super) fn score(plan: &Plan, site: &Site, semantics: Semantics, is_repeated: bool) {
    let features = &plan.verdict().features;
    let numbers = || {
        let mut row = plan.new_row();
        for (position, name) in features.iter().enumerate() {
            plan.set_number(name, position as f64 % 7.0 - 2.5, &mut row);
        }
        row
    };
    let first = scored(plan, site, numbers());
    if is_repeated {
        assert_eq!(
            first,
            scored(plan, site, numbers()),
            "a score has one value"
        );
    }
    check_score(&first, semantics);

    let mut text = String::from("{");
    for (position, name) in features.iter().enumerate() {
        let comma = if position == 0 { "" } else { "," };
        let cell = ODD_CELLS[position % ODD_CELLS.len()];
        text.push_str(&format!("{comma}{}:{cell}", Value::from(name.as_str())));
    }
    text.push('}');
    let mut row = plan.new_row();
    plan.read_json(&text, &mut row).unwrap();
    check_score(&scored(plan, site, row), semantics);
}

/// The bits of the numbers of a score, or the text of a fault.
type Scored = Result<Vec<u64>, String>;

fn check_score(scored: &Scored, semantics: Semantics) {
    match scored {
        Ok(bits) => {
            assert!(!bits.is_empty(), "a success has a score");
            let is_finite = bits.iter().all(|bits| f64::from_bits(*bits).is_finite());
            assert!(is_finite || semantics == Semantics::Java, "{bits:?}");
        }
        Err(fault) => assert!(!fault.is_empty()),
    }
}

fn scored<'p>(plan: &'p Plan, site: &Site, mut row: Row<'p>) -> Scored {
    let text = |fault: Fault| fault.to_string();
    if site.role == Role::Host {
        let partial = plan.host_partial(&mut row).map_err(text)?;
        return Ok(contribution(plan, &partial));
    }
    let local = plan.guest_local(&mut row).map_err(text)?;
    let partials = partials(plan, site).map_err(text)?;
    let score = plan.merge(local, &partials).map_err(text)?;
    let mut members = b"{".to_vec();
    score.write_members(&mut members);
    members.push(b'}');
    let members: Value = serde_json::from_slice(&members).unwrap();
    assert!(members.get("score").is_some(), "{members}");
    Ok(score.scores().iter().map(|score| score.to_bits()).collect())
}

/// Answers of a host, under the names that models have here. The first fits linear models and forests, the second
/// models of several classes, the third forests in mix mode.
const REPLIES: [&str; 3] = [
    r#"{"c":{"score":0.25,"fm_cross":[0.5,-0.25],"0":{"0":true,"1":false,"2":true,"3":true,"4":false,"5":true,"6":true},"1":{"0":false,"1":true,"2":true,"3":false,"4":true,"5":true,"6":false},"2":{"0":false,"1":true,"2":true,"3":false,"4":true,"5":true,"6":false}},"a":{"score":0.25},"b":{"score":[0.25,-1,3]}}"#,
    r#"{"b":{"score":0.25},"c":{"score":[0.25,-1,3],"fm_cross":[[0.5,-0.25],[1,2],[3,4]]}}"#,
    r#"{"c":{"0":1,"1":3,"2":2}}"#,
];

fn partials<'s>(plan: &Plan, site: &'s Site) -> Result<Vec<(&'s str, Partial)>, Fault> {
    let hosts = site.hosts.iter().filter(|_| plan.needs_hosts());
    hosts
        .enumerate()
        .map(|(position, host)| {
            if position > 0
                && let Some(form) = plan.compact_form_of(host)
            {
                let bits = vec![0xa5; form.row_bytes];
                return Ok((host.as_str(), plan.read_compact(host, &bits)?));
            }
            let read = |reply| plan.read_partial(host, reply);
            let partial = read(REPLIES[0])
                .or_else(|_| read(REPLIES[1]))
                .or_else(|_| read(REPLIES[2]))?;
            Ok((host.as_str(), partial))
        })
        .collect()
}

/// The numbers of what a host writes; something that is none counts as NaN.
fn contribution(plan: &Plan, partial: &Partial) -> Vec<u64> {
    let mut member = b"{".to_vec();
    plan.write_partial(partial, &mut member);
    member.push(b'}');
    let members: Value = serde_json::from_slice(&member).unwrap();
    assert_eq!(members.as_object().map(serde_json::Map::len), Some(1));
    let mut packed = Vec::new();
    plan.write_compact(partial, &mut packed);
    let form = plan.own_compact_form();
    assert_eq!(packed.len(), form.map_or(0, |form| form.row_bytes));
    let mut numbers = vec![0];
    collect_numbers(&members, &mut numbers);
    numbers
}

fn collect_numbers(value: &Value, numbers: &mut Vec<u64>) {
    match value {
        Value::Object(members) => members
            .values()
            .for_each(|value| collect_numbers(value, numbers)),
        Value::Array(items) => items
            .iter()
            .for_each(|value| collect_numbers(value, numbers)),
        Value::Bool(decision) => numbers.push(u64::from(*decision)),
        other => numbers.push(other.as_f64().unwrap_or(f64::NAN).to_bits()),
    }
}
