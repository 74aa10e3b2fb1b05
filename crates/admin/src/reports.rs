//! What nodes say of how keys were used: kept before it is answered, and once, however often it is said. Reports that
//! come while one is being written are written together.

use std::collections::BTreeMap;
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

/// When this returns, the uses are in the database, by this report or an earlier one of the same number. A caller that
/// goes away meanwhile changes nothing about it.
pub async fn keep(plane: &Arc<Inner>, uses: KeyUses) -> Result<(), StoreError> {
    let own = plane.reports.add(uses);
    match tokio::spawn(write_waiting(Arc::clone(plane), own)).await {
        Ok(outcome) => outcome,
        Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
    }
}

/// Whoever has the turn writes for all that wait.
async fn write_waiting(plane: Arc<Inner>, own: u64) -> Result<(), StoreError> {
    let _turn = plane.turn.lock().await;
    let waiting = plane.reports.waiting().reports.clone();
    if !waiting.contains_key(&own) {
        return Ok(());
    }
    let outcome = write(&plane, &waiting).await;
    let mut now_waiting = plane.reports.waiting();
    match &outcome {
        Ok(()) => now_waiting.reports.retain(|number, _| !waiting.contains_key(number)),
        // The others see for themselves.
        Err(_) => drop(now_waiting.reports.remove(&own)),
    }
    outcome
}

async fn write(plane: &Inner, waiting: &BTreeMap<u64, Arc<KeyUses>>) -> Result<(), StoreError> {
    let mut write = plane.store.write(clock::now_secs()).await?;
    for uses in waiting.values() {
        if write.hear_node(uses.token, uses.session, uses.number).await? == Heard::First {
            write.note_key_uses(&uses.used).await?;
        }
    }
    write.commit().await
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
