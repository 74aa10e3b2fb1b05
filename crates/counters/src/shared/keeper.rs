//! Keeps the store at hand, in tasks of its own, until it is closed; and knows whether it is there.

use std::array;
use std::fmt::Display;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{SystemTime, UNIX_EPOCH};

use futures_util::future::select_all;
use redis::RedisError;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tollgate_core::time::UnixMicros;
use tollgate_core::uptime::micros;

use super::keeping::Keeping;
use super::settings::{StoreSettings, TimeSource};
use super::{LANES, Shared, dispatch};
use crate::{Counters, LocalCounters, Sweeps};

/// The task that keeps the store, and those that ask it. They end with [`Keeper::close`].
pub struct Keeper {
    shared: Arc<Shared>,
    stop: watch::Sender<Phase>,
    task: JoinHandle<()>,
    lanes: [JoinHandle<()>; LANES],
    first: oneshot::Receiver<()>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    Keeping,
    Ending,
}

/// Why the store cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("{0}")]
    Redis(#[from] RedisError),
    #[error("it did not answer in time")]
    Late,
    #[error("it gave an answer that is none")]
    Answer,
}

impl From<tokio::time::error::Elapsed> for StoreError {
    fn from(_: tokio::time::error::Elapsed) -> Self {
        Self::Late
    }
}

impl Keeper {
    /// Begins to keep the store, on the runtime that this is called in. `local` is where limits are counted that the store
    /// does not count, and what it cannot be told.
    pub fn start(settings: StoreSettings, local: Arc<LocalCounters>, time: TimeSource) -> (Counters, Self) {
        let [(first_lane, first_asked), (second_lane, second_asked)] =
            array::from_fn::<_, LANES, _>(|_lane| mpsc::unbounded_channel());
        let shared = Arc::new(Shared::new(Arc::clone(&local), time, [first_lane, second_lane]));
        let (stop, phase) = watch::channel(Phase::Keeping);
        let (tried, first) = oneshot::channel();
        let lanes =
            [first_asked, second_asked].map(|asked| tokio::spawn(dispatch::run(Arc::clone(&shared), asked)));
        let keeping = Keeping::new(Arc::clone(&shared), settings);
        let task = tokio::spawn(keeping.run(phase, tried));
        (Counters::shared(local, Arc::clone(&shared)), Self { shared, stop, task, lanes, first })
    }

    /// Until the store was reached, or could not be, for the first time.
    pub async fn first_attempt(&mut self) {
        // A keeper that is gone has nothing to wait for.
        drop((&mut self.first).await);
    }

    /// Done where one of the tasks has panicked: the store is not kept any more, and requests would wait for it in vain.
    pub async fn failed(&mut self) {
        let _which = select_all(self.lanes.iter_mut().chain([&mut self.task])).await;
    }

    /// Gives back all slices, and tells the store what it does not know yet; for as long as that is worth it.
    pub async fn close(self) {
        self.stop.send_replace(Phase::Ending);
        // One that has ended by itself was asked how, or will be: it may not be asked twice.
        if !self.task.is_finished() && self.task.await.is_err() {
            tracing::error!("the counter store's keeper panicked");
        }
        drop(self.shared);
    }
}

impl Shared {
    /// The store is not to be asked any more, unless it is lost and back already.
    pub(super) fn lost(&self, losses_before: u64, why: &dyn Display) {
        // Before anybody sees that it is lost: what it was charged until now is given back there.
        self.has_heard_until(self.server_time(wall()));
        if self.status.is_lost(losses_before) {
            self.link.store(None);
            self.losses.send_replace(self.status.losses());
            self.forget_apart();
            tracing::warn!(error = %why, "the counter store is down: limits are counted as their plans say for that");
            self.failed.notify_one();
        }
    }

    pub(super) fn note_time(&self, server_now: UnixMicros, here: UnixMicros) {
        let ahead = i64::try_from(i128::from(server_now.0) - i128::from(here.0)).unwrap_or(0);
        self.ahead_micros.store(ahead, Ordering::Relaxed);
    }

    pub(super) fn sweep(&self, sweeps: &mut Sweeps) {
        let now = sweeps.next(self.server_time(wall()));
        for shard in self.ledgers.shards() {
            shard.lock().retain(|ledger| !ledger.is_over(now));
        }
    }
}

pub fn wall() -> UnixMicros {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMicros(micros(since_epoch))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;
    use tollgate_core::resource::CounterStoreUrl;

    use super::*;

    /// Nobody listens there.
    fn keeper() -> Keeper {
        let url = CounterStoreUrl::parse("redis://127.0.0.1:1").unwrap();
        let settings = StoreSettings { url, authorities: None, nodes_file: None };
        Keeper::start(settings, Arc::new(LocalCounters::new()), TimeSource::Server).1
    }

    #[tokio::test]
    async fn a_task_of_the_keeper_that_ends_is_missed() {
        for which in 0..=LANES {
            let mut keeper = keeper();
            assert!(timeout(Duration::ZERO, keeper.failed()).await.is_err());
            keeper.lanes.get(which).unwrap_or(&keeper.task).abort();
            keeper.failed().await;
            keeper.close().await;
        }
    }
}
