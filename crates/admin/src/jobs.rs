//! What happens without anybody asking: keeping counts, last uses and events, sending webhooks, and forgetting what is
//! over.

use std::collections::HashMap;
use std::future::Future;
use std::time::{Duration, Instant};

use tokio::time::{MissedTickBehavior, interval, interval_at};
use tollgate_core::limit::{CounterRecord, Subject, Window};
use tollgate_core::resource::KeyId;
use tollgate_core::time::UnixMicros;
use tollgate_core::token::Rotation;
use tollgate_core::usage::KeyUsage;
use tollgate_counters::Sweeps;
use tollgate_store::StoreError;

use crate::clock;
use crate::control_plane::{ControlPlane, Inner};
use crate::edit::{self, Edit, EditError};
use crate::webhooks;

const PERSIST_EVERY: Duration = Duration::from_secs(3);
/// Somebody may be waiting to be told.
const TELL_EVERY: Duration = Duration::from_secs(1);
const SWEEP_EVERY: Duration = Duration::from_mins(1);
/// A run of a node that was not heard for so long is not heard any more.
const NODE_RUN_SECS: u64 = 30 * 86_400;
/// The use of a key in steady use is kept this often: it is right to the minute.
const USE_EVERY: Duration = Duration::from_mins(1);

/// Longer than any period, so that nothing is told twice in one.
const EVENTS_KEPT_SECS: u64 = 40 * 86_400;

/// Where uses of keys are noted between two persists.
pub trait LastUsed: Send + Sync {
    /// How keys were used since the last call.
    fn take(&self) -> Vec<(KeyId, KeyUsage)>;
}

impl<F: Fn() -> Vec<(KeyId, KeyUsage)> + Send + Sync> LastUsed for F {
    fn take(&self) -> Vec<(KeyId, KeyUsage)> {
        self()
    }
}

/// What was taken from memory and is not in the database yet: a failed write loses nothing.
#[derive(Default)]
pub(crate) struct Unsaved {
    /// Of several records of one window, the last counts.
    counters: Vec<CounterRecord>,
    uses: HashMap<KeyId, KeyUsage>,
    /// When keys' uses were last saved: each is once in [`USE_EVERY`], whatever becomes of the wall clock.
    noted: HashMap<KeyId, Instant>,
}

/// What there was to keep at the end is not all in the database.
#[derive(Debug, thiserror::Error)]
#[error("what was counted last could not be kept, and is lost: {0}")]
pub struct Lost(#[source] StoreError);

/// Which uses of keys are to be saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Uses {
    /// Those of keys that were not saved for a while.
    Due,
    All,
}

impl ControlPlane {
    /// Keeps what limits have counted and when keys were last used. What fails is logged, and tried again the
    /// next time.
    pub async fn persist(&self) {
        // It is logged.
        drop(self.keep(Uses::Due).await);
    }

    async fn keep(&self, which: Uses) -> Result<(), StoreError> {
        let mut unsaved = self.0.unsaved.lock().await;
        unsaved.take_from(&self.0);
        let now = clock::instant();
        let uses = unsaved.uses(which, now);
        if unsaved.counters.is_empty() && uses.is_empty() {
            return Ok(());
        }
        let saved = save(&self.0, &unsaved.counters, &uses).await;
        match &saved {
            Ok(()) => unsaved.are_saved(&uses, now),
            Err(error) => {
                unsaved.drop_superseded();
                tracing::error!(%error, "counts and last uses could not be kept");
            }
        }
        saved
    }

    /// Persists every few seconds, sweeps every minute and sends webhooks, until `shutdown`; then persists once more, and fails
    /// where that does.
    pub async fn run_jobs(&self, shutdown: impl Future<Output = ()>) -> Result<(), Lost> {
        let mut persist = interval(PERSIST_EVERY);
        let mut sweep = interval_at(tokio::time::Instant::now() + SWEEP_EVERY, SWEEP_EVERY);
        let mut tell = interval(TELL_EVERY);
        persist.set_missed_tick_behavior(MissedTickBehavior::Delay);
        tell.set_missed_tick_behavior(MissedTickBehavior::Delay);
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut sweeps = Sweeps::default();
        let sending = webhooks::send(self);
        tokio::pin!(shutdown, sending);
        loop {
            tokio::select! {
                biased;
                () = &mut shutdown => break,
                _ = persist.tick() => {
                    self.persist().await;
                    self.rotate_if_due().await;
                }
                // It is logged, and tried again.
                _ = tell.tick() => drop(self.take_crossings().await),
                _ = sweep.tick() => self.sweep(sweeps.next(clock::now())).await,
                () = &mut sending => {}
            }
        }
        let crossings = self.take_crossings().await;
        let counted = self.keep(Uses::All).await;
        crossings.and(counted).map_err(Lost)
    }

    /// Counts are forgotten that were over at `counted_until`.
    async fn sweep(&self, counted_until: UnixMicros) {
        self.0.counters.sweep(counted_until);
        if let Err(error) = sweep_store(self, counted_until).await {
            tracing::error!(%error, "what is over could not be swept out");
        }
    }

    /// Looks every few seconds, so that the next key is published as long before it signs as it was meant to be.
    async fn rotate_if_due(&self) {
        if edit::rotation_due(&self.0) != Rotation::default()
            && let Err(error) = self.rotate_signing_keys().await
        {
            tracing::error!(%error, "signing keys could not be rotated");
        }
    }
}

impl Unsaved {
    fn take_from(&mut self, plane: &Inner) {
        self.counters.extend(plane.counters.take_changed());
        self.note(plane.last_used.iter().flat_map(|source| source.take()));
    }

    fn note(&mut self, uses: impl IntoIterator<Item = (KeyId, KeyUsage)>) {
        for (key, usage) in uses {
            self.uses.entry(key).or_default().add(&usage);
        }
    }

    fn uses(&self, which: Uses, now: Instant) -> Vec<(KeyId, KeyUsage)> {
        let is_wanted = |key: &KeyId| match which {
            Uses::All => true,
            Uses::Due => self.noted.get(key).is_none_or(|&noted| is_due(noted, now)),
        };
        self.uses.iter().filter(|(key, _)| is_wanted(key)).map(|(&key, &usage)| (key, usage)).collect()
    }

    fn are_saved(&mut self, uses: &[(KeyId, KeyUsage)], now: Instant) {
        self.counters.clear();
        self.noted.retain(|_, noted| !is_due(*noted, now));
        for (key, _) in uses {
            self.uses.remove(key);
            self.noted.insert(*key, now);
        }
    }

    /// Keeps what could not be saved from growing with time.
    fn drop_superseded(&mut self) {
        let newest: HashMap<(Subject, Window), CounterRecord> =
            self.counters.drain(..).map(|record| ((record.subject, record.window), record)).collect();
        self.counters = newest.into_values().collect();
    }
}

fn is_due(noted: Instant, now: Instant) -> bool {
    now.saturating_duration_since(noted) >= USE_EVERY
}

async fn save(
    plane: &Inner,
    counters: &[CounterRecord],
    uses: &[(KeyId, KeyUsage)],
) -> Result<(), StoreError> {
    let _turn = plane.turn.lock().await;
    let mut write = plane.store.write(clock::now_secs()).await?;
    write.save_counters(counters).await?;
    write.note_key_uses(uses).await?;
    write.commit().await
}

async fn sweep_store(plane: &ControlPlane, counted_until: UnixMicros) -> Result<(), EditError> {
    let mut edit = Edit::begin(plane).await?;
    edit.write().merge_counters(counted_until).await?;
    edit.write().delete_expired_sessions().await?;
    edit.write().forget_node_runs(clock::now_secs().saturating_sub(NODE_RUN_SECS)).await?;
    edit.write().delete_events_before(clock::now_secs().saturating_sub(EVENTS_KEPT_SECS)).await?;
    edit.drop_lapsed_values().await?;
    edit.commit().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uses_of_a_key_are_saved_once_a_minute_and_all_of_them_at_the_end() {
        let (mut unsaved, start) = (Unsaved::default(), Instant::now());
        let key = KeyId(uuid::Uuid::from_u128(1));
        let mut due = |after_secs: u64, which| {
            unsaved.note([(key, KeyUsage::default())]);
            let now = start + Duration::from_secs(after_secs);
            let uses = unsaved.uses(which, now);
            unsaved.are_saved(&uses, now);
            uses.len()
        };
        assert_eq!([due(0, Uses::Due), due(59, Uses::Due), due(59, Uses::All)], [1, 0, 1]);
        assert_eq!([due(118, Uses::Due), due(119, Uses::Due)], [0, 1]);
    }
}
