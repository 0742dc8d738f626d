//! Results on stdout.

use std::io::{self, ErrorKind, Write as _};

/// Form of a command's answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Output {
    #[default]
    Text,
    Json,
}

/// Writes a result. `println!` would panic when the reader has gone (`… | head`), which is no failure.
pub(crate) fn print(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
    {
        Err(cause) if cause.kind() == ErrorKind::BrokenPipe => Ok(()),
        done => done,
    }
}

/// Text of somebody else's file, safe for a terminal: control characters are escaped.
pub(crate) fn plain(text: &str) -> String {
    text.chars()
        .fold(String::with_capacity(text.len()), |mut plain, c| {
            if c.is_control() {
                plain.extend(c.escape_default());
            } else {
                plain.push(c);
            }
            plain
        })
}
