//! Keeping what has happened: once, together with what is to be sent of it.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use tollgate_core::event::{EventKind, LimitCrossed};
use tollgate_core::resource::TenantId;
use tollgate_store::{Kept, StoreError, Write};

use super::message;
use crate::clock;
use crate::control_plane::ControlPlane;

/// Of a tenant, within an hour: whoever sets thresholds for a million keys does not fill the disk.
const MOST_AN_HOUR: u64 = 10_000;
/// Beside them: whoever tests its webhooks again and again keeps no event out, and does not fill the disk either.
const MOST_TESTS_AN_HOUR: u64 = 1_000;
const HOUR_SECS: u64 = 3_600;
/// While the database cannot be written to.
const MOST_UNTOLD: usize = 10_000;

/// Thresholds of limits that this process's proxy has reached since the last call.
pub type CrossingSource = Box<dyn Fn() -> Vec<LimitCrossed> + Send + Sync>;

/// What was taken from the proxy and is not in the database yet: a failed write loses nothing.
#[derive(Default)]
pub struct Untold(Vec<LimitCrossed>);

impl ControlPlane {
    /// Keeps what the proxy beside this control plane has noted. What fails is logged, and tried again the next time.
    pub(crate) async fn take_crossings(&self) -> Result<(), StoreError> {
        let mut untold = self.0.untold.lock().await;
        untold.0.extend(self.0.crossings.iter().flat_map(|source| source()));
        if untold.0.len() > MOST_UNTOLD {
            let dropped = untold.0.len() - MOST_UNTOLD;
            tracing::warn!(dropped, "too many reached thresholds wait for the database: some are not told");
            untold.0.truncate(MOST_UNTOLD);
        }
        let kept = self.keep_crossings(&untold.0).await;
        match &kept {
            Ok(()) => untold.0.clear(),
            Err(error) => tracing::error!(%error, "reached thresholds could not be kept"),
        }
        kept
    }

    /// Once this returns they are kept, or were already. Those of a tenant that is gone are passed over.
    pub(crate) async fn keep_crossings(&self, crossed: &[LimitCrossed]) -> Result<(), StoreError> {
        if crossed.is_empty() {
            return Ok(());
        }
        let plane = &self.0;
        let turn = plane.turn.lock().await;
        let (snapshot, now_secs) = (plane.snapshot.load_full(), clock::now_secs());
        let mut write = plane.store.write(now_secs).await?;
        let mut room = Room::default();
        let (mut is_any_to_send, mut too_many) = (false, 0u64);
        for crossed in crossed {
            let Some(event) = message::limit_threshold(crossed, &snapshot, now_secs) else { continue };
            let left = room.of(event.tenant, &mut write).await?;
            if *left == 0 {
                too_many += 1;
            } else if let Kept::New(webhooks) = write.keep_event(&event).await? {
                is_any_to_send |= !webhooks.is_empty();
                *left -= 1;
            }
        }
        write.commit().await?;
        drop(turn);
        if too_many > 0 {
            tracing::warn!(too_many, "a tenant has more events in an hour than are kept: some are not told");
        }
        if is_any_to_send {
            plane.outbox.changed();
        }
        Ok(())
    }
}

/// Whether another test of a webhook is kept.
pub(super) async fn is_room_for_a_test(write: &mut Write, tenant: TenantId) -> Result<bool, StoreError> {
    Ok(kept_this_hour(write, tenant, EventKind::WebhookTest).await? < MOST_TESTS_AN_HOUR)
}

async fn kept_this_hour(write: &mut Write, tenant: TenantId, kind: EventKind) -> Result<u64, StoreError> {
    let hour_ago_secs = write.now_secs().saturating_sub(HOUR_SECS);
    write.count_events(tenant, kind, hour_ago_secs).await
}

/// How many events of each tenant may still be kept in this hour.
#[derive(Default)]
struct Room(HashMap<TenantId, u64>);

impl Room {
    async fn of(&mut self, tenant: TenantId, write: &mut Write) -> Result<&mut u64, StoreError> {
        match self.0.entry(tenant) {
            Entry::Occupied(known) => Ok(known.into_mut()),
            Entry::Vacant(unknown) => {
                let kept = kept_this_hour(write, tenant, EventKind::LimitThreshold).await?;
                Ok(unknown.insert(MOST_AN_HOUR.saturating_sub(kept)))
            }
        }
    }
}
