//! The access log's way from the workers to its file: whole blocks through a bounded channel to one thread,
//! so that a slow disk slows no request. What does not fit is dropped, counted and reported.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
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
    /// There may be something else to do than to write.
    Wake,
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
            is_cut: false,
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
        drop(self.sender.as_ref().map(|sender| sender.try_send(Message::Wake)));
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
    /// Whether what was written last ends within a line.
    is_cut: bool,
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
                Message::Wake => {}
                Message::Stop => {
                    self.reported = None;
                    return self.report_dropped();
                }
            }
        }
    }

    fn write(&mut self, lines: &[u8]) {
        let is_cut = &mut self.is_cut;
        let outcome = match &mut self.destination {
            Destination::Stdout => write_lines(&mut io::stdout().lock(), is_cut, lines),
            Destination::File { file, .. } => write_lines(file, is_cut, lines),
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
                Ok(reopened) => (*file, self.is_cut) = (reopened, false),
                Err(error) => {
                    tracing::error!(%error, path = %path.display(), "the access log cannot be reopened");
                }
            }
        }
    }
}

/// Whole lines, behind the part of one that was written before there was no more room.
fn write_lines(out: &mut impl Write, is_cut: &mut bool, lines: &[u8]) -> io::Result<()> {
    if *is_cut {
        out.write_all(b"\n")?;
        *is_cut = false;
    }
    let mut rest = lines;
    while !rest.is_empty() {
        match out.write(rest) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(bytes) => {
                *is_cut = rest[..bytes].last() != Some(&b'\n');
                rest = &rest[bytes..];
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn open(path: &PathBuf) -> io::Result<File> {
    let is_pipe = fs::metadata(path).is_ok_and(|file| file.file_type().is_fifo());
    if is_pipe {
        // To write alone would wait until somebody reads.
        return OpenOptions::new().read(true).write(true).open(path);
    }
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
            is_cut: false,
            failing: false,
            reported: None,
            dropped_bytes: Arc::new(AtomicU64::new(7)),
            spares: Spares::default(),
        };
        writer.write(b"");
        assert!(writer.reported.is_some());
        assert_eq!(writer.dropped_bytes.load(Ordering::Relaxed), 0, "the next report counts anew");
    }
    /// Has room for so many bytes more.
    struct Disk {
        room: usize,
        written: Vec<u8>,
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let taken = bytes.len().min(self.room);
            if taken == 0 && !bytes.is_empty() {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.written.extend_from_slice(&bytes[..taken]);
            self.room -= taken;
            Ok(taken)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_that_a_full_disk_has_cut_spoils_no_other() {
        for room in 0.."one\ntwo\n".len() {
            let (mut disk, mut is_cut) = (Disk { room, written: Vec::new() }, false);
            write_lines(&mut disk, &mut is_cut, b"one\ntwo\n").unwrap_err();
            write_lines(&mut disk, &mut is_cut, b"lost\n").unwrap_err();
            disk.room = 100;
            write_lines(&mut disk, &mut is_cut, b"three\n").unwrap();
            let written = String::from_utf8(disk.written).unwrap();
            assert_eq!(written.lines().last(), Some("three"), "{room}: {written:?}");
            assert!(written.lines().all(|line| !line.is_empty()), "{room}: {written:?}");
        }
    }
}
