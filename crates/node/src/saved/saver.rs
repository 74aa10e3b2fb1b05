//! Writing the saved state, on a thread of its own: what is in force never waits for the disk.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::{Saved, file, preamble};
use crate::coming::{Coming, append_to};

/// Commits reach the disk within this time.
const SYNC_EVERY: Duration = Duration::from_secs(2);
/// Pieces that may wait for the disk: of a full state, the one who brings them waits; of commits, so many mean
/// that the disk does not keep up, and saving is given up until everything is saved anew.
const PIECES_AHEAD: usize = 256;
const RETRY: Duration = Duration::from_millis(5);
/// Everything is saved anew once the commits have as many bytes as what they change, but not before this.
const FEW_COMMIT_BYTES: u64 = 16 << 20;

enum Piece {
    /// Everything follows.
    Begin,
    /// A part of everything.
    Add(Bytes),
    /// The commit that makes it a whole.
    Finish(Bytes),
    /// What was begun does not come to an end.
    Abandon,
    /// A commit with its changes.
    Append(Vec<Bytes>),
}

/// There is no room for a piece now.
struct NoRoom;

#[derive(PartialEq, Eq)]
enum Next {
    GoOn,
    End,
}

pub struct Saver {
    /// Taken away at the end.
    pieces: Option<SyncSender<Piece>>,
    /// A commit was left out: those behind it would make no sense on the disk.
    has_gap: AtomicBool,
    /// The file cannot be written, or has grown far beyond what it stands for.
    is_stale: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Saver {
    /// Goes on after what was loaded.
    pub fn start(directory: &Path, saved: Option<&Saved>) -> io::Result<Self> {
        let is_stale = Arc::new(AtomicBool::new(false));
        let mut writer = Writer::open(directory, saved)?;
        let (sender, pieces) = sync_channel(PIECES_AHEAD);
        let flag = Arc::clone(&is_stale);
        let thread = thread::Builder::new()
            .name("saver".to_owned())
            .spawn(move || while writer.go_on(&pieces, &flag) == Next::GoOn {})?;
        Ok(Self { pieces: Some(sender), has_gap: AtomicBool::new(false), is_stale, thread: Some(thread) })
    }

    /// Whether everything should be fetched, to be saved anew.
    pub fn wants_everything(&self) -> bool {
        self.has_gap.load(Ordering::Relaxed) || self.is_stale.load(Ordering::Relaxed)
    }

    pub async fn begin(&self) {
        self.hand_over(Piece::Begin).await;
    }

    pub async fn add(&self, raw: Bytes) {
        self.hand_over(Piece::Add(raw)).await;
    }

    pub async fn finish(&self, raw: Bytes) {
        self.hand_over(Piece::Finish(raw)).await;
        self.has_gap.store(false, Ordering::Relaxed);
    }

    pub fn abandon(&self) {
        // Where there is no room, the next beginning does as well.
        let _left_out = self.try_hand_over(Piece::Abandon);
    }

    pub fn append(&self, raw: Vec<Bytes>) {
        if self.has_gap.load(Ordering::Relaxed) {
            return;
        }
        if self.try_hand_over(Piece::Append(raw)).is_err() {
            self.has_gap.store(true, Ordering::Relaxed);
            tracing::error!("the disk does not keep up: what is saved stays as it is until it is saved anew");
        }
    }

    /// Waits for the disk, though not for ever: a thread that has died takes nothing any more.
    async fn hand_over(&self, mut piece: Piece) {
        let Some(pieces) = &self.pieces else { return };
        loop {
            match pieces.try_send(piece) {
                Ok(()) | Err(TrySendError::Disconnected(_)) => return,
                Err(TrySendError::Full(back)) => {
                    piece = back;
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
    }

    fn try_hand_over(&self, piece: Piece) -> Result<(), NoRoom> {
        self.pieces.as_ref().ok_or(NoRoom)?.try_send(piece).map_err(|_| NoRoom)
    }
}

impl Drop for Saver {
    /// Waits until everything is on the disk.
    fn drop(&mut self) {
        drop(self.pieces.take());
        if let Some(thread) = self.thread.take() {
            // A panic there went to the panic hook.
            drop(thread.join());
        }
    }
}

struct Writer {
    directory: PathBuf,
    /// What commits are appended to; nothing where they would make no sense.
    current: Option<BufWriter<File>>,
    /// Everything, as it comes.
    coming: Option<(Coming, BufWriter<File>)>,
    base_bytes: u64,
    commit_bytes: u64,
    /// Up to the end of the last commit of which it is known that it has come to the file.
    whole_bytes: u64,
    /// Since when something waits for the disk.
    unsynced_since: Option<Instant>,
}

impl Writer {
    fn open(directory: &Path, saved: Option<&Saved>) -> io::Result<Self> {
        let mut writer = Self {
            directory: directory.to_owned(),
            current: None,
            coming: None,
            base_bytes: 0,
            commit_bytes: 0,
            whole_bytes: 0,
            unsynced_since: None,
        };
        Coming::clear(&file(directory))?;
        if let Some(saved) = saved {
            let current = append_to(&file(directory))?;
            // Behind the last commit there may be the beginning of another.
            current.set_len(saved.bytes)?;
            writer.current = Some(BufWriter::new(current));
            writer.base_bytes = saved.base_bytes;
            writer.commit_bytes = saved.bytes - saved.base_bytes;
            writer.whole_bytes = saved.bytes;
        }
        Ok(writer)
    }

    /// Takes the next piece, or brings to the disk what has waited long enough.
    fn go_on(&mut self, pieces: &Receiver<Piece>, is_stale: &AtomicBool) -> Next {
        let piece = match self.sync_due() {
            Some(due) => pieces.recv_timeout(due.saturating_duration_since(Instant::now())),
            None => pieces.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        let (outcome, next) = match piece {
            Ok(piece) => (self.take(piece, is_stale), Next::GoOn),
            Err(RecvTimeoutError::Timeout) => (self.sync(), Next::GoOn),
            Err(RecvTimeoutError::Disconnected) => (self.sync(), Next::End),
        };
        if let Err(error) = outcome {
            tracing::error!(%error, "the state cannot be saved: what is saved stays as it is until it is saved anew");
            is_stale.store(true, Ordering::Relaxed);
            if let Err(error) = self.give_up() {
                tracing::warn!(%error, "a commit that was saved in part stays until the next start");
            }
        }
        next
    }

    fn take(&mut self, piece: Piece, is_stale: &AtomicBool) -> io::Result<()> {
        match piece {
            Piece::Begin => {
                // One that was not brought to its end goes before the next has its name.
                self.coming = None;
                let (coming, file) = Coming::begin(&file(&self.directory))?;
                let mut writer = BufWriter::with_capacity(1 << 20, file);
                writer.write_all(&preamble())?;
                self.coming = Some((coming, writer));
            }
            Piece::Add(raw) => {
                if let Some((_, writer)) = &mut self.coming {
                    writer.write_all(&raw)?;
                }
            }
            Piece::Abandon => self.coming = None,
            Piece::Finish(raw) => {
                if let Some((coming, mut writer)) = self.coming.take() {
                    writer.write_all(&raw)?;
                    self.replace(coming, writer)?;
                    is_stale.store(false, Ordering::Relaxed);
                }
            }
            Piece::Append(raw) => self.append(&raw, is_stale)?,
        }
        Ok(())
    }

    fn replace(&mut self, coming: Coming, mut writer: BufWriter<File>) -> io::Result<()> {
        writer.flush()?;
        writer.get_ref().sync_all()?;
        coming.take_place()?.make_name_last()?;
        self.base_bytes = writer.get_ref().metadata()?.len();
        self.commit_bytes = 0;
        self.whole_bytes = self.base_bytes;
        self.unsynced_since = None;
        self.current = Some(writer);
        Ok(())
    }

    fn append(&mut self, raw: &[Bytes], is_stale: &AtomicBool) -> io::Result<()> {
        let Some(current) = &mut self.current else { return Ok(()) };
        for piece in raw {
            current.write_all(piece)?;
            self.commit_bytes += u64::try_from(piece.len()).unwrap_or(u64::MAX);
        }
        self.unsynced_since.get_or_insert_with(Instant::now);
        if self.commit_bytes > self.base_bytes.max(FEW_COMMIT_BYTES) {
            is_stale.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    fn sync_due(&self) -> Option<Instant> {
        self.unsynced_since.map(|since| since + SYNC_EVERY)
    }

    fn sync(&mut self) -> io::Result<()> {
        if self.unsynced_since.take().is_some()
            && let Some(current) = &mut self.current
        {
            current.flush()?;
            current.get_ref().sync_data()?;
            self.whole_bytes = self.base_bytes + self.commit_bytes;
        }
        Ok(())
    }

    /// What is on the disk stays as it is: older than what is in force, and whole. What is of no use there goes: the
    /// disk may be full, and others have something to keep.
    fn give_up(&mut self) -> io::Result<()> {
        self.coming = None;
        self.unsynced_since = None;
        let Some(current) = self.current.take() else { return Ok(()) };
        // What waits in memory would be written, were it dropped as it is.
        let (current, _unwritten) = current.into_parts();
        current.set_len(self.whole_bytes)
    }
}
