//! Feeding nodes: every committed change goes to every node that listens, in order, from one bounded log. A node
//! that is behind gets what the log has since; one that the log has forgotten, or that comes from another
//! history, gets everything from the database.

mod log;
mod recording;
mod stream;

use std::sync::{Mutex, MutexGuard, PoisonError};

use axum::body::Bytes;
use tokio::sync::{Semaphore, watch};
use tollgate_core::feed::Position;

pub use recording::Recording;
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
    /// `position` is what the database is at: nothing before it is in the log.
    pub fn new(position: Position) -> Self {
        Self {
            log: Mutex::new(ChangeLog::new(position, LOG_BYTES)),
            newest: watch::Sender::new(position),
            full_feeds: Semaphore::new(FULL_FEEDS_AT_A_TIME),
            phase: watch::Sender::new(Phase::Open),
        }
    }

    /// Sends a commit to the nodes. It must have been committed, and commits must come in their order.
    pub fn publish(&self, position: Position, recording: Recording) {
        self.log().push(position, recording.finish(position));
        self.newest.send_replace(position);
    }

    /// Ends all feeds, and those that begin from now on.
    pub fn close(&self) {
        self.phase.send_replace(Phase::Closed);
    }

    async fn closed(&self) {
        // The sender is in this very struct, so it is there.
        drop(self.phase.subscribe().wait_for(|phase| *phase == Phase::Closed).await);
    }

    fn since(&self, position: Position) -> Since {
        self.log().since(position)
    }

    fn log(&self) -> MutexGuard<'_, ChangeLog> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
