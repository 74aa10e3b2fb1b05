//! From frames to snapshots. What comes was accepted by the control plane, which names the routes that crowd others.

use std::sync::Arc;

use super::{Frame, Position};
use crate::problem::Problems;
use crate::snapshot::{Change, Snapshot};

/// What has come so far. After a [`Misfit`] nothing that follows means anything: a new one begins.
pub struct Assembly {
    current: Arc<Snapshot>,
    incoming: Incoming,
}

/// What the next commit makes a whole.
enum Incoming {
    /// To be put over what there is.
    Changes(Vec<Change>),
    /// From nothing on. It grows batch by batch, and is nobody else's meanwhile.
    Everything(Snapshot),
}

/// A whole that came.
pub struct Committed {
    pub snapshot: Arc<Snapshot>,
    pub position: Position,
    pub how: CommittedAs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommittedAs {
    Everything,
    /// So many of them.
    Changes(usize),
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Misfit {
    #[error("what came does not fit together: {0}")]
    Problems(#[from] Problems),
    #[error("a change came before anything that it could change")]
    FromNothing,
}

impl Assembly {
    /// Goes on from `current`; from the empty snapshot, only [`Frame::Full`] leads further.
    pub const fn new(current: Arc<Snapshot>) -> Self {
        Self { current, incoming: Incoming::Changes(Vec::new()) }
    }

    /// Takes the next frame; a commit yields the snapshot.
    pub fn take(&mut self, frame: Frame) -> Result<Option<Committed>, Misfit> {
        match frame {
            Frame::Heartbeat | Frame::Order(_) => Ok(None),
            Frame::Full => {
                self.incoming = Incoming::Everything(Snapshot::default());
                Ok(None)
            }
            Frame::Changes(changes) => self.gather(changes).map(|()| None),
            Frame::Commit(position) => self.commit(position).map(Some),
        }
    }

    fn gather(&mut self, mut changes: Vec<Change>) -> Result<(), Misfit> {
        match &mut self.incoming {
            Incoming::Changes(pending) => pending.append(&mut changes),
            Incoming::Everything(growing) => {
                *growing = std::mem::take(growing).restored(&changes, 0)?.0;
            }
        }
        Ok(())
    }

    fn commit(&mut self, position: Position) -> Result<Committed, Misfit> {
        let (snapshot, how) = match std::mem::replace(&mut self.incoming, Incoming::Changes(Vec::new())) {
            Incoming::Changes(_) if self.current.revision() == 0 => return Err(Misfit::FromNothing),
            Incoming::Changes(changes) => {
                // Where nobody else holds it, nothing is copied: so a long run of changes is read fast.
                let current = Arc::unwrap_or_clone(std::mem::take(&mut self.current));
                (current.restored(&changes, position.revision)?.0, CommittedAs::Changes(changes.len()))
            }
            Incoming::Everything(growing) => {
                (growing.grown(&[], position.revision)?, CommittedAs::Everything)
            }
        };
        self.current = Arc::new(snapshot);
        Ok(Committed { snapshot: Arc::clone(&self.current), position, how })
    }
}
