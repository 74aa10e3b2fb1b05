//! Reading the saved state.

use std::fs::File;
use std::io::{self, BufReader, ErrorKind, Read};
use std::path::Path;
use std::sync::Arc;

use tollgate_core::feed::{
    Assembly, BadFrame, CommittedAs, FORMAT, FrameLength, HEADER_BYTES, Misfit, Position, decode,
    frame_length,
};
use tollgate_core::snapshot::Snapshot;

use super::{MAGIC, preamble};

/// A state that was read.
pub struct Saved {
    pub snapshot: Arc<Snapshot>,
    pub position: Position,
    /// Up to the end of the last commit.
    pub bytes: u64,
    /// Up to the end of the first.
    pub base_bytes: u64,
}

#[derive(Debug, thiserror::Error)]
pub enum Damage {
    #[error("it cannot be read: {0}")]
    Unreadable(#[from] io::Error),
    #[error("it is no saved state")]
    Foreign,
    #[error("it was saved by another version of Tollgate (format {0}, this is {FORMAT})")]
    Format(u32),
    #[error("it is damaged at byte {at}: {problem}")]
    Frame { at: u64, problem: BadFrame },
    #[error("it is damaged at byte {at}: {problem}")]
    Misfit { at: u64, problem: Misfit },
    #[error("it ends before the first commit")]
    CutShort,
}

/// Nothing where there is no file.
pub fn load(path: &Path) -> Result<Option<Saved>, Damage> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let mut file = BufReader::with_capacity(1 << 20, file);
    read_preamble(&mut file)?;
    let mut at = u64::try_from(preamble().len()).unwrap_or(u64::MAX);
    let mut assembly = Assembly::new(Arc::default());
    let mut saved: Option<Saved> = None;
    while let Some(frame) = next_frame(&mut file, at)? {
        let start = at;
        at += u64::try_from(frame.len()).unwrap_or(u64::MAX);
        let frame = decode(&frame).map_err(|problem| Damage::Frame { at: start, problem })?;
        if matches!(frame, tollgate_core::feed::Frame::Commit(_)) {
            // Held by the assembly alone, the snapshot grows without being copied.
            let base_bytes = saved.take().map(|saved| saved.base_bytes);
            let committed = assembly.take(frame).map_err(|problem| Damage::Misfit { at: start, problem })?;
            saved = committed.map(|committed| Saved {
                base_bytes: match committed.how {
                    CommittedAs::Everything => at,
                    CommittedAs::Changes(_) => base_bytes.unwrap_or(at),
                },
                snapshot: committed.snapshot,
                position: committed.position,
                bytes: at,
            });
        } else {
            assembly.take(frame).map_err(|problem| Damage::Misfit { at: start, problem })?;
        }
    }
    saved.ok_or(Damage::CutShort).map(Some)
}

fn read_preamble(file: &mut impl Read) -> Result<(), Damage> {
    let mut magic = [0; MAGIC.len()];
    let mut format = [0; 4];
    let read = file.read_exact(&mut magic).and_then(|()| file.read_exact(&mut format));
    match read {
        Ok(()) if magic != *MAGIC => Err(Damage::Foreign),
        Ok(()) => match u32::from_le_bytes(format) {
            FORMAT => Ok(()),
            other => Err(Damage::Format(other)),
        },
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Err(Damage::Foreign),
        Err(error) => Err(error.into()),
    }
}

/// The next frame as it stands there; nothing where the file ends, be it within a frame.
fn next_frame(file: &mut impl Read, at: u64) -> Result<Option<Vec<u8>>, Damage> {
    let mut frame = vec![0; HEADER_BYTES];
    if !read_whole(file, &mut frame)? {
        return Ok(None);
    }
    match frame_length(&frame).map_err(|problem| Damage::Frame { at, problem })? {
        FrameLength::Known(length) => frame.resize(length, 0),
        FrameLength::HeaderMissing => return Ok(None),
    }
    Ok(read_whole(file, &mut frame[HEADER_BYTES..])?.then_some(frame))
}

fn read_whole(file: &mut impl Read, bytes: &mut [u8]) -> Result<bool, Damage> {
    match file.read_exact(bytes) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error.into()),
    }
}
