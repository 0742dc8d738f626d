//! Archives of FATE-Flow. Input: a mode, then a zip file as it is, or the entries of one that is zipped here so that
//! checksums fit: flags, then the listing and every other entry as parts, names before contents.
//!
//! Promises: an archive is refused, or gives buffers within the limit that compile to one verdict.

use std::io::{Cursor, Write as _};

use fate_domain::party::Role;
use fate_inference::{Semantics, Site};
use fate_model::foreign;
use zip::CompressionMethod;
use zip::write::{SimpleFileOptions, ZipWriter};

use super::buffers::compiled;
use super::{is_repeated, take_byte, take_part};

/// Of all buffers together.
const MAX_BYTES: u64 = 64 << 10;

/// Mode of an input that is a zip file.
pub(super) const ZIPPED: u8 = 0;
/// Mode of an input that holds entries; one more for entries without compression.
pub(super) const ENTRIES: u8 = 1;

pub(super) fn run(mut input: &[u8]) {
    let is_repeated = is_repeated(input);
    match take_byte(&mut input) {
        ZIPPED => read(input, is_repeated),
        mode => {
            if let Some(archive) = zip(input, mode == ENTRIES) {
                read(&archive, is_repeated);
            }
        }
    }
}

fn read(archive: &[u8], is_repeated: bool) {
    let first = foreign::archive(archive, MAX_BYTES);
    if is_repeated {
        assert_eq!(first, foreign::archive(archive, MAX_BYTES));
    }
    let buffers = match first {
        Ok(buffers) => buffers,
        Err(cause) => return assert!(!cause.is_empty()),
    };
    let total: usize = buffers.values().map(|buffer| buffer.len()).sum();
    assert!(!buffers.is_empty() && total as u64 <= MAX_BYTES);
    let site = Site {
        role: Role::Guest,
        party_id: "9999".to_owned(),
        hosts: vec!["10000".to_owned()],
    };
    let _ = compiled(&buffers, &site, Semantics::Fate, is_repeated);
}

/// `None` when the writer does not take the entries.
pub(super) fn zip(mut input: &[u8], deflated: bool) -> Option<Vec<u8>> {
    let method = if deflated {
        CompressionMethod::Deflated
    } else {
        CompressionMethod::Stored
    };
    let options = SimpleFileOptions::default().compression_method(method);
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    let mut entry = |name: &str, bytes: &[u8]| {
        writer.start_file(name, options).ok()?;
        writer.write_all(bytes).ok()
    };
    entry("define/define_meta.yaml", take_part(&mut input))?;
    while !input.is_empty() {
        let name = String::from_utf8_lossy(take_part(&mut input)).into_owned();
        entry(&name, take_part(&mut input))?;
    }
    Some(writer.finish().ok()?.into_inner())
}
