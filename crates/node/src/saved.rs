//! The last good state on disk: the frames as they came. A file begins with everything, and every commit since is
//! appended; when that has become much, everything is fetched and saved anew.
//!
//! Everything is written beside the file and takes its place in one step. An append that was cut short is cut off, at the next
//! start where a power failure did it: its commit comes again. Anything else that is wrong is damage, and a damaged
//! file is not used.

mod read;
mod saver;

use std::path::{Path, PathBuf};

pub use read::{Saved, load};
pub use saver::Saver;

use tollgate_core::feed::FORMAT;

const FILE: &str = "node.state";
const MAGIC: &[u8; 20] = b"tollgate node state\n";

fn file(directory: &Path) -> PathBuf {
    directory.join(FILE)
}

/// What every file begins with.
fn preamble() -> Vec<u8> {
    [&MAGIC[..], &FORMAT.to_le_bytes()].concat()
}

/// What was saved, or nothing; where it cannot be used, the log says why and what to do.
pub fn load_or_explain(directory: &Path) -> Option<Saved> {
    match load(&file(directory)) {
        Ok(saved) => saved,
        Err(damage) => {
            tracing::error!(
                file = %file(directory).display(),
                error = %damage,
                "the saved state cannot be used, so everything is fetched from the control plane; where that cannot \
                 be reached, this node serves nothing: put a good copy of the file back and start again"
            );
            None
        }
    }
}

#[cfg(test)]
mod tests;
