//! Every input that the fuzzer keeps goes through its target once more.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall fail")]

use std::fs;
use std::path::Path;

use fate_tests::targets::TARGETS;

/// Whatever once was a finding stays in the corpus.
#[test]
fn the_corpus_keeps_all_promises() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    for target in TARGETS {
        let folder = corpus.join(target.name);
        let mut inputs = 0;
        for entry in fs::read_dir(&folder).unwrap() {
            (target.run)(&fs::read(entry.unwrap().path()).unwrap());
            inputs += 1;
        }
        assert!(inputs > 10, "{} has {inputs} inputs", folder.display());
    }
    let folders = fs::read_dir(&corpus).unwrap().count();
    assert_eq!(folders, TARGETS.len(), "every folder has a target");
}

/// Prefixes of real inputs are strange in other ways than a fuzzer's.
#[test]
fn cut_off_inputs_keep_all_promises() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    for target in TARGETS {
        let mut paths: Vec<_> = fs::read_dir(corpus.join(target.name))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        paths.sort();
        for path in paths.iter().step_by(3) {
            let bytes = fs::read(path).unwrap();
            for length in (0..bytes.len()).step_by(1 + bytes.len() / 20) {
                (target.run)(&bytes[..length]);
            }
        }
    }
}
