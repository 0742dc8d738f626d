//! What a row takes of memory does not grow with its features: the same number of allocations for 50 and for 500 of them.
//!
//! Alone in its program, because the allocator counts for all threads of it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall fail")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use fate_domain::party::Role;
use fate_inference::{Buffers, PIPELINE_KEY, Plan, Semantics, Site, compile};
use fate_proto::buffer::{
    ColumnScaleParam, LrModelMeta, LrModelParam, Pipeline, ScaleMeta, ScaleParam,
};
use prost::Message;
use serde_json::json;

struct Counting;

static TAKEN: AtomicUsize = AtomicUsize::new(0);

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: everything is left to the system's allocator; counting touches no memory that is given out.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        TAKEN.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller keeps `alloc`'s contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps `dealloc`'s contract.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        TAKEN.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller keeps `realloc`'s contract.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

/// A party's scale and logistic regression over so many features.
fn plan(role: Role, features: usize) -> Plan {
    let header: Vec<String> = (0..features).map(|index| format!("x{index}")).collect();
    let scales = header.iter().map(|name| {
        let scale = ColumnScaleParam {
            mean: 0.5,
            std: 2.0,
            column_upper: 3.0,
            column_lower: -3.0,
        };
        (name.clone(), scale)
    });
    let scale = ScaleParam {
        col_scale_param: scales.collect(),
        header: header.clone(),
    };
    let scale_meta = ScaleMeta {
        method: "standard_scale".to_owned(),
        need_run: true,
        ..Default::default()
    };
    let weight = header.iter().zip(1..);
    let lr = LrModelParam {
        weight: weight
            .map(|(name, index)| (name.clone(), 0.01 * f64::from(index)))
            .collect(),
        header,
        ..Default::default()
    };
    let lr_meta = LrModelMeta {
        penalty: "L2".to_owned(),
        ..Default::default()
    };
    let class = match role {
        Role::Guest => "HeteroLRGuest",
        _ => "HeteroLRHost",
    };
    let dsl = json!({"components": {
        "scale_0": {"CodePath": "Scale", "input": {"data": {"data": ["args.data"]}}},
        "lr_0": {"CodePath": class, "input": {"data": {"data": ["scale_0.data"]}}},
    }});
    let pipeline = Pipeline {
        inference_dsl: dsl.to_string().into(),
        fate_version: "1.11.4".to_owned(),
        ..Default::default()
    };
    let messages = BTreeMap::from([
        (PIPELINE_KEY, pipeline.encode_to_vec()),
        ("scale_0.model:ScaleMeta", scale_meta.encode_to_vec()),
        ("scale_0.model:ScaleParam", scale.encode_to_vec()),
        ("lr_0.model:LRMeta", lr_meta.encode_to_vec()),
        ("lr_0.model:LRParam", lr.encode_to_vec()),
    ]);
    let buffers: Buffers = messages
        .into_iter()
        .map(|(name, bytes)| (name.to_owned(), bytes.into()))
        .collect();
    let site = Site {
        role,
        party_id: "1".to_owned(),
        hosts: match role {
            Role::Guest => vec!["2".to_owned()],
            _ => Vec::new(),
        },
    };
    compile(&buffers, &site, Semantics::Fate).unwrap()
}

/// Of a row's whole way, guest and host.
fn allocations(features: usize) -> usize {
    let (guest, host) = (plan(Role::Guest, features), plan(Role::Host, features));
    assert_eq!(guest.verdict().features.len(), features);
    let members: Vec<String> = (0..features)
        .map(|index| format!(r#""x{index}":{}"#, 0.25 * index as f64 - 1.5))
        .collect();
    let object = format!("{{{}}}", members.join(","));
    let before = TAKEN.load(Ordering::Relaxed);
    let mut row = host.new_row();
    host.read_json(&object, &mut row).unwrap();
    let partial = host.host_partial(&mut row).unwrap();
    let mut written = b"{".to_vec();
    host.write_partial(&partial, &mut written);
    written.push(b'}');
    let mut row = guest.new_row();
    guest.read_json(&object, &mut row).unwrap();
    let local = guest.guest_local(&mut row).unwrap();
    let data = std::str::from_utf8(&written).unwrap();
    let partial = guest.read_partial("2", data).unwrap();
    let score = guest.merge(local, &[("2", partial)]).unwrap();
    let taken = TAKEN.load(Ordering::Relaxed) - before;
    assert_eq!(score.scores().len(), 1);
    taken
}

#[test]
fn features_take_no_allocations_of_their_own() {
    let (few, many) = (allocations(50), allocations(500));
    assert_eq!(few, many);
    assert!(few > 0 && few < 20, "{few}");
}
