//! The compiled plan against a slow interpreter, over random models and rows: the same way through every tree, sums
//! within 1e-12. The interpreter is written from contract 02 and shares no code with the plan.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall fail")]

mod forest;
mod linear;
mod random;

use fate_domain::party::Role;
use fate_inference::{Buffers, Partial, Plan, Semantics, Site, compile};
use prost::Message as _;
use serde_json::{Map, Value, json};

/// A row of one party: JSON values by feature name.
type Row = Map<String, Value>;

const TOLERANCE: f64 = 1e-12;

/// A pipeline of components in a row, and their buffers.
fn buffers(components: &[(&str, &str, Vec<u8>, Vec<u8>)]) -> Buffers {
    let mut buffers = Buffers::new();
    let mut dsl = Map::new();
    let mut before = "args.eval_data".to_owned();
    for (name, class, meta, param) in components {
        buffers.insert(format!("{name}.model:XMeta"), meta.clone().into());
        buffers.insert(format!("{name}.model:XParam"), param.clone().into());
        let component =
            json!({"input": {"data": {"data": [before]}}, "CodePath": format!("x/{class}")});
        dsl.insert((*name).to_owned(), component);
        before = format!("{name}.data");
    }
    let pipeline = fate_proto::buffer::Pipeline {
        inference_dsl: json!({"components": dsl}).to_string().into_bytes().into(),
        fate_version: "1.11.4".to_owned(),
        ..Default::default()
    };
    let key = fate_inference::PIPELINE_KEY.to_owned();
    buffers.insert(key, pipeline.encode_to_vec().into());
    buffers
}

fn guest_plan(buffers: &Buffers, hosts: &[String]) -> Plan {
    let site = Site {
        role: Role::Guest,
        party_id: "9999".to_owned(),
        hosts: hosts.to_vec(),
    };
    compile(buffers, &site, Semantics::Fate).unwrap_or_else(|refusal| panic!("{refusal}"))
}

fn host_plan(buffers: &Buffers, party_id: &str) -> Plan {
    let site = Site {
        role: Role::Host,
        party_id: party_id.to_owned(),
        hosts: Vec::new(),
    };
    compile(buffers, &site, Semantics::Fate).unwrap_or_else(|refusal| panic!("{refusal}"))
}

/// All parties' plans over one row; a host's part travels as text.
fn online(guest: &Plan, hosts: &[(String, Plan)], rows: &[Row]) -> Result<Vec<f64>, String> {
    let text = |fault: fate_domain::fault::Fault| fault.to_string();
    let json = Value::from(rows[0].clone()).to_string();
    let mut row = guest.new_row();
    guest.read_json(&json, &mut row).map_err(text)?;
    let local = guest.guest_local(&mut row).map_err(text)?;
    let mut partials: Vec<(&str, Partial)> = Vec::new();
    for ((party_id, plan), features) in hosts.iter().zip(&rows[1..]) {
        let json = Value::from(features.clone()).to_string();
        let mut row = plan.new_row();
        plan.read_json(&json, &mut row).map_err(text)?;
        let partial = plan.host_partial(&mut row).map_err(text)?;
        let mut member = b"{".to_vec();
        plan.write_partial(&partial, &mut member);
        member.push(b'}');
        let member = String::from_utf8(member).unwrap();
        partials.push((
            party_id,
            guest.read_partial(party_id, &member).map_err(text)?,
        ));
    }
    let score = guest.merge(local, &partials).map_err(text)?;
    Ok(score.scores().to_vec())
}

fn assert_equal(found: &Result<Vec<f64>, String>, expected: &[f64], context: &dyn Fn() -> String) {
    let found = found
        .as_ref()
        .unwrap_or_else(|fault| panic!("{fault}\n{}", context()));
    assert_eq!(found.len(), expected.len(), "{}", context());
    for (found, expected) in found.iter().zip(expected) {
        let is_near = (found - expected).abs() <= TOLERANCE * expected.abs().max(1.0);
        assert!(is_near, "{found} instead of {expected}\n{}", context());
    }
}

fn sigmoid(sum: f64) -> f64 {
    1.0 / (1.0 + (-sum).exp())
}
