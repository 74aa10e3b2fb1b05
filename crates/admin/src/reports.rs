//! What nodes say of how keys were used: kept before it is answered, and once, however often it is said. Reports that
//! come while one is being written are written together.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tollgate_core::resource::KeyId;
use tollgate_core::usage::KeyUsage;
use tollgate_store::{Heard, StoreError};
use uuid::Uuid;

use crate::clock;
use crate::control_plane::Inner;

/// How keys were used on a node. It says the same under the same number until it is answered, and the next under the
/// next number.
#[derive(Debug)]
pub struct KeyUses {
    /// The token that the node has presented.
    pub token: Uuid,
    /// Of the process: numbers begin anew with each.
    pub session: Uuid,
    pub number: u64,
    pub used: Vec<(KeyId, KeyUsage)>,
}

/// Those that are not written yet, by the order in which they came.
#[derive(Default)]
pub struct Reports(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    next: u64,
    reports: BTreeMap<u64, Arc<KeyUses>>,
}

/// What has become of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// The uses are in the database, by this report or an earlier one of the same number.
    Written,
    /// Its token was revoked while it waited: nothing of it is kept.
    TokenGone,
}

/// A caller that goes away meanwhile changes nothing about what becomes of the report.
pub async fn keep(plane: &Arc<Inner>, uses: KeyUses) -> Result<Kept, StoreError> {
    let own = plane.reports.add(uses);
    match tokio::spawn(write_waiting(Arc::clone(plane), own)).await {
        Ok(outcome) => outcome,
        Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
    }
}

/// Whoever has the turn writes for all that wait.
async fn write_waiting(plane: Arc<Inner>, own: u64) -> Result<Kept, StoreError> {
    let _turn = plane.turn.lock().await;
    let waiting = plane.reports.waiting().reports.clone();
    if !waiting.contains_key(&own) {
        return Ok(Kept::Written);
    }
    let outcome = write(&plane, &waiting).await;
    let mut reports = plane.reports.waiting();
    // Those whose turn did not help them see for themselves.
    reports.reports.remove(&own);
    let written = outcome?;
    reports.reports.retain(|number, _| !written.contains(number));
    Ok(if written.contains(&own) { Kept::Written } else { Kept::TokenGone })
}

/// Yields which of them are in the database now.
async fn write(plane: &Inner, waiting: &BTreeMap<u64, Arc<KeyUses>>) -> Result<BTreeSet<u64>, StoreError> {
    let mut write = plane.store.write(clock::now_secs()).await?;
    let mut written = BTreeSet::new();
    for (number, uses) in waiting {
        match write.hear_node(uses.token, uses.session, uses.number).await? {
            Heard::First => write.note_key_uses(&uses.used).await?,
            Heard::Before => {}
            Heard::TokenGone => continue,
        }
        written.insert(*number);
    }
    write.commit().await?;
    Ok(written)
}

impl Reports {
    fn add(&self, uses: KeyUses) -> u64 {
        let mut waiting = self.waiting();
        let own = waiting.next;
        waiting.next += 1;
        waiting.reports.insert(own, Arc::new(uses));
        own
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
