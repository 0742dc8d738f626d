//! Random models as buffers, and a row's way through the compiled plans of all parties.

use std::fmt::Debug;

use fate_domain::{fault::Fault, party::Role};
use fate_inference::{
    Buffers, Coverage, PIPELINE_KEY, Plan, Refusal, Score, Semantics, Site, compile,
};
use prost::Message;

use crate::values::{Row, json};

pub(crate) const GUEST: &str = "9999";

/// One component of a pipeline, in the order in which they run.
pub(crate) struct Component {
    class: &'static str,
    meta: Vec<u8>,
    param: Vec<u8>,
}

impl Component {
    pub(crate) fn new(class: &'static str, meta: &impl Message, param: &impl Message) -> Self {
        Component {
            class,
            meta: meta.encode_to_vec(),
            param: param.encode_to_vec(),
        }
    }
}

pub(crate) fn host_id(host: usize) -> String {
    (10_000 + host).to_string()
}

fn buffers(version: &str, components: Vec<Component>) -> Buffers {
    let mut buffers = Buffers::new();
    let mut dsl = serde_json::Map::new();
    let mut before = "args.eval_data".to_owned();
    let last = components.len() - 1;
    for (index, component) in components.into_iter().enumerate() {
        // All parties call the model alike; what comes before it is each party's own business.
        let name = if index == last {
            "model_0".to_owned()
        } else {
            format!("step_{index}")
        };
        let body =
            serde_json::json!({"input": {"data": {"data": [before]}}, "CodePath": component.class});
        dsl.insert(name.clone(), body);
        buffers.insert(format!("{name}.model:AnyMeta"), component.meta.into());
        buffers.insert(format!("{name}.model:AnyParam"), component.param.into());
        before = format!("{name}.data");
    }
    let pipeline = fate_proto::buffer::Pipeline {
        inference_dsl: serde_json::json!({"components": dsl})
            .to_string()
            .into_bytes()
            .into(),
        fate_version: version.to_owned(),
        ..Default::default()
    };
    buffers.insert(PIPELINE_KEY.to_owned(), pipeline.encode_to_vec().into());
    buffers
}

/// The compiled plans: the guest's first.
pub(crate) struct Plans(Vec<Plan>);

impl Plans {
    /// `parties`: each one's components, the guest's first.
    pub(crate) fn compile(
        version: &str,
        parties: Vec<Vec<Component>>,
        semantics: Semantics,
    ) -> Result<Self, Refusal> {
        let hosts: Vec<String> = (0..parties.len() - 1).map(host_id).collect();
        let plan = |(index, components)| {
            let site = match index {
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
            compile(&buffers(version, components), &site, semantics)
        };
        let plans = parties.into_iter().enumerate().map(plan);
        Ok(Plans(plans.collect::<Result<_, Refusal>>()?))
    }

    /// One sample's score, every host's part as the text that travels; or the return code of the fault.
    pub(crate) fn score(&self, rows: &[Row]) -> Result<Score, i32> {
        self.exchange(rows).map_err(|fault| fault.code.0)
    }

    fn exchange(&self, rows: &[Row]) -> Result<Score, Fault> {
        let (guest, hosts) = self.0.split_first().unwrap();
        let text = json(&rows[0]);
        let mut row = guest.new_row();
        guest.read_json(&text, &mut row)?;
        let mut coverage = guest.coverage();
        let watched = guest.guest_local_watched(&mut row.clone(), Some(&mut coverage));
        let local = guest.guest_local(&mut row);
        assert_watched(&coverage, &watched, &local);
        let local = local?;
        let ids: Vec<String> = (0..hosts.len()).map(host_id).collect();
        let (mut partials, mut packed) = (Vec::new(), Vec::new());
        for ((host, id), row) in hosts.iter().zip(&ids).zip(&rows[1..]) {
            let (text, bytes) = answer(host, row)?;
            partials.push((id.as_str(), guest.read_partial(id, &text)?));
            if let Some(bytes) = bytes {
                assert_eq!(guest.compact_form_of(id), host.own_compact_form());
                packed.push((id.as_str(), guest.read_compact(id, &bytes)?));
            }
        }
        let score = guest.merge(local.clone(), &partials);
        if !packed.is_empty() {
            assert_eq!(guest.merge(local, &packed), score);
        }
        score
    }
}

/// Being watched changes nothing, to the bit, and every needed feature is accounted for.
fn assert_watched<P: Debug>(coverage: &Coverage<'_>, watched: &P, unwatched: &P) {
    assert_eq!(format!("{watched:?}"), format!("{unwatched:?}"));
    let figures = coverage.figures();
    let accounted = figures.present + figures.imputed + figures.missing;
    assert_eq!(figures.needed, accounted, "{figures:?}");
}

/// The host's part as JSON and, if the model has such a form, packed.
fn answer(host: &Plan, row: &Row) -> Result<(String, Option<Vec<u8>>), Fault> {
    let text = json(row);
    let mut row = host.new_row();
    host.read_json(&text, &mut row)?;
    let mut coverage = host.coverage();
    let watched = host.host_partial_watched(&mut row.clone(), Some(&mut coverage));
    let partial = host.host_partial(&mut row);
    assert_watched(&coverage, &watched, &partial);
    let partial = partial?;
    let mut data = b"{".to_vec();
    host.write_partial(&partial, &mut data);
    data.push(b'}');
    let packed = host.own_compact_form().map(|_| {
        let mut bytes = Vec::new();
        host.write_compact(&partial, &mut bytes);
        bytes
    });
    Ok((String::from_utf8(data).unwrap(), packed))
}
