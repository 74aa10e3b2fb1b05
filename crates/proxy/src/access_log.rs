//! The access log's way from the workers to its file: whole blocks through a bounded channel to one thread,
//! so that a slow disk slows no request. What does not fit is dropped, counted and reported.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::settings::AccessLog;

/// Blocks that may wait to be written.
const QUEUED_BLOCKS: usize = 256;
/// Written blocks kept for the next lines: memory that is given back and asked for again for every block is
/// cleared by the kernel every time.
const SPARE_BLOCKS: usize = 8;

/// While the end waits for the thread.
const END_LOOKS_EVERY: Duration = Duration::from_millis(5);

/// Between two reports of dropped lines.
const REPORT_PAUSE: Duration = Duration::from_secs(1);

type Spares = Arc<Mutex<Vec<Vec<u8>>>>;

enum Message {
    Lines(Vec<u8>),
    Reopen,
    Stop,
}

/// The workers' end.
pub(crate) struct AccessLogger {
    sender: Option<SyncSender<Message>>,
    /// Whether the file is to be opened anew.
    is_stale: Arc<AtomicBool>,
    dropped_bytes: Arc<AtomicU64>,
    spares: Spares,
}

/// Whoever reads the log has not read it to its end in time.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Stalled;

impl AccessLogger {
    /// Opens the log and starts its thread; neither where it is off.
    pub fn start(log: &AccessLog) -> io::Result<(Self, Option<JoinHandle<()>>)> {
        let (is_stale, dropped_bytes, spares) = <(Arc<AtomicBool>, Arc<AtomicU64>, Spares)>::default();
        let destination = match log {
            AccessLog::Off => return Ok((Self { sender: None, is_stale, dropped_bytes, spares }, None)),
            AccessLog::Stdout => Destination::Stdout,
            AccessLog::File(path) => Destination::File { file: open(path)?, path: path.clone() },
        };
        let (sender, receiver) = sync_channel(QUEUED_BLOCKS);
        let writer = Writer {
            destination,
            is_stale: Arc::clone(&is_stale),
            failing: false,
            reported: None,
            dropped_bytes: Arc::clone(&dropped_bytes),
            spares: Arc::clone(&spares),
        };
        let thread = thread::Builder::new().name("access-log".into()).spawn(move || writer.run(&receiver))?;
        Ok((Self { sender: Some(sender), is_stale, dropped_bytes, spares }, Some(thread)))
    }

    pub const fn is_on(&self) -> bool {
        self.sender.is_some()
    }

    /// Hands a block of whole lines over and leaves an empty one; never waits for the disk.
    pub fn write(&self, block: &mut Vec<u8>) {
        let Some(sender) = &self.sender else { return };
        let spare = self.spares.lock().pop().unwrap_or_default();
        let lines = std::mem::replace(block, spare);
        if let Err(
            TrySendError::Full(Message::Lines(lines)) | TrySendError::Disconnected(Message::Lines(lines)),
        ) = sender.try_send(Message::Lines(lines))
        {
            self.dropped_bytes.fetch_add(lines.len() as u64, Ordering::Relaxed);
        }
    }

    /// Opens the file anew, under the name it had: what log rotation needs.
    pub fn reopen(&self) {
        self.is_stale.store(true, Ordering::Release);
        // Where the queue is full, the thread is at work and needs no waking.
        drop(self.sender.as_ref().map(|sender| sender.try_send(Message::Reopen)));
    }

    /// Ends the thread after what was handed over before, if that is written in time.
    pub fn stop(&self, thread: JoinHandle<()>, within: Duration) -> Result<(), Stalled> {
        let deadline = Instant::now() + within;
        let mut is_told = false;
        while !thread.is_finished() {
            is_told =
                is_told || self.sender.as_ref().is_none_or(|sender| sender.try_send(Message::Stop).is_ok());
            if Instant::now() >= deadline {
                return Err(Stalled);
            }
            thread::sleep(END_LOOKS_EVERY);
        }
        // A panic there went to the panic hook.
        drop(thread.join());
        Ok(())
    }
}

enum Destination {
    Stdout,
    File { file: File, path: PathBuf },
}

struct Writer {
    destination: Destination,
    is_stale: Arc<AtomicBool>,
    /// Whether the last write failed: a full disk is reported once, not once a block.
    failing: bool,
    /// When dropped lines were last reported.
    reported: Option<Instant>,
    dropped_bytes: Arc<AtomicU64>,
    spares: Spares,
}

impl Writer {
    fn run(mut self, receiver: &Receiver<Message>) {
        for message in receiver {
            if self.is_stale.swap(false, Ordering::Acquire) {
                self.reopen();
            }
            match message {
                Message::Lines(lines) => {
                    self.write(&lines);
                    self.spare(lines);
                }
                Message::Reopen => {}
                Message::Stop => {
                    self.reported = None;
                    return self.report_dropped();
                }
            }
        }
    }

    fn write(&mut self, lines: &[u8]) {
        let outcome = match &mut self.destination {
            Destination::Stdout => io::stdout().lock().write_all(lines),
            Destination::File { file, .. } => file.write_all(lines),
        };
        match outcome {
            Ok(()) if self.failing => {
                self.failing = false;
                let dropped_bytes = self.dropped_bytes.swap(0, Ordering::Relaxed);
                tracing::warn!(dropped_bytes, "the access log can be written again");
            }
            Ok(()) => self.report_dropped(),
            Err(error) => {
                self.dropped_bytes.fetch_add(lines.len() as u64, Ordering::Relaxed);
                if !self.failing {
                    self.failing = true;
                    tracing::error!(%error, "the access log cannot be written: its lines are dropped until it can");
                }
            }
        }
    }

    /// Lines that found the queue full: the disk works, but is slower than the requests.
    fn report_dropped(&mut self) {
        // While it stays so, once in a while is often enough: the next report counts what came meanwhile.
        if self.dropped_bytes.load(Ordering::Relaxed) == 0
            || self.reported.is_some_and(|at| at.elapsed() < REPORT_PAUSE)
        {
            return;
        }
        self.reported = Some(Instant::now());
        let dropped_bytes = self.dropped_bytes.swap(0, Ordering::Relaxed);
        tracing::warn!(dropped_bytes, "the access log is written too slowly: lines were dropped");
    }

    fn spare(&self, mut block: Vec<u8>) {
        block.clear();
        let mut spares = self.spares.lock();
        if spares.len() < SPARE_BLOCKS {
            spares.push(block);
        }
    }

    fn reopen(&mut self) {
        if let Destination::File { file, path } = &mut self.destination {
            match open(path) {
                Ok(reopened) => *file = reopened,
                Err(error) => {
                    tracing::error!(%error, path = %path.display(), "the access log cannot be reopened");
                }
            }
        }
    }
}

fn open(path: &PathBuf) -> io::Result<File> {
    // Who called what is not for every user of the machine.
    OpenOptions::new().create(true).append(true).mode(0o640).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_found_the_queue_full_are_reported_once_by_a_log_that_works() {
        let mut writer = Writer {
            destination: Destination::Stdout,
            is_stale: Arc::default(),
            failing: false,
            reported: None,
            dropped_bytes: Arc::new(AtomicU64::new(7)),
            spares: Spares::default(),
        };
        writer.write(b"");
        assert!(writer.reported.is_some());
        assert_eq!(writer.dropped_bytes.load(Ordering::Relaxed), 0, "the next report counts anew");
    }
}
