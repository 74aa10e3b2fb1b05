//! What is said on standard output and standard error. Where nobody reads it any more, there is nobody to tell:
//! a closed pipe is no reason to fail, let alone to panic as `println!` does.

use std::io::{self, Write};

pub fn line(text: &str) {
    write(io::stdout().lock(), &format!("{text}\n"));
}

/// Text that brings its own line ends.
pub fn text(text: &str) {
    write(io::stdout().lock(), text);
}

pub fn error(text: &str) {
    write(io::stderr().lock(), &format!("{text}\n"));
}

fn write(mut stream: impl Write, text: &str) {
    let written = stream.write_all(text.as_bytes()).and_then(|()| stream.flush());
    drop(written);
}
