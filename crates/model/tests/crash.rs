//! `kill -9` at random moments: what was acknowledged is there at the next start, whole, and nothing else is.
//!
//! The parent starts this same executable as a child that loads, binds, unbinds and unloads real models in one folder,
//! saying `try <operation>` before each and `ok` after it; kills it in the middle; opens the store itself and compares;
//! and goes on with the same folder. `FATE_CRASH_SEED` repeats a run's choices (the moments themselves vary).
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test may panic, and so may its child")]

#[allow(
    dead_code,
    unreachable_pub,
    reason = "shared with the other test binary"
)]
#[path = "models/golden.rs"]
mod golden;

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use fate_domain::model_key::ModelKey;
use fate_inference::Semantics;
use fate_model::{Models, Settings};
use golden::{Golden, bind_request, cache_json, golden, load_request};

const KILLS: u32 = 200;
/// So many kills must hit an operation between its `try` and its `ok`.
const IN_FLIGHT_AT_LEAST: u32 = 30;
/// Contents that one model is loaded with in turn.
const MARKS: usize = 3;
/// The first is what a load gives.
const SEMANTICS: [Semantics; 2] = [Semantics::Fate, Semantics::Java];
const SERVICE_IDS: [&str; 3] = ["lr-test", "second service", "信用-1"];

const FOLDER: &str = "FATE_CRASH_FOLDER";
const SEED: &str = "FATE_CRASH_SEED";

/// What one line of the child names: indices into [`golden_models`] and [`SERVICE_IDS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operation {
    Load {
        model: usize,
        mark: usize,
    },
    /// A load that is refused because the core does not accept the model.
    LoadBroken {
        model: usize,
    },
    Bind {
        service: usize,
        model: usize,
    },
    Unbind {
        service: usize,
        model: usize,
    },
    Unload {
        model: usize,
    },
    /// Which of [`SEMANTICS`] a loaded model gets.
    Semantics {
        model: usize,
        semantics: usize,
    },
}

/// What the store must hold: mark and semantics of each loaded model, model of each bound service id.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct State {
    models: BTreeMap<usize, (usize, usize)>,
    bindings: BTreeMap<usize, usize>,
}

/// What the child said before it died.
#[derive(Debug, Default)]
struct Said {
    ready: bool,
    acknowledged: Vec<Operation>,
    in_flight: Option<Operation>,
}

impl Operation {
    fn choose(random: &mut Random, state: &State) -> Operation {
        let models = golden_models();
        let model = random.below(models.len());
        let service = random.below(SERVICE_IDS.len());
        let loaded = state.models.contains_key(&model);
        match random.below(12) {
            4..=6 if loaded && models[model].role == "guest" => Operation::Bind { service, model },
            7 => match state.bindings.get(&service) {
                Some(model) => Operation::Unbind {
                    service,
                    model: *model,
                },
                None => Operation::LoadBroken { model },
            },
            8 if loaded => Operation::Unload { model },
            10.. if loaded => Operation::Semantics {
                model,
                semantics: random.below(SEMANTICS.len()),
            },
            9 => Operation::LoadBroken { model },
            _ => Operation::Load {
                model,
                mark: random.below(MARKS),
            },
        }
    }

    fn write(self) -> String {
        match self {
            Operation::Load { model, mark } => format!("load {model} {mark}"),
            Operation::LoadBroken { model } => format!("load-broken {model} 0"),
            Operation::Bind { service, model } => format!("bind {service} {model}"),
            Operation::Unbind { service, model } => format!("unbind {service} {model}"),
            Operation::Unload { model } => format!("unload {model} 0"),
            Operation::Semantics { model, semantics } => format!("semantics {model} {semantics}"),
        }
    }

    fn read(text: &str) -> Operation {
        let words: Vec<&str> = text.split(' ').collect();
        let (a, b) = (words[1].parse().unwrap(), words[2].parse().unwrap());
        match words[0] {
            "load" => Operation::Load { model: a, mark: b },
            "load-broken" => Operation::LoadBroken { model: a },
            "bind" => Operation::Bind {
                service: a,
                model: b,
            },
            "unbind" => Operation::Unbind {
                service: a,
                model: b,
            },
            "unload" => Operation::Unload { model: a },
            "semantics" => Operation::Semantics {
                model: a,
                semantics: b,
            },
            other => panic!("no operation: {other}"),
        }
    }

    fn apply(self, state: &mut State) {
        match self {
            Operation::Load { model, mark } => {
                state.models.insert(model, (mark, 0));
            }
            Operation::LoadBroken { .. } => {}
            Operation::Bind { service, model } => {
                state.bindings.insert(service, model);
            }
            Operation::Unbind { service, .. } => {
                state.bindings.remove(&service);
            }
            Operation::Unload { model } => {
                state.models.remove(&model);
                state.bindings.retain(|_, bound| *bound != model);
            }
            Operation::Semantics { model, semantics } => {
                state
                    .models
                    .entry(model)
                    .and_modify(|(_, of_model)| *of_model = semantics);
            }
        }
    }

    async fn run(self, models: &Models, folder: &Path) {
        let all = golden_models();
        match self {
            Operation::Load { model, mark } => {
                let file = import_file(folder, model, &mark.to_string());
                models
                    .load(&load_request(&all[model], "CACHE", &file))
                    .await
                    .unwrap();
            }
            Operation::LoadBroken { model } => {
                let file = import_file(folder, model, "broken");
                let fault = models
                    .load(&load_request(&all[model], "CACHE", &file))
                    .await
                    .unwrap_err();
                assert_eq!(fault.code.0, 123, "{fault}");
            }
            Operation::Bind { service, model } => {
                models
                    .bind(&bind_request(&all[model], SERVICE_IDS[service]))
                    .await
                    .unwrap();
            }
            Operation::Unbind { service, model } => {
                models
                    .unbind(&all[model].key, &[SERVICE_IDS[service].to_owned()])
                    .await
                    .unwrap();
            }
            Operation::Unload { model } => models.unload(&all[model].key).await.unwrap(),
            Operation::Semantics { model, semantics } => {
                models
                    .set_semantics(&all[model].key, SEMANTICS[semantics])
                    .await
                    .unwrap();
            }
        }
    }
}

/// Two versions of a guest model to rebind between, its host, and another kind of model.
fn golden_models() -> Vec<Golden> {
    let guest = golden("lr_plain", "guest_9999");
    let renamed = guest.renamed("another_version");
    vec![
        guest,
        renamed,
        golden("lr_plain", "host_10000"),
        golden("sbt_regression", "guest_9999"),
    ]
}

fn import_file(folder: &Path, model: usize, content: &str) -> String {
    folder
        .join("import")
        .join(format!("{model}-{content}"))
        .to_str()
        .unwrap()
        .to_owned()
}

fn write_import_files(folder: &Path) {
    fs::create_dir(folder.join("import")).unwrap();
    for (index, model) in golden_models().iter().enumerate() {
        for mark in 0..MARKS {
            let marked = model.marked(&mark.to_string());
            fs::write(
                import_file(folder, index, &mark.to_string()),
                cache_json(&marked.buffers),
            )
            .unwrap();
        }
        fs::write(
            import_file(folder, index, "broken"),
            cache_json(&model.broken().buffers),
        )
        .unwrap();
    }
}

fn settings(folder: &Path) -> Settings {
    let mut settings = Settings::new(folder);
    settings.home = folder.join("home");
    settings.import_path = vec![folder.join("import")];
    settings
}

/// Opens the store as the next start of a node does, and reads back everything it holds.
async fn restored(folder: &Path) -> State {
    let (models, report) = Models::open(settings(folder)).await.unwrap();
    assert!(report.failures.is_empty(), "{:?}", report.failures);
    let all = golden_models();
    let index_of = |key: &ModelKey| all.iter().position(|model| model.key == *key).unwrap();
    let snapshot = models.snapshot();
    let mut state = State::default();
    for loaded in snapshot.models() {
        let model = index_of(&loaded.key);
        assert_eq!(loaded.role.to_string(), all[model].role);
        assert_eq!(loaded.party_id, all[model].party_id);
        assert_eq!(loaded.remotes.len(), 1);
        let buffers = models.buffers(&loaded.key).await.unwrap();
        let whole = |mark: &usize| all[model].marked(&mark.to_string()).buffers == buffers;
        let mark = (0..MARKS)
            .find(whole)
            .expect("a model is stored as it was loaded");
        let semantics = SEMANTICS
            .iter()
            .position(|known| *known == loaded.semantics)
            .unwrap();
        state.models.insert(model, (mark, semantics));
    }
    for (service_id, key) in snapshot.bindings() {
        let service = SERVICE_IDS
            .iter()
            .position(|known| *known == service_id)
            .unwrap();
        state.bindings.insert(service, index_of(key));
    }
    assert_eq!(
        (report.models, report.bindings),
        (state.models.len(), state.bindings.len())
    );
    assert_no_left_overs(folder, state.models.len());
    state
}

/// After a start there is one file for each model, and no file that a crash left.
fn assert_no_left_overs(folder: &Path, models: usize) {
    let names = |folder: PathBuf| -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    };
    let store = folder.join(".fate/serving");
    let strange =
        |name: &&String| !["lock", "manifest", "manifest.copy", "models"].contains(&name.as_str());
    let in_store = names(store.clone());
    assert_eq!(in_store.iter().filter(strange).count(), 0, "{in_store:?}");
    let in_models = names(store.join("models"));
    assert!(
        in_models.len() == models && in_models.iter().all(|name| name.ends_with(".model")),
        "{in_models:?}"
    );
}

/// The child: changes models until it is killed.
#[test]
#[ignore = "run by the test below, as its child"]
fn child() {
    let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) else {
        return;
    };
    let mut random = Random(std::env::var(SEED).unwrap().parse().unwrap());
    runtime().block_on(async {
        let mut state = restored(&folder).await;
        let (models, _) = Models::open(settings(&folder)).await.unwrap();
        // The test harness has begun a line of its own.
        say("\nready");
        loop {
            let operation = Operation::choose(&mut random, &state);
            say(&format!("try {}", operation.write()));
            operation.run(&models, &folder).await;
            say("ok");
            operation.apply(&mut state);
        }
    });
}

/// One line in one write: a kill leaves it whole or not at all.
fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    out.write_all(format!("{line}\n").as_bytes()).unwrap();
    out.flush().unwrap();
}

#[test]
fn acknowledged_states_survive_200_kills_and_nothing_else_does() {
    let seed = std::env::var(SEED).map_or_else(|_| now(), |seed| seed.parse().unwrap());
    let mut random = Random(seed);
    let folder = tempfile::tempdir().unwrap();
    write_import_files(folder.path());
    let runtime = runtime();
    let mut pace = Pace::default();
    let mut state = State::default();
    let (mut in_flight, mut unfinished_done, mut acknowledged, mut while_opening) = (0, 0, 0, 0);
    for kill in 1..=KILLS {
        let said = run_and_kill(folder.path(), &mut random, &mut pace);
        for operation in &said.acknowledged {
            operation.apply(&mut state);
        }
        acknowledged += said.acknowledged.len();
        while_opening += u32::from(!said.ready);
        let found = runtime.block_on(restored(folder.path()));
        let mut with_unfinished = state.clone();
        if let Some(operation) = said.in_flight {
            in_flight += 1;
            operation.apply(&mut with_unfinished);
        }
        assert!(
            found == state || found == with_unfinished,
            "kill {kill}, {SEED}={seed}\nfound    {found:?}\nexpected {state:?}\nor       {with_unfinished:?}\nafter    {said:?}"
        );
        unfinished_done += u32::from(found != state);
        state = found;
    }
    println!(
        "{KILLS} kills: {in_flight} with an operation in flight ({unfinished_done} of them were done), {while_opening} \
         while the store was being opened; {acknowledged} operations acknowledged and kept ({SEED}={seed})"
    );
    assert!(
        in_flight >= IN_FLIGHT_AT_LEAST,
        "only {in_flight} kills hit an operation"
    );
    assert!(
        acknowledged >= KILLS as usize,
        "only {acknowledged} operations: the child hardly ran"
    );
}

/// What things take on this machine, so that the kills spread over all of it.
#[derive(Debug, Default)]
struct Pace {
    openings: u32,
    opening: Duration,
    operations: u32,
    operation: Duration,
}

/// Starts the child and kills it: one time in eight while it opens the store, else some operations later.
fn run_and_kill(folder: &Path, random: &mut Random, pace: &mut Pace) -> Said {
    let started = Instant::now();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "child",
            "--ignored",
            "--nocapture",
            "--test-threads=1",
        ])
        .env(FOLDER, folder)
        .env(SEED, random.next().to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    let mut said = Said::default();
    if random.below(8) == 0 && pace.openings > 0 {
        std::thread::sleep(random.part_of(pace.opening / pace.openings));
    } else {
        hear_until(&mut lines, &mut said, |said| said.ready);
        pace.openings += 1;
        pace.opening += started.elapsed();
        let (ready, operations) = (Instant::now(), random.below(8));
        hear_until(&mut lines, &mut said, |said| {
            said.acknowledged.len() >= operations
        });
        pace.operations += operations as u32;
        pace.operation += ready.elapsed();
        std::thread::sleep(random.part_of(2 * pace.operation / pace.operations.max(1)));
    }
    kill(&mut child);
    let mut rest = String::new();
    lines.read_to_string(&mut rest).unwrap();
    rest.split_inclusive('\n').for_each(|line| said.hear(line));
    said
}

/// Reads the child's lines until they say enough.
fn hear_until(lines: &mut BufReader<ChildStdout>, said: &mut Said, enough: impl Fn(&Said) -> bool) {
    while !enough(said) {
        let mut line = String::new();
        assert!(
            lines.read_line(&mut line).unwrap() > 0,
            "the child ended by itself after {said:?}"
        );
        said.hear(&line);
    }
}

impl Said {
    fn hear(&mut self, line: &str) {
        let Some(line) = line.strip_suffix('\n') else {
            return;
        };
        if let Some(operation) = line.strip_prefix("try ") {
            assert_eq!(self.in_flight.replace(Operation::read(operation)), None);
        } else if line == "ok" {
            self.acknowledged.push(self.in_flight.take().unwrap());
        } else if line == "ready" {
            self.ready = true;
        }
    }
}

fn kill(child: &mut Child) {
    child.kill().unwrap();
    let status = child.wait().unwrap();
    assert_eq!(
        status.signal(),
        Some(9),
        "the child ended by itself: {status}"
    );
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_micros() as u64
}

/// SplitMix64: enough to choose operations and moments.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    fn part_of(&mut self, whole: Duration) -> Duration {
        whole.mul_f64(self.next() as f64 / u64::MAX as f64)
    }
}
