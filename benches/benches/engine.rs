//! The core alone, on one thread: what each step of a row costs at the guest and at its first host, without servers.
//!
//! `cargo bench -p fate-benches -- [NAME…]` takes the sets below `FATE_BENCH_SETS` (default: /work/shared/golden/bench_*,
//! and the models of this repository), or those with one of the names in theirs. Rows rotate over 16,384 different ones:
//! the same few again and again would stay in the processor's caches and predictors. Each figure is the fastest and the
//! median of several passes, in microseconds per row; a step contains those before it.

#![allow(clippy::print_stdout, reason = "its output is what it is for")]

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Context as _;
use fate_domain::{fault::Fault, party::Role};
use fate_golden::{Party, Set, sets_below};
use fate_inference::{GuestLocal, Partial, Plan, Row, Semantics, Site, compile};

const ROWS: usize = 16_384;

fn main() -> anyhow::Result<()> {
    let names: Vec<String> = std::env::args()
        .skip(1)
        .filter(|name| !name.starts_with('-'))
        .collect();
    println!(
        "{:<24}{:<28}{:>10}{:>10}",
        "set", "step", "min us", "median us"
    );
    for directory in directories()? {
        let name = directory.file_name().unwrap_or_default().to_string_lossy();
        if names.is_empty() || names.iter().any(|part| name.contains(part)) {
            measure(&directory).with_context(|| directory.display().to_string())?;
        }
    }
    Ok(())
}

fn directories() -> anyhow::Result<Vec<PathBuf>> {
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models");
    let mut found = sets_below(models)?;
    let large = std::env::var_os("FATE_BENCH_SETS").unwrap_or_else(|| "/work/shared/golden".into());
    if Path::new(&large).is_dir() {
        let is_large = |set: &PathBuf| {
            set.file_name()
                .is_some_and(|name| name.to_string_lossy().starts_with("bench_"))
        };
        found.extend(sets_below(&large)?.into_iter().filter(is_large));
    } else {
        println!(
            "{}: no such directory, its sets are left out",
            Path::new(&large).display()
        );
    }
    Ok(found)
}

/// Columns are combined anew: row `n` takes each column from another row of the set.
fn mixed_rows(party: &Party) -> Vec<String> {
    let rows = &party.table.rows;
    let cell = |number: usize, column: usize| {
        let row = &rows[(number + column * (number / rows.len() + 1) * 7) % rows.len()];
        let cell = row.cells.iter().find(|(at, _)| *at == column);
        cell.map(|(_, cell)| cell.as_str())
            .filter(|cell| !cell.is_empty())
    };
    (0..ROWS)
        .map(|number| {
            let columns = party.table.columns.iter().enumerate();
            let members: Vec<String> = columns
                .filter_map(|(column, name)| {
                    Some(format!(
                        "{name:?}:{}",
                        number_or_text(cell(number, column)?)
                    ))
                })
                .collect();
            format!("{{{}}}", members.join(","))
        })
        .collect()
}

fn number_or_text(cell: &str) -> String {
    match cell.parse::<f64>() {
        Ok(number) if number.is_finite() && !cell.starts_with(['+', '.']) => number.to_string(),
        _ => format!("{cell:?}"),
    }
}

fn plan(set: &Set, party: &Party) -> anyhow::Result<Plan> {
    let hosts = match party.role {
        Role::Guest => set
            .hosts()
            .iter()
            .map(|host| host.party_id.clone())
            .collect(),
        _ => Vec::new(),
    };
    let site = Site {
        role: party.role,
        party_id: party.party_id.clone(),
        hosts,
    };
    compile(&party.buffers, &site, Semantics::Fate).map_err(|refusal| anyhow::anyhow!("{refusal}"))
}

fn measure(directory: &Path) -> anyhow::Result<()> {
    let set = Set::open(directory)?;
    let [host_party] = set.hosts() else {
        return Ok(());
    };
    let (guest, host) = (plan(&set, set.guest())?, plan(&set, host_party)?);
    let (guest_rows, host_rows) = (mixed_rows(set.guest()), mixed_rows(host_party));

    let report = |step: &str, pass: &mut dyn FnMut()| {
        let (least, median) = timed(pass);
        println!("{:<24}{step:<28}{least:>10.3}{median:>10.3}", set.name);
    };
    report("host: read", &mut || {
        for text in &host_rows {
            let _ = black_box(read(&host, text));
        }
    });
    report("host: read, part", &mut || {
        for text in &host_rows {
            let _ = black_box(host_part(&host, text));
        }
    });
    let packed = host.own_compact_form().is_some();
    let answers: Vec<Vec<u8>> = host_rows
        .iter()
        .map(|text| answer(&host, text, packed))
        .collect();
    report("host: read, part, written", &mut || {
        for text in &host_rows {
            black_box(answer(&host, text, packed));
        }
    });
    report("guest: read", &mut || {
        for text in &guest_rows {
            let _ = black_box(read(&guest, text));
        }
    });
    report("guest: read, part", &mut || {
        for text in &guest_rows {
            let _ = black_box(guest_part(&guest, text));
        }
    });
    let part_of_host = |bytes: &[u8]| match packed {
        true => guest.read_compact(&host_party.party_id, bytes),
        false => guest.read_partial(&host_party.party_id, &String::from_utf8_lossy(bytes)),
    };
    report("guest: read, part, merge", &mut || {
        for (text, answer) in guest_rows.iter().zip(&answers) {
            let merged = guest_part(&guest, text).and_then(|local| {
                guest.merge(local, &[(&host_party.party_id, part_of_host(answer)?)])
            });
            let _ = black_box(merged);
        }
    });
    Ok(())
}

fn read<'a>(plan: &Plan, text: &'a str) -> Result<Row<'a>, Fault> {
    let mut row = plan.new_row();
    plan.read_json(text, &mut row)?;
    Ok(row)
}

fn host_part(plan: &Plan, text: &str) -> Result<Partial, Fault> {
    plan.host_partial(&mut read(plan, text)?)
}

fn guest_part(plan: &Plan, text: &str) -> Result<GuestLocal, Fault> {
    plan.guest_local(&mut read(plan, text)?)
}

/// Packed, or the text of a `data` object.
fn answer(host: &Plan, text: &str, packed: bool) -> Vec<u8> {
    let mut out = Vec::new();
    let Ok(part) = host_part(host, text) else {
        return out;
    };
    if packed {
        host.write_compact(&part, &mut out);
    } else {
        out.push(b'{');
        host.write_partial(&part, &mut out);
        out.push(b'}');
    }
    out
}

/// Fastest and median pass, in microseconds per row.
fn timed(pass: &mut dyn FnMut()) -> (f64, f64) {
    // One pass is enough for a tool that counts instructions.
    let passes = std::env::var("FATE_BENCH_PASSES").ok();
    let passes = passes
        .and_then(|text| text.parse().ok())
        .unwrap_or(9_usize)
        .max(1);
    let mut passes: Vec<f64> = (0..passes)
        .map(|_| {
            let start = Instant::now();
            pass();
            start.elapsed().as_secs_f64() * 1e6 / ROWS as f64
        })
        .collect();
    passes.sort_by(f64::total_cmp);
    (passes[0], passes[passes.len() / 2])
}
