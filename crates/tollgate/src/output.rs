//! What is said on standard output and standard error.

use std::io::{self, Write};

/// Where something is said.
#[derive(Debug, Clone, Copy)]
pub enum Stream {
    Output,
    Error,
}

#[derive(Debug, thiserror::Error)]
#[error("standard {} cannot be written to", match stream { Stream::Output => "output", Stream::Error => "error" })]
pub struct Unwritable {
    stream: Stream,
    source: io::Error,
}

impl Stream {
    /// What is lost if nobody sees it: a pipe that nobody reads is an error here too. Text that brings its own line ends.
    pub fn show(self, text: &str) -> Result<(), Unwritable> {
        let written = match self {
            Self::Output => write(io::stdout().lock(), text),
            Self::Error => write(io::stderr().lock(), text),
        };
        written.map_err(|source| Unwritable { stream: self, source })
    }
}

/// What a command was run for.
pub fn line(text: &str) -> Result<(), Unwritable> {
    self::text(&format!("{text}\n"))
}

/// The same, of text that brings its own line ends. Who closes a pipe has read enough.
pub fn text(text: &str) -> Result<(), Unwritable> {
    match Stream::Output.show(text) {
        Err(error) if error.source.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        outcome => outcome,
    }
}

/// What a server says of itself: it serves on where nobody hears it.
pub fn announce(text: &str) {
    drop(line(text));
}

/// There is no other place to complain to.
pub fn error(text: &str) {
    drop(Stream::Error.show(&format!("{text}\n")));
}

fn write(mut stream: impl Write, text: &str) -> io::Result<()> {
    stream.write_all(text.as_bytes())?;
    stream.flush()
}
