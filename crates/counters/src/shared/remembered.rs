//! What a node last heard of the others, kept over a restart: one that starts while the store is away has the share that
//! it had, and not the whole of every limit.

use std::io;
use std::mem;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use tollgate_core::limit::Share;

pub struct Remembered {
    /// How many nodes there were, and which of them this was.
    file: Option<PathBuf>,
    last: Option<Share>,
    /// Whether the last write failed: a full disk is reported once, not with every word from the store.
    failing: bool,
}

impl Remembered {
    /// What does not read is not known.
    pub fn open(file: Option<PathBuf>) -> Self {
        let last = file.as_deref().and_then(read);
        Self { file, last, failing: false }
    }

    pub const fn share(&self) -> Option<Share> {
        self.last
    }

    pub fn note(&mut self, share: Share) {
        if self.last.replace(share) == Some(share) {
            return;
        }
        let Some(file) = &self.file else { return };
        let written = write(file, share);
        let (file, was_failing) = (file.display(), mem::replace(&mut self.failing, written.is_err()));
        match written {
            Ok(()) if was_failing => tracing::info!(%file, "how many nodes count together is kept again"),
            Ok(()) => {}
            Err(error) => {
                // It is tried again with the next word from the store.
                self.last = None;
                if !was_failing {
                    tracing::error!(%file, %error, "how many nodes count together could not be kept for a restart");
                }
            }
        }
    }
}

fn read(file: &Path) -> Option<Share> {
    let text = std::fs::read_to_string(file).ok()?;
    let (nodes, rank) = text.trim_end().split_once(' ')?;
    Some(Share::new(NonZeroU32::new(nodes.parse().ok()?)?, rank.parse().ok()?))
}

/// Whole or not at all.
fn write(file: &Path, share: Share) -> io::Result<()> {
    let coming = file.with_extension("coming");
    std::fs::write(&coming, format!("{} {}\n", share.nodes(), share.rank()))?;
    std::fs::rename(coming, file)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(nodes: u32, rank: u32) -> Share {
        Share::new(NonZeroU32::new(nodes).unwrap(), rank)
    }

    #[test]
    fn what_was_noted_last_is_there_after_a_restart() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("nodes");
        let opened = || Remembered::open(Some(file.clone()));
        assert_eq!(opened().share(), None);
        let mut remembered = opened();
        remembered.note(share(3, 1));
        remembered.note(share(2, 0));
        assert_eq!(opened().share(), Some(share(2, 0)));
        for damaged in ["", "0 0", "3", "3 x", "\u{0}"] {
            std::fs::write(&file, damaged).unwrap();
            assert_eq!(opened().share(), None, "{damaged:?}");
        }
    }

    #[test]
    fn what_cannot_be_kept_is_tried_again() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("later").join("nodes");
        let mut remembered = Remembered::open(Some(file.clone()));
        remembered.note(share(3, 1));
        assert!(remembered.failing);
        std::fs::create_dir(directory.path().join("later")).unwrap();
        remembered.note(share(3, 1));
        assert!(!remembered.failing);
        assert_eq!(Remembered::open(Some(file)).share(), Some(share(3, 1)));
    }
}
