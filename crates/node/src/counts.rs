//! What limits have counted here, kept over a restart: batches in a file, each behind its length, its checksum, and the
//! checksum of these two, so that a damaged length does not read as a batch whose end is missing. Of several records
//! of a window the last counts; now and then the batches are merged into one.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use tollgate_core::limit::{CounterRecord, Subject, Window};
use tollgate_core::time::UnixMicros;
use tollgate_core::uptime::micros;
use tollgate_counters::packed;

use crate::coming::{Coming, append_to};

const FILE: &str = "node.counters";
const HEADER_BYTES: usize = 12;

pub struct Counts {
    path: PathBuf,
    file: File,
    batches: usize,
    /// What could not be written yet.
    unsaved: Vec<CounterRecord>,
    /// While it cannot be written, until when what the file has of each window counts.
    on_disk: Option<HashMap<(Subject, Window), UnixMicros>>,
}

/// What a file holds, up to its end or to what does not read.
struct Kept {
    newest: HashMap<(Subject, Window), CounterRecord>,
    batches: usize,
    good_bytes: usize,
    is_damaged: bool,
}

impl Counts {
    /// What was kept comes beside it; what is over too, as the clock may be ahead just now.
    pub fn open(directory: &Path) -> io::Result<(Self, Vec<CounterRecord>)> {
        let path = directory.join(FILE);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error),
        };
        let kept = read(&bytes);
        if kept.is_damaged {
            tracing::error!(
                file = %path.display(),
                at = kept.good_bytes,
                "the kept counts are damaged: what stands behind is not counted, so limits may allow more than they \
                 should until their periods are over"
            );
        }
        Coming::clear(&path)?;
        let file = append_to(&path)?;
        // Behind the last batch there may be the beginning of another.
        file.set_len(u64::try_from(kept.good_bytes).unwrap_or(u64::MAX))?;
        let records = kept.newest.into_values().collect();
        Ok((Self { path, file, batches: kept.batches, unsaved: Vec::new(), on_disk: None }, records))
    }

    /// Keeps what has changed; what fails is logged, and tried again with the next.
    pub fn append(&mut self, records: Vec<CounterRecord>) {
        self.unsaved.extend(records);
        if self.unsaved.is_empty() {
            return;
        }
        match self.write() {
            Ok(()) => {
                self.unsaved.clear();
                self.on_disk = None;
            }
            Err(error) => {
                self.forget_unsaved(now());
                tracing::error!(%error, "counts could not be kept");
            }
        }
    }

    /// Nothing is kept twice, nor for longer than it counts, however long the disk is full. What takes the place of a count that lasts
    /// longer waits for as long as that.
    fn forget_unsaved(&mut self, now: UnixMicros) {
        let mut unsaved = newest(std::mem::take(&mut self.unsaved));
        if unsaved.values().any(|record| record.over_at() <= now) {
            // Where the file cannot be read either, it is not known what it would bring back.
            if self.on_disk.is_none()
                && let Ok(bytes) = fs::read(&self.path)
            {
                let lasting = read(&bytes).newest.into_iter().map(|(key, record)| (key, record.over_at()));
                self.on_disk = Some(lasting.collect());
            }
            let on_disk = self.on_disk.as_ref();
            let comes_back = |key: &_| {
                on_disk.is_none_or(|on_disk| on_disk.get(key).is_some_and(|over_at| now < *over_at))
            };
            unsaved.retain(|key, record| now < record.over_at() || comes_back(key));
        }
        self.unsaved = unsaved.into_values().collect();
    }

    /// Whether nothing waits to be kept.
    pub const fn are_kept(&self) -> bool {
        self.unsaved.is_empty()
    }

    /// Merges all batches into one, without what is over.
    pub fn merge(&mut self, now: UnixMicros) {
        if self.batches > 1
            && let Err(error) = self.rewrite(now)
        {
            tracing::error!(%error, "the kept counts could not be merged");
        }
    }

    fn write(&mut self) -> io::Result<()> {
        let before = self.file.metadata()?.len();
        let written = self.file.write_all(&batch(&self.unsaved)?).and_then(|()| self.file.sync_data());
        if written.is_err() {
            // Half a batch would hide those behind it.
            self.file.set_len(before)?;
        } else {
            self.batches += 1;
        }
        written
    }

    fn rewrite(&mut self, now: UnixMicros) -> io::Result<()> {
        let mut kept = read(&fs::read(&self.path)?).newest;
        kept.retain(|_, record| now < record.over_at());
        let records: Vec<CounterRecord> = kept.into_values().collect();
        let (coming, mut file) = Coming::begin(&self.path)?;
        if !records.is_empty() {
            file.write_all(&batch(&records)?)?;
        }
        file.sync_all()?;
        let placed = coming.take_place()?;
        self.batches = usize::from(!records.is_empty());
        self.file = file;
        self.on_disk = None;
        placed.make_name_last()
    }
}

pub fn now() -> UnixMicros {
    // A clock before 1970 is a clock that is not set.
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMicros(micros(since_epoch))
}

fn batch(records: &[CounterRecord]) -> io::Result<Vec<u8>> {
    let content = packed::pack(records);
    let length = u32::try_from(content.len()).map_err(io::Error::other)?;
    let fields = [length.to_le_bytes(), crc32fast::hash(&content).to_le_bytes()].concat();
    Ok([&fields[..], &crc32fast::hash(&fields).to_le_bytes(), &content].concat())
}

fn read(bytes: &[u8]) -> Kept {
    let mut kept = Kept { newest: HashMap::new(), batches: 0, good_bytes: 0, is_damaged: false };
    loop {
        match next_batch(&bytes[kept.good_bytes..]) {
            Next::Batch { records, bytes } => {
                kept.newest.extend(newest(records));
                kept.batches += 1;
                kept.good_bytes += bytes;
            }
            Next::CutShort => return kept,
            Next::Damaged => {
                kept.is_damaged = true;
                return kept;
            }
        }
    }
}

/// What stands at the beginning of some bytes.
enum Next {
    Batch {
        records: Vec<CounterRecord>,
        bytes: usize,
    },
    /// Nothing, or a batch that was cut short by the end of the process.
    CutShort,
    Damaged,
}

fn next_batch(bytes: &[u8]) -> Next {
    let Some((header, rest)) = bytes.split_first_chunk::<HEADER_BYTES>() else { return Next::CutShort };
    let (fields, own) = header.split_at(8);
    let ([length, checksum], []) = fields.as_chunks::<4>() else { return Next::Damaged };
    if crc32fast::hash(fields).to_le_bytes() != *own {
        return Next::Damaged;
    }
    let Some(content) =
        usize::try_from(u32::from_le_bytes(*length)).ok().and_then(|length| rest.get(..length))
    else {
        return Next::CutShort;
    };
    if crc32fast::hash(content) != u32::from_le_bytes(*checksum) {
        return Next::Damaged;
    }
    match packed::unpack(content) {
        Ok(records) => Next::Batch { records, bytes: HEADER_BYTES + content.len() },
        Err(_) => Next::Damaged,
    }
}

fn newest(records: Vec<CounterRecord>) -> HashMap<(Subject, Window), CounterRecord> {
    records.into_iter().map(|record| ((record.subject, record.window), record)).collect()
}

#[cfg(test)]
mod tests;
