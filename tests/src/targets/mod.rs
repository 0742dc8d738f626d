//! What the fuzzer does with a piece of input: one function per door through which strangers' bytes come in.
//!
//! A target panics when a promise is broken. That nothing panics, hangs or allocates without bound is the least of them;
//! each file says what else holds.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a target fails by panicking"
)]

mod archive;
mod buffers;
mod dsl;
mod exchange;
mod java;
mod made;
mod models;
mod packet;
mod reply;
mod request;
mod routes;
pub mod seeds;

/// One target.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Also the name of its corpus.
    pub name: &'static str,
    /// Longest input worth trying, in bytes.
    pub max_len: usize,
    pub run: fn(&[u8]),
}

/// All of them.
pub const TARGETS: &[Target] = &[
    Target {
        name: "buffers",
        max_len: 4096,
        run: buffers::run,
    },
    Target {
        name: "dsl",
        max_len: 4096,
        run: dsl::run,
    },
    Target {
        name: "archive",
        max_len: 4096,
        run: archive::run,
    },
    Target {
        name: "java",
        max_len: 4096,
        run: java::run,
    },
    Target {
        name: "request",
        max_len: 2048,
        run: request::run,
    },
    Target {
        name: "reply",
        max_len: 2048,
        run: reply::run,
    },
    Target {
        name: "routes",
        max_len: 4096,
        run: routes::run,
    },
    Target {
        name: "packet",
        max_len: 2048,
        run: packet::run,
    },
];

/// The target of that name.
pub fn target(name: &str) -> Option<Target> {
    TARGETS.iter().find(|target| target.name == name).copied()
}

/// Takes `count` bytes from the front; fewer when there are fewer.
fn take<'a>(input: &mut &'a [u8], count: usize) -> &'a [u8] {
    let (taken, rest) = input.split_at(count.min(input.len()));
    *input = rest;
    taken
}

fn take_byte(input: &mut &[u8]) -> u8 {
    take(input, 1).first().copied().unwrap_or(0)
}

/// Little endian.
fn take_u16(input: &mut &[u8]) -> u16 {
    let mut bytes = [0; 2];
    let taken = take(input, 2);
    bytes[..taken.len()].copy_from_slice(taken);
    u16::from_le_bytes(bytes)
}

/// A part of its own: its length in two bytes, then its bytes.
fn take_part<'a>(input: &mut &'a [u8]) -> &'a [u8] {
    let length = take_u16(input);
    take(input, usize::from(length))
}

/// Whether this input is among the fourth that is looked at twice: what must not differ between two times rarely does,
/// and the other inputs are quicker.
fn is_repeated(input: &[u8]) -> bool {
    input.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte)) & 3 == 0
}

/// How an input names a class or a set, whatever others there are.
fn tag(name: &str) -> u16 {
    let hash = name.bytes().fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    });
    (hash ^ hash >> 16) as u16
}

/// The position of the name with that tag, or of any: no input is without one. There is at least one name.
fn tagged<'a>(names: impl ExactSizeIterator<Item = &'a str>, of: u16) -> usize {
    let any = usize::from(of) % names.len();
    let mut names = names;
    names.position(|name| tag(name) == of).unwrap_or(any)
}
