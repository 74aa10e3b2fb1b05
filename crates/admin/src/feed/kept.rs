//! The log's copy in the database: a node that was away while the control plane was started again gets what it has
//! missed, as if it had not been.

use axum::body::Bytes;
use tollgate_core::feed::{FORMAT, Position};
use tollgate_store::{SealedStep, Store, StoreError, Write};

use super::log::ChangeLog;
use super::{LOG_BYTES, Step};
use crate::sealing::{Sealed, SealingSecret};
use crate::token::NoRandomness;

/// As much of the log as leads to `position` without a gap.
pub async fn load(
    store: &Store,
    sealing: &SealingSecret,
    position: Position,
) -> Result<ChangeLog, StoreError> {
    let mut kept = store.read().await?.feed_steps(FORMAT).await?;
    let (mut base, mut steps) = (position, Vec::new());
    while let Some(SealedStep { revision, before, sealed }) = kept.pop()
        && revision == base.revision
        && let Some(earlier) = revision.checked_sub(1)
    {
        let Ok(frames) = sealing.open(Sealed::FeedStep, &revision.to_string(), &sealed) else {
            tracing::warn!("the last changes cannot be read: nodes that missed any get everything");
            break;
        };
        steps.push(Step { position: base, frames: frames.into() });
        base = Position { revision: earlier, epoch: before };
    }
    let mut log = ChangeLog::new(base, LOG_BYTES);
    for Step { position, frames } in steps.into_iter().rev() {
        log.push(position, Some(frames));
    }
    Ok(log)
}

#[derive(Debug, thiserror::Error)]
pub enum NotKept {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
}

/// Appends a commit, within its own transaction; without its frames, the log begins anew after it. What is not after
/// `base` is forgotten.
pub async fn append(
    write: &mut Write,
    sealing: &SealingSecret,
    before: Position,
    position: Position,
    frames: Option<&Bytes>,
    base: u64,
) -> Result<(), NotKept> {
    let Some(frames) = frames else { return Ok(write.forget_feed_steps(position.revision).await?) };
    write.forget_feed_steps(base).await?;
    let sealed = sealing.seal(Sealed::FeedStep, &position.revision.to_string(), frames)?;
    let step = SealedStep { revision: position.revision, before: before.epoch, sealed };
    Ok(write.append_feed_step(&step, FORMAT).await?)
}
