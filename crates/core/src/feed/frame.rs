//! Frames as bytes: the length of what follows the header, its CRC-32, and the CRC-32 of these two, each four bytes,
//! little-endian; then a byte that says what it is, and the content.
//!
//! Length-prefixed rather than a line each: ids and hashes are bytes, and a reader knows how much to wait for. The
//! checksums are for the disk, where the same frames are kept. The header has its own, so that a length that was
//! damaged is not taken for the beginning of a frame whose end is missing.

use super::{Order, Position};
use crate::snapshot::Change;

/// Of these, [`frame_length`] tells the length.
pub const HEADER_BYTES: usize = 12;
/// A reader never waits for more: far above the largest frame that is written.
const MOST_CONTENT_BYTES: usize = 64 << 20;
/// A frame of changes is closed once it has this many bytes.
const BATCH_BYTES: usize = 256 << 10;

const FULL: u8 = 1;
const CHANGES: u8 = 2;
const COMMIT: u8 = 3;
const HEARTBEAT: u8 = 4;
const ORDER: u8 = 5;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// Everything follows, from nothing on.
    Full,
    Changes(Vec<Change>),
    /// What has come since the last commit is a whole.
    Commit(Position),
    /// The control plane is there.
    Heartbeat,
    /// Something to be done now, once.
    Order(Order),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadFrame {
    #[error("a frame of {0} bytes cannot be")]
    Length(usize),
    #[error("the checksum of a frame's header is wrong")]
    Header,
    #[error("a frame's checksum is wrong")]
    Checksum,
    #[error("a frame's content does not parse")]
    Content,
}

/// What the first bytes of a frame say of its length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameLength {
    /// With its header.
    Known(usize),
    /// The header is not there as a whole.
    HeaderMissing,
}

/// Appends a frame.
pub fn push_frame(out: &mut Vec<u8>, frame: &Frame) -> Result<(), BadFrame> {
    match frame {
        Frame::Full => framed(out, FULL, |_| Ok(())),
        Frame::Changes(changes) => push_changes(out, changes),
        Frame::Commit(position) => framed(out, COMMIT, |out| encode(out, position)),
        Frame::Heartbeat => framed(out, HEARTBEAT, |_| Ok(())),
        Frame::Order(order) => framed(out, ORDER, |out| encode(out, order)),
    }
}

/// Appends as many frames as the changes need; none where there are none.
pub fn push_changes(out: &mut Vec<u8>, changes: &[Change]) -> Result<(), BadFrame> {
    let mut rest = changes.iter().peekable();
    while rest.peek().is_some() {
        framed(out, CHANGES, |out| {
            let start = out.len();
            while out.len() - start < BATCH_BYTES
                && let Some(change) = rest.next()
            {
                encode(out, change)?;
            }
            Ok(())
        })?;
    }
    Ok(())
}

pub fn frame_length(bytes: &[u8]) -> Result<FrameLength, BadFrame> {
    let Some((header, _)) = bytes.split_first_chunk::<HEADER_BYTES>() else {
        return Ok(FrameLength::HeaderMissing);
    };
    let (content_bytes, _) = header_fields(*header)?;
    if (1..=MOST_CONTENT_BYTES).contains(&content_bytes) {
        Ok(FrameLength::Known(HEADER_BYTES + content_bytes))
    } else {
        Err(BadFrame::Length(content_bytes))
    }
}

/// Reads exactly one frame, of the length that [`frame_length`] told.
pub fn decode(frame: &[u8]) -> Result<Frame, BadFrame> {
    let (header, content) = frame.split_first_chunk::<HEADER_BYTES>().ok_or(BadFrame::Content)?;
    let (content_bytes, checksum) = header_fields(*header)?;
    if content.len() != content_bytes || crc32fast::hash(content) != checksum {
        return Err(BadFrame::Checksum);
    }
    let (&kind, content) = content.split_first().ok_or(BadFrame::Content)?;
    let only = |frame: Frame| if content.is_empty() { Ok(frame) } else { Err(BadFrame::Content) };
    match kind {
        FULL => only(Frame::Full),
        HEARTBEAT => only(Frame::Heartbeat),
        CHANGES => changes(content).map(Frame::Changes),
        COMMIT => whole(content).map(Frame::Commit),
        ORDER => whole(content).map(Frame::Order),
        _ => Err(BadFrame::Content),
    }
}

/// One value, and nothing behind it.
fn whole<T: serde::de::DeserializeOwned>(content: &[u8]) -> Result<T, BadFrame> {
    match postcard::take_from_bytes(content) {
        Ok((value, [])) => Ok(value),
        Ok(_) | Err(_) => Err(BadFrame::Content),
    }
}

fn changes(mut rest: &[u8]) -> Result<Vec<Change>, BadFrame> {
    let mut changes = Vec::new();
    while !rest.is_empty() {
        let (change, after) = postcard::take_from_bytes(rest).map_err(|_| BadFrame::Content)?;
        changes.push(change);
        rest = after;
    }
    Ok(changes)
}

/// The length of the content, and its checksum.
fn header_fields(header: [u8; HEADER_BYTES]) -> Result<(usize, u32), BadFrame> {
    let (fields, own) = header.split_at(8);
    let ([length, checksum], []) = fields.as_chunks::<4>() else { return Err(BadFrame::Header) };
    if crc32fast::hash(fields).to_le_bytes() != *own {
        return Err(BadFrame::Header);
    }
    let content_bytes = u32::from_le_bytes(*length);
    Ok((usize::try_from(content_bytes).unwrap_or(usize::MAX), u32::from_le_bytes(*checksum)))
}

/// Of a frame whose content has these.
pub(super) fn header(content_bytes: u32, checksum: u32) -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    header[..4].copy_from_slice(&content_bytes.to_le_bytes());
    header[4..8].copy_from_slice(&checksum.to_le_bytes());
    let own = crc32fast::hash(&header[..8]);
    header[8..].copy_from_slice(&own.to_le_bytes());
    header
}

fn framed(
    out: &mut Vec<u8>,
    kind: u8,
    write: impl FnOnce(&mut Vec<u8>) -> Result<(), BadFrame>,
) -> Result<(), BadFrame> {
    let start = out.len();
    out.extend_from_slice(&[0; HEADER_BYTES]);
    let content = out.len();
    out.push(kind);
    write(out)?;
    let content_bytes = out.len() - content;
    let length = u32::try_from(content_bytes).ok().filter(|_| content_bytes <= MOST_CONTENT_BYTES);
    let length = length.ok_or(BadFrame::Length(content_bytes))?;
    let header = header(length, crc32fast::hash(&out[content..]));
    out[start..content].copy_from_slice(&header);
    Ok(())
}

fn encode(out: &mut Vec<u8>, value: &impl serde::Serialize) -> Result<(), BadFrame> {
    postcard::to_io(value, out).map(drop).map_err(|_| BadFrame::Content)
}
