//! What an edit changes, encoded as it goes.

use axum::body::Bytes;
use tollgate_core::feed::{BadFrame, Frame, Position, push_changes, push_frame};
use tollgate_core::snapshot::Change;

use super::LOG_BYTES;

pub enum Recording {
    Frames(Vec<u8>),
    /// More than the log would keep: nodes get everything instead.
    TooLarge,
}

/// One commit, as it is sent.
pub struct Commit {
    pub position: Position,
    /// Nothing where they are too many.
    pub frames: Option<Bytes>,
}

impl Recording {
    pub const fn new() -> Self {
        Self::Frames(Vec::new())
    }

    pub fn record(&mut self, changes: &[Change]) {
        if let Self::Frames(frames) = self
            && (push_all(frames, changes).is_err() || frames.len() > LOG_BYTES)
        {
            *self = Self::TooLarge;
        }
    }

    pub fn finish(self, position: Position) -> Commit {
        let frames = match self {
            Self::TooLarge => None,
            Self::Frames(mut frames) => {
                push_frame(&mut frames, &Frame::Commit(position)).ok().map(|()| frames.into())
            }
        };
        Commit { position, frames }
    }
}

/// Stops where it has become too much: a document may bring a million keys.
fn push_all(frames: &mut Vec<u8>, changes: &[Change]) -> Result<(), BadFrame> {
    const AT_A_TIME: usize = 1_000;
    for some in changes.chunks(AT_A_TIME) {
        push_changes(frames, some)?;
        if frames.len() > LOG_BYTES {
            break;
        }
    }
    Ok(())
}
