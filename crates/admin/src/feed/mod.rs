//! Feeding nodes: every committed change goes to every node that listens, in order, from one bounded log. A node
//! that is behind gets what the log has since; one that the log has forgotten, or that comes from another
//! history, gets everything from the database.

mod kept;
mod log;
mod recording;
mod stream;

use std::sync::{Mutex, MutexGuard, PoisonError};

use axum::body::Bytes;
use tokio::sync::{Semaphore, watch};
use tollgate_core::feed::Position;
use tollgate_store::{Store, StoreError, Write};

use crate::sealing::SealingSecret;
pub use kept::NotKept;
pub use recording::{Commit, Recording};
pub use stream::open;

use log::ChangeLog;

/// What the log holds at most. A commit that is larger is not kept, and every node gets everything.
const LOG_BYTES: usize = 8 << 20;
/// Each reads the database from one end to the other, on a connection of its own.
const FULL_FEEDS_AT_A_TIME: usize = 2;

pub struct Feed {
    log: Mutex<ChangeLog>,
    /// Told after the log has it.
    newest: watch::Sender<Position>,
    full_feeds: Semaphore,
    phase: watch::Sender<Phase>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Open,
    Closed,
}

/// What leads from a position to the newest.
enum Since {
    Changes(Vec<Step>),
    /// The position is not one that the log knows.
    Unknown,
}

/// One commit.
#[derive(Clone)]
struct Step {
    position: Position,
    frames: Bytes,
}

impl Feed {
    /// Goes on with what the database has of the log; `position` is what it is at.
    pub async fn open(
        store: &Store,
        sealing: &SealingSecret,
        position: Position,
    ) -> Result<Self, StoreError> {
        Ok(Self {
            log: Mutex::new(kept::load(store, sealing, position).await?),
            newest: watch::Sender::new(position),
            full_feeds: Semaphore::new(FULL_FEEDS_AT_A_TIME),
            phase: watch::Sender::new(Phase::Open),
        })
    }

    /// Keeps a commit for nodes that come later, in the transaction that it is made in.
    pub async fn keep(
        &self,
        write: &mut Write,
        sealing: &SealingSecret,
        before: Position,
        commit: &Commit,
    ) -> Result<(), NotKept> {
        let base = self.log().base_revision();
        kept::append(write, sealing, before, commit.position, commit.frames.as_ref(), base).await
    }

    /// Sends a commit to the nodes. It must have been committed, and commits must come in their order.
    pub fn publish(&self, commit: Commit) {
        let Commit { position, frames } = commit;
        self.log().push(position, frames);
        self.newest.send_replace(position);
    }

    /// Ends all feeds, and those that begin from now on.
    pub fn close(&self) {
        self.phase.send_replace(Phase::Closed);
    }

    pub fn is_closed(&self) -> bool {
        *self.phase.borrow() == Phase::Closed
    }

    async fn closed(&self) {
        // The sender is in this very struct, so it is there.
        drop(self.phase.subscribe().wait_for(|phase| *phase == Phase::Closed).await);
    }

    /// How far a node at this position has come of this history: nowhere, where it is one of another, as after an older
    /// database was put back.
    pub fn revision_of(&self, position: Position) -> u64 {
        if self.log().is_foreign(position) { 0 } else { position.revision }
    }

    fn since(&self, position: Position) -> Since {
        self.log().since(position)
    }

    fn log(&self) -> MutexGuard<'_, ChangeLog> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
