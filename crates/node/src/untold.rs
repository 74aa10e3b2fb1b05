//! What the control plane had not been told when the node ended, kept for the node's next start.

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};
use tollgate_core::event::LimitCrossed;
use uuid::Uuid;

use crate::coming::Coming;
use crate::uses::KeptUses;

const FILE: &str = "node.untold";

#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub struct Untold {
    /// Under which the batches of uses are numbered: one whose answer was lost is still told once.
    pub session: Uuid,
    pub uses: KeptUses,
    pub crossed: Vec<LimitCrossed>,
}

impl Untold {
    pub const fn is_empty(&self) -> bool {
        self.uses.is_empty() && self.crossed.is_empty()
    }

    /// What was kept, which it is no longer: told twice it would count twice. What is damaged is left out, and said in the
    /// log.
    pub fn take(directory: &Path) -> Option<Self> {
        let file = directory.join(FILE);
        let read = match File::open(&file) {
            Ok(opened) => serde_json::from_reader(BufReader::new(opened)).map_err(io::Error::other),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => Err(error),
        };
        let taken = read.and_then(|untold| fs::remove_file(&file).map(|()| untold));
        taken.inspect_err(|error| {
            tracing::error!(file = %file.display(), %error, "what the control plane was not told before cannot be read, and is lost");
        }).ok()
    }

    /// Whole or not at all.
    pub fn keep(&self, directory: &Path) -> io::Result<()> {
        let (coming, file) = Coming::begin(&directory.join(FILE))?;
        let mut writer = BufWriter::new(file);
        serde_json::to_writer(&mut writer, self)?;
        writer.flush()?;
        writer.get_ref().sync_all()?;
        coming.take_place()?.make_name_last()
    }
}

#[cfg(test)]
mod tests {
    use tollgate_core::resource::KeyId;
    use tollgate_core::usage::KeyUsage;

    use super::*;
    use crate::crossings::tests::crossed;
    use crate::uses::{Uses, Which};

    fn untold() -> Untold {
        let mut uses = Uses::default();
        let usage = KeyUsage { last_used_secs: 100, requests: 3, rejections: 1 };
        uses.note(vec![(KeyId(Uuid::from_u128(1)), usage)]);
        uses.next(Which::All, 100);
        uses.note(vec![(KeyId(Uuid::from_u128(2)), usage)]);
        Untold { session: Uuid::from_u128(7), uses: uses.into_kept(), crossed: crossed(0..3) }
    }

    #[test]
    fn what_was_kept_is_taken_once() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(Untold::take(directory.path()), None);
        untold().keep(directory.path()).unwrap();
        assert_eq!(Untold::take(directory.path()), Some(untold()));
        assert_eq!(Untold::take(directory.path()), None);
    }

    #[test]
    fn what_is_damaged_is_left_out() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join(FILE);
        untold().keep(directory.path()).unwrap();
        let whole = fs::read(&file).unwrap();
        for damaged in [&b""[..], b"{}", &whole[..whole.len() / 2]] {
            fs::write(&file, damaged).unwrap();
            assert_eq!(Untold::take(directory.path()), None);
        }
    }
}
