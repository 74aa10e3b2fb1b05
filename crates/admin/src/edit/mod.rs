//! The one way to change anything: rows and snapshot together, or nothing.

mod consumers;
mod keys;
mod plans;
mod references;
mod routes;
mod services;
mod signing_keys;
mod tenants;
mod users;
mod webhooks;

use std::sync::Arc;

use tokio::sync::OwnedMutexGuard;
use tollgate_core::Problems;
use tollgate_core::address::AllowList;
use tollgate_core::resource::TenantId;
use tollgate_core::snapshot::{Change, Snapshot};
use tollgate_store::{Read, StoreError, Write};

use crate::clock;
use crate::control_plane::{ControlPlane, Inner};
use crate::feed::{NotKept, Recording};
use crate::on_demand::TooManyDemands;
use crate::password::HashingError;
use crate::principal::Principal;
use crate::throttle::{Throttle, TooManyFailures};
use crate::token::NoRandomness;

pub use keys::KeyValue;
pub use references::{Named, Parsed, References};
pub use services::WrittenService;
pub use signing_keys::{rotation_due, sealed_keys};

#[derive(Debug, thiserror::Error)]
pub enum EditError {
    /// The input does not fit what there is; nothing was changed.
    #[error("{0}")]
    Refused(#[from] Problems),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("another process has written to the database: restart to load what it wrote")]
    OutOfStep,
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
    #[error(transparent)]
    Hashing(#[from] HashingError),
    /// The author was signed out, or changed, since its request came in.
    #[error("the session has ended")]
    SessionOver,
    /// Of guesses whose keys others have.
    #[error(transparent)]
    Guessing(#[from] TooManyFailures),
    #[error(transparent)]
    TooManyDemands(#[from] TooManyDemands),
}

impl From<NotKept> for EditError {
    fn from(error: NotKept) -> Self {
        match error {
            NotKept::Store(error) => Self::Store(error),
            NotKept::NoRandomness(error) => Self::NoRandomness(error),
        }
    }
}

/// Whether a replacement differed from what was there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replaced {
    Changed,
    Unchanged,
}

/// A transaction over the database and the snapshot. Dropped, it leaves both as they were.
pub struct Edit {
    plane: Arc<Inner>,
    write: Write,
    before: Arc<Snapshot>,
    candidate: Candidate,
    /// What goes to the nodes.
    recording: Recording,
    turn: OwnedMutexGuard<()>,
}

/// The next snapshot, as far as it has been compiled.
enum Candidate {
    /// As the one before: nothing that the proxy runs was changed.
    Unchanged,
    Changed(Snapshot),
    /// A change did not compile, so nothing of this edit may come into force.
    Refused,
}

impl Edit {
    /// Waits for the edits before.
    pub async fn begin(plane: &ControlPlane) -> Result<Self, EditError> {
        let plane = Arc::clone(&plane.0);
        let turn = Arc::clone(&plane.turn).lock_owned().await;
        let mut write = plane.store.write(clock::now_secs()).await?;
        let before = plane.snapshot.load_full();
        if write.revision().await? != before.revision() {
            return Err(EditError::OutOfStep);
        }
        Ok(Self { plane, write, before, candidate: Candidate::Unchanged, recording: Recording::new(), turn })
    }

    /// The same for an author, who may be there no more: a request's body comes in for as long as its sender likes.
    pub async fn begin_as(plane: &ControlPlane, author: &Principal) -> Result<Self, EditError> {
        let mut edit = Self::begin(plane).await?;
        if let Some(token) = &author.session {
            let session = edit.read().session(token, clock::now_secs()).await?;
            let session = session.ok_or(EditError::SessionOver)?;
            if session.user.role != author.role {
                return Err(EditError::SessionOver);
            }
        }
        Ok(edit)
    }

    /// What there is by now, the edit's own rows included.
    pub fn read(&mut self) -> &mut Read {
        &mut self.write
    }

    pub fn write(&mut self) -> &mut Write {
        &mut self.write
    }

    /// The snapshot as this edit leaves it.
    pub fn snapshot(&self) -> &Snapshot {
        match &self.candidate {
            Candidate::Changed(snapshot) => snapshot,
            Candidate::Unchanged | Candidate::Refused => &self.before,
        }
    }

    pub fn has_tenant(&self, id: TenantId) -> bool {
        self.snapshot().tenant_by_id(id).is_some()
    }

    /// The revision that will be in force once this is committed.
    pub fn revision(&self) -> u64 {
        self.snapshot().revision()
    }

    /// Makes the rows last and publishes the snapshot. When this returns, both are in force; when its caller
    /// goes away meanwhile, they still come into force together.
    pub async fn commit(self) -> Result<(), EditError> {
        let finish = tokio::spawn(self.finish());
        match finish.await {
            Ok(outcome) => outcome,
            Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
        }
    }

    async fn finish(self) -> Result<(), EditError> {
        let Self { plane, mut write, candidate, recording, turn, .. } = self;
        match candidate {
            Candidate::Unchanged => write.commit().await?,
            Candidate::Changed(snapshot) => {
                let before = write.position().await?;
                let commit = recording.finish(write.set_revision(snapshot.revision()).await?);
                plane.feed.keep(&mut write, &plane.sealing, before, &commit).await?;
                write.commit().await?;
                plane.snapshot.store(Arc::new(snapshot));
                plane.feed.publish(commit);
            }
            Candidate::Refused => return Err(refused_already()),
        }
        drop(turn);
        Ok(())
    }

    /// Compiles changes whose rows were written.
    fn put(&mut self, changes: &[Change]) -> Result<(), EditError> {
        if changes.is_empty() {
            return Ok(());
        }
        let revision = self.before.revision() + 1;
        let candidate = match std::mem::replace(&mut self.candidate, Candidate::Refused) {
            Candidate::Unchanged => self.before.as_ref().clone(),
            Candidate::Changed(snapshot) => snapshot,
            Candidate::Refused => return Err(refused_already()),
        };
        self.candidate = Candidate::Changed(candidate.grown(changes, revision)?);
        self.recording.record(changes);
        Ok(())
    }

    pub fn throttle(&self) -> &Throttle {
        &self.plane.throttle
    }

    fn allow_list(&self) -> &AllowList {
        &self.plane.allow_list
    }
}

/// Nothing goes on with an edit that was refused; were it tried, nothing would come of it.
fn refused_already() -> EditError {
    EditError::Refused(Problems::one("", "was refused"))
}
