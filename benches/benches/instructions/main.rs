//! One case of scoring, so often: for tools that count what a request takes. `scripts/instructions` runs it under
//! callgrind, `benches/scaling` looks at its clock.
//!
//! `instructions CASE CALLS [MODELS]` answers that many different calls and prints what one takes. A case is `lr:FEATURES`
//! or `sbt:TREES` (depth 6, 25 features a party), with `:ROWS` behind it for a batch. A guest and its host are whole servers
//! in this process, with admission, meters and the flow log at info level; only the sockets are left out: a packet goes from
//! one to the other as a value. One thread; models and rows are made, the same everywhere. Each server holds MODELS models.

#![allow(clippy::print_stdout, reason = "its output is what it is for")]

mod allocations;
mod made;
mod pair;

use std::time::Instant;

use anyhow::Context as _;
use bytes::Bytes;
use tokio::runtime::Runtime;

use crate::made::Case;
use crate::pair::Pair;

/// Ends what happens with first calls only: memory that is kept, connections between parts.
const WARM_UP: usize = 20;

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1).filter(|one| one != "--bench");
    let Some(name) = arguments.next() else {
        println!("instructions CASE CALLS [MODELS]; see scripts/instructions");
        return Ok(());
    };
    let case = Case::named(&name)?;
    let calls: usize = arguments.next().context("no number of calls")?.parse()?;
    let models = arguments.next().map_or(Ok(1), |models| models.parse())?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let pair = runtime.block_on(async {
        let pair = Pair::start(&case, models).await?;
        for number in 0..WARM_UP {
            pair.check(&case, number).await?;
        }
        anyhow::Ok(pair)
    })?;
    let questions: Vec<_> = (0..calls).map(|number| case.question(number)).collect();
    let (before, began) = (allocations::so_far(), Instant::now());
    measured(&runtime, &pair, &case, questions);
    let micros = began.elapsed().as_secs_f64() * 1e6;
    let taken = allocations::so_far() - before;
    let per_call = |figure: f64| figure / calls.max(1) as f64;
    println!(
        "{name}: {:.1} allocations, {:.2} us per call",
        per_call(taken as f64),
        per_call(micros)
    );
    Ok(())
}

/// What is counted: `scripts/instructions` knows this function by its name.
#[inline(never)]
fn measured(runtime: &Runtime, pair: &Pair, case: &Case, questions: Vec<Bytes>) {
    runtime.block_on(async {
        for question in questions {
            std::hint::black_box(pair.answer(case, question).await);
        }
    });
}
