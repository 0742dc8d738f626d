//! FATE-Flow's archives as a source: every version's layout, damage, names that lead out, bombs (contract 01 §3.7).

use std::fs;
use std::io::{Cursor, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use fate_inference::Buffers;
use fate_model::Models;
use tempfile::TempDir;
use zip::CompressionMethod;
use zip::write::{SimpleFileOptions, ZipWriter};

use crate::golden::{Golden, cache_json, golden, guest, host, load_request};
use crate::{code_and_text, node, open};

const NO_DATA: &str = "model initialization error, please check if the model exists and the configuration of the \
                       FATEFLOW load model process is correct. Cause: ";

/// Versions of FATE-Flow whose archives differ.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Flow {
    /// 1.4 to 1.6: `describe`, and files of the protobuf messages.
    V1_4,
    /// 1.7 and later: no `describe`; JSON twins and checkpoints.
    V1_11,
}

type Entries = Vec<(String, Vec<u8>)>;

/// `<component>.<alias>:<name>`.
fn parts(key: &str) -> (&str, &str, &str) {
    let (component, rest) = key.split_once('.').unwrap();
    let (alias, name) = rest.split_once(':').unwrap();
    (component, alias, name)
}

fn define_meta(flow: Flow, buffers: &Buffers) -> String {
    let mut text = String::new();
    if let Flow::V1_4 = flow {
        text.push_str("describe: This is the model definition meta\n");
    }
    text.push_str(
        "component_define:\n  data_transform_0:\n    module_name: DataTransform\nmodel_proto:\n",
    );
    let mut last = ("", "");
    for key in buffers.keys() {
        let (component, alias, name) = parts(key);
        if last.0 != component {
            text.push_str(&format!("  {component}:\n"));
        }
        if last != (component, alias) {
            text.push_str(&format!("    {alias}:\n"));
        }
        text.push_str(&format!("      {name}: {name}\n"));
        last = (component, alias);
    }
    text
}

/// The files of an archive as this version exports it.
pub(crate) fn entries(flow: Flow, buffers: &Buffers) -> Entries {
    let meta = define_meta(flow, buffers).into_bytes();
    let mut entries = vec![("define/define_meta.yaml".to_owned(), meta)];
    for (key, bytes) in buffers {
        let (component, alias, name) = parts(key);
        let path = format!("variables/data/{component}/{alias}/{name}");
        if let Flow::V1_11 = flow {
            entries.push((format!("{path}.json"), b"{}".to_vec()));
        }
        entries.push((path, bytes.to_vec()));
    }
    let besides: &[(&str, &[u8])] = match flow {
        Flow::V1_4 => &[
            ("define/proto/pipeline.proto", b"syntax = \"proto3\";"),
            ("pipeline.pb", b""),
        ],
        Flow::V1_11 => &[
            ("run_parameters/data_transform_0/run_parameters.json", b"{}"),
            ("import_model.json", b"{}"),
            (".lock", b""),
        ],
    };
    entries.extend(
        besides
            .iter()
            .map(|(name, bytes)| ((*name).to_owned(), bytes.to_vec())),
    );
    entries
}

pub(crate) fn zip(entries: &[(String, Vec<u8>)], method: CompressionMethod) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(method);
    for (name, bytes) in entries {
        writer.start_file(name.as_str(), options).unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

fn with_meta(meta: &[u8]) -> Vec<u8> {
    let mut entries = entries(Flow::V1_11, &guest().buffers);
    entries[0].1 = meta.to_vec();
    zip(&entries, CompressionMethod::Deflated)
}

pub(crate) fn import_file(folder: &TempDir, name: &str, bytes: &[u8]) -> String {
    let path = folder.path().join("import").join(name);
    fs::write(&path, bytes).unwrap();
    path.to_str().unwrap().to_owned()
}

pub(crate) async fn load(
    models: &Models,
    own: &Golden,
    load_type: &str,
    path: &str,
) -> (i32, String) {
    let request = load_request(own, load_type, path);
    let loading = models.load(&request);
    let result = tokio::time::timeout(Duration::from_secs(20), loading).await;
    code_and_text(result.expect("the load hangs"))
}

/// The load is refused with 123 and a text of all these parts.
pub(crate) async fn assert_refused(
    models: &Models,
    load_type: &str,
    path: &str,
    expected: &[&str],
) {
    let (code, text) = load(models, &guest(), load_type, path).await;
    assert_eq!(code, 123, "{text}");
    assert!(text.starts_with(NO_DATA), "{text}");
    for part in expected {
        assert!(text.contains(part), "{part:?} is not in {text:?}");
    }
}

#[tokio::test]
async fn archives_of_every_version_are_read() {
    for flow in [Flow::V1_4, Flow::V1_11] {
        for method in [CompressionMethod::Stored, CompressionMethod::Deflated] {
            for model in [guest(), host(), golden("sbt_multiclass", "guest_9999")] {
                let (folder, settings) = node();
                let models = open(&settings).await;
                let bytes = zip(&entries(flow, &model.buffers), method);
                let path = import_file(&folder, "guest#9999#model_1.zip", &bytes);
                let loaded = models
                    .load(&load_request(&model, "FILE", &path))
                    .await
                    .unwrap();
                assert_eq!(
                    (&loaded.key, loaded.resource_address.as_deref()),
                    (&model.key, None)
                );
                assert_eq!(models.buffers(&model.key).await.unwrap(), model.buffers);
            }
        }
    }
}

#[tokio::test]
async fn an_archive_without_one_of_its_buffers_is_judged_by_the_others() {
    let (folder, settings) = node();
    let models = open(&settings).await;
    // Listed, but not there: as in Java, a warning.
    let mut all = entries(Flow::V1_11, &guest().marked("mark").buffers);
    all.retain(|(name, _)| name != "variables/data/mark_0/mark/Mark");
    let path = import_file(
        &folder,
        "missing.zip",
        &zip(&all, CompressionMethod::Stored),
    );
    models
        .load(&load_request(&guest(), "FILE", &path))
        .await
        .unwrap();
    assert_eq!(models.buffers(&guest().key).await.unwrap(), guest().buffers);
    // Components and aliases without any buffer.
    let meta = define_meta(Flow::V1_11, &guest().buffers);
    let meta = format!("{meta}  union_0:\n  reader_0:\n    model:\n  x_0: {{}}\n");
    let path = import_file(&folder, "empty.zip", &with_meta(meta.as_bytes()));
    models
        .load(&load_request(&guest(), "FILE", &path))
        .await
        .unwrap();
    // Without its pipeline it is no model.
    all.retain(|(name, _)| name != "variables/data/pipeline/pipeline/Pipeline");
    let path = import_file(
        &folder,
        "pipeline.zip",
        &zip(&all, CompressionMethod::Stored),
    );
    let (code, text) = load(&models, &guest(), "FILE", &path).await;
    assert!(
        code == 123 && text.contains("cannot be served"),
        "{code} {text}"
    );
}

#[tokio::test]
async fn what_is_no_archive_of_fate_flow_is_refused() {
    let (folder, settings) = node();
    let models = open(&settings).await;
    let good = zip(
        &entries(Flow::V1_11, &guest().buffers),
        CompressionMethod::Deflated,
    );
    let mut flipped = good.clone();
    for byte in &mut flipped[200..400] {
        *byte = !*byte;
    }
    let no_meta = entries(Flow::V1_11, &guest().buffers).split_off(1);
    let cases: Vec<(Vec<u8>, &[&str])> = vec![
        (Vec::new(), &["the file is empty"]),
        (b"rubbish".to_vec(), &["not a zip file"]),
        (
            cache_json(&guest().buffers).into_bytes(),
            &["not a zip file"],
        ),
        (good[..good.len() / 2].to_vec(), &["not a zip file"]),
        (good[..good.len() - 1].to_vec(), &["not a zip file"]),
        (flipped, &[]),
        (
            zip(&[], CompressionMethod::Stored),
            &["the archive holds no files"],
        ),
        (
            zip(&no_meta, CompressionMethod::Stored),
            &["define/define_meta.yaml is missing"],
        ),
        (with_meta(b""), &["define/define_meta.yaml"]),
        (with_meta(b"a: [1, 2"), &["define/define_meta.yaml"]),
        (with_meta(b"\xff\xfe\x00"), &["define/define_meta.yaml"]),
        (with_meta(b"describe: x\n"), &["has no model_proto"]),
        (with_meta(b"model_proto:\n"), &["has no model_proto"]),
        (with_meta(b"model_proto: {}\n"), &["there are no buffers"]),
        (
            with_meta(b"model_proto: [a]\n"),
            &["define/define_meta.yaml", "model_proto"],
        ),
        (
            with_meta(b"model_proto: {a: {b: c}}\n"),
            &["define/define_meta.yaml", "model_proto"],
        ),
        (
            with_meta(b"model_proto: {a: {b: {? [c] : d}}}\n"),
            &["define/define_meta.yaml", "model_proto"],
        ),
    ];
    for (n, (bytes, expected)) in cases.iter().enumerate() {
        let path = import_file(&folder, &format!("{n}.zip"), bytes);
        assert_refused(&models, "FILE", &path, &["archive ", &format!("{n}.zip")]).await;
        assert_refused(&models, "FILE", &path, expected).await;
    }
    assert_eq!(models.snapshot().models().count(), 0);
}

#[tokio::test]
async fn an_archive_with_names_that_lead_out_of_it_is_refused() {
    let (folder, settings) = node();
    let models = open(&settings).await;
    for name in [
        "../escaped",
        "/tmp/escaped",
        "a/../../escaped",
        "..\\escaped",
        "\\escaped",
        "C:escaped",
        "a/..",
    ] {
        let mut entries = entries(Flow::V1_4, &guest().buffers);
        entries.push((name.to_owned(), b"x".to_vec()));
        let bytes = zip(&entries, CompressionMethod::Stored);
        let path = import_file(&folder, "slip.zip", &bytes);
        assert_refused(
            &models,
            "FILE",
            &path,
            &["leads out of the archive's folder"],
        )
        .await;
    }
    assert_eq!(paths_below(folder.path(), "escaped"), 0);
}

fn paths_below(folder: &Path, name: &str) -> usize {
    let entries = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    entries
        .map(|path| {
            let own = usize::from(path.file_name().unwrap().to_str().unwrap().contains(name));
            own + if path.is_dir() {
                paths_below(&path, name)
            } else {
                0
            }
        })
        .sum()
}

#[tokio::test]
async fn bombs_are_refused_before_they_grow() {
    let (folder, mut settings) = node();
    settings.max_model_bytes = 1 << 20;
    let models = open(&settings).await;
    let zeros = vec![0; 64 << 20];
    let all = entries(Flow::V1_11, &guest().buffers);
    let replaced = |name: &str, bytes: &[u8]| {
        let mut entries = all.clone();
        let entry = entries.iter_mut().find(|(known, _)| known == name).unwrap();
        entry.1 = bytes.to_vec();
        zip(&entries, CompressionMethod::Deflated)
    };
    let buffer = "variables/data/pipeline/pipeline/Pipeline";
    let bomb = replaced(buffer, &zeros);
    assert!(bomb.len() < 200_000, "{}", bomb.len());
    // The directory says one byte; what is unpacked counts.
    let mut lying = bomb.clone();
    let size = (64u32 << 20).to_le_bytes();
    let at = lying.windows(4).rposition(|window| window == size).unwrap();
    lying[at..at + 4].copy_from_slice(&1u32.to_le_bytes());
    let over = format!("{buffer}: the unpacked buffers exceed the limit of");
    let meta_over = "define/define_meta.yaml: the unpacked buffers exceed the limit of";
    // References to references: a few kilobytes that stand for billions of names.
    let names: String = (0..9_000).map(|n| format!("n{n}: 0, ")).collect();
    let references: String = (0..9_000).map(|n| format!("  c{n}: *a\n")).collect();
    let many = format!("model_proto:\n  c: &a {{b: {{{names}}}}}\n{references}");
    let long = format!("model_proto: {{{}: {{}}}}", "x".repeat(300));
    let nested = format!("model_proto: {}", "[".repeat(200_000));
    let deep = format!("model_proto: {}", "{a: ".repeat(50_000));
    // As many brackets as are allowed, and as many tokens behind them as there is room for.
    let slow = format!("model_proto: {}{}", "[".repeat(2048), "a,".repeat(120_000));
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (bomb, &over),
        (lying, buffer),
        (replaced("define/define_meta.yaml", &zeros), meta_over),
        (with_meta(many.as_bytes()), "more than 100000 names"),
        (with_meta(long.as_bytes()), "a name longer than 255 bytes"),
        (with_meta(nested.as_bytes()), "more than 2048 brackets"),
        (with_meta(deep.as_bytes()), "more than 2048 brackets"),
        (with_meta(slow.as_bytes()), "define/define_meta.yaml"),
        (vec![b'P'; (4 << 20) + 1], "more than four times the limit"),
    ];
    for (n, (bytes, expected)) in cases.iter().enumerate() {
        let path = import_file(&folder, &format!("bomb{n}.zip"), bytes);
        let started = Instant::now();
        assert_refused(&models, "FILE", &path, &[expected]).await;
        assert!(
            // Bombs that go off take minutes; a busy machine takes seconds for what is refused.
            started.elapsed() < Duration::from_secs(90),
            "bomb {n}: {:?}",
            started.elapsed()
        );
    }
    let buffers: String = (0..100_001).map(|n| format!("\"{n}\":\"\",")).collect();
    let path = import_file(
        &folder,
        "bomb",
        format!("{{{}\"x\":\"\"}}", buffers).as_bytes(),
    );
    assert_refused(&models, "CACHE", &path, &["more than 100000 buffers"]).await;
}
