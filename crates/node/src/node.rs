//! The node as the binary sees it: what was saved is in force when it has opened, and what the control plane
//! sends from then on.

use std::future::Future;
use std::io;
use std::panic::resume_unwind;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::{Notify, watch};
use tokio::task::{JoinError, JoinHandle};
use tokio::time::{MissedTickBehavior, interval, interval_at};
use tollgate_core::event::LimitCrossed;
use tollgate_core::feed::{NodeName, Ordered, Position};
use tollgate_core::resource::KeyId;
use tollgate_core::sighting::Sighting;
use tollgate_core::snapshot::Snapshot;
use tollgate_core::usage::KeyUsage;
use tollgate_counters::{LocalCounters, Sweeps};

use crate::counts::{self, Counts};
use crate::feed::Follower;
use crate::link::Link;
use crate::orders;
use crate::report::{Progress, Reporter};
use crate::saved::{self, Saver};
use crate::untold::Untold;

const KEEP_EVERY: Duration = Duration::from_secs(3);
const SWEEP_EVERY: Duration = Duration::from_mins(1);

pub struct Settings {
    /// The way to the control plane.
    pub link: Link,
    pub name: NodeName,
    /// The node's version of Tollgate.
    pub version: &'static str,
    /// Where the node keeps what it has; its own, and there already.
    pub directory: PathBuf,
}

/// Done when it ends.
pub type CarryingOut = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What the proxy has to do with the control plane.
pub struct Facts {
    /// How keys were used since the last call.
    pub key_usage: Box<dyn Fn() -> Vec<(KeyId, KeyUsage)> + Send + Sync>,
    /// Thresholds of limits that were reached since the last call.
    pub crossings: Box<dyn Fn() -> Vec<LimitCrossed> + Send + Sync>,
    /// What there is to say of services now.
    pub traffic: Box<dyn Fn() -> Sighting + Send + Sync>,
    /// Does what an operator wants done.
    pub carry_out: Box<dyn Fn(Ordered) -> CarryingOut + Send + Sync>,
}

pub struct Node {
    settings: Arc<Settings>,
    snapshot: Arc<ArcSwap<Snapshot>>,
    counters: Arc<LocalCounters>,
    position: Option<Position>,
    saver: Saver,
    counts: Counts,
}

/// What the node had counted when it ended is not all kept.
#[derive(Debug, thiserror::Error)]
pub enum Lost {
    #[error("what limits have counted last could not be kept, and is lost: the log says why")]
    Counts,
    #[error(
        "what the control plane had not been told could not be kept for the next start, and is lost: {0}"
    )]
    Untold(#[source] io::Error),
}

#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("the node's {what} cannot be used: {source}")]
    File { what: &'static str, source: io::Error },
}

impl Node {
    /// Puts in force what was saved. What is damaged is left out, and said in the log.
    pub fn open(
        settings: Settings,
        snapshot: Arc<ArcSwap<Snapshot>>,
        counters: Arc<LocalCounters>,
    ) -> Result<Self, OpenError> {
        let saved = saved::load_or_explain(&settings.directory);
        let position = saved.as_ref().map(|saved| saved.position);
        if let Some(saved) = &saved {
            snapshot.store(Arc::clone(&saved.snapshot));
            tracing::info!(
                revision = saved.position.revision,
                keys = saved.snapshot.key_hashes(),
                "what the control plane sent last is in force"
            );
        }
        let saver = Saver::start(&settings.directory, saved.as_ref())
            .map_err(|source| OpenError::File { what: "saved state", source })?;
        let (counts, kept) = Counts::open(&settings.directory)
            .map_err(|source| OpenError::File { what: "counters", source })?;
        counters.restore(kept);
        Ok(Self { settings: Arc::new(settings), snapshot, counters, position, saver, counts })
    }

    /// Follows the control plane, reports to it and keeps what is counted, until `shutdown`; then keeps and reports once more. A node
    /// of which one of these has panicked must not pass for one that works: `failed` is called at once, the others go on until
    /// `shutdown`, as requests do, and the panic comes last.
    pub async fn run(
        self,
        facts: Facts,
        failed: impl FnOnce(),
        shutdown: impl Future<Output = ()>,
    ) -> Result<(), Lost> {
        let Self { settings, snapshot, counters, position, saver, mut counts } = self;
        let progress = watch::Sender::new(Progress { position, full_syncs: 0, changes: 0, feeds: 0 });
        let facts = Arc::new(facts);
        let (orders, done) = orders::channel(Arc::clone(&facts));
        let untold = Untold::take(&settings.directory);
        let mut reporter = Reporter::new(Arc::clone(&settings), progress.subscribe(), facts, done, untold);
        let mut follower = Follower::new(Arc::clone(&settings), snapshot, position, saver, progress, orders);

        let ended = Arc::new(Notify::new());
        let (stop, stopped) = watch::channel(());
        let following = start(&ended, async move { follower.follow().await });
        let reporting = {
            let stopped = stopped.clone();
            start(&ended, async move {
                until_stopped(stopped, reporter.run()).await;
                reporter
            })
        };
        let keeping = {
            let counters = Arc::clone(&counters);
            start(&ended, async move {
                until_stopped(stopped, keep(&mut counts, &counters)).await;
                counts
            })
        };
        tokio::pin!(shutdown);
        tokio::select! {
            biased;
            () = &mut shutdown => {}
            () = ended.notified() => {
                failed();
                shutdown.await;
            }
        }
        drop(stop);
        // The follower goes, and with it the saver, which writes out what it was given.
        following.abort();
        let followed = following.await;
        let kept = keeping.await.map(|mut counts| {
            counts.append(counters.take_changed());
            if counts.are_kept() { Ok(()) } else { Err(Lost::Counts) }
        });
        let told = match reporting.await {
            Ok(reporter) => match reporter.report_last().await {
                Some(untold) => Ok(untold
                    .keep(&settings.directory)
                    .inspect(|()| tracing::info!("it is kept, and told after the next start"))
                    .map_err(Lost::Untold)),
                None => Ok(Ok(())),
            },
            Err(error) => Err(error),
        };
        not_panicked(followed);
        let (told, kept) = (not_panicked(told), not_panicked(kept));
        told.unwrap_or(Ok(()))?;
        kept.unwrap_or(Ok(()))
    }
}

/// In a task of its own, which says so when it ends.
fn start<T: Send + 'static>(
    ended: &Arc<Notify>,
    work: impl Future<Output = T> + Send + 'static,
) -> JoinHandle<T> {
    let ending = Ending(Arc::clone(ended));
    tokio::spawn(async move {
        let _ending = ending;
        work.await
    })
}

/// Says so when it goes, in a panic too.
struct Ending(Arc<Notify>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

async fn until_stopped(mut stopped: watch::Receiver<()>, work: impl Future<Output = ()>) {
    tokio::select! {
        _nobody_sends = stopped.changed() => {}
        () = work => {}
    }
}

/// Goes on with the panic of a task that has panicked; `None` of one that was told to end.
fn not_panicked<T>(ended: Result<T, JoinError>) -> Option<T> {
    match ended.map_err(JoinError::try_into_panic) {
        Ok(outcome) => Some(outcome),
        Err(Ok(panic)) => resume_unwind(panic),
        Err(Err(_cancelled)) => None,
    }
}

async fn keep(counts: &mut Counts, counters: &LocalCounters) {
    let mut sweeps = Sweeps::default();
    let mut keep = interval(KEEP_EVERY);
    let mut sweep = interval_at(tokio::time::Instant::now() + SWEEP_EVERY, SWEEP_EVERY);
    keep.set_missed_tick_behavior(MissedTickBehavior::Delay);
    sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = keep.tick() => counts.append(counters.take_changed()),
            _ = sweep.tick() => {
                let now = sweeps.next(counts::now());
                counters.sweep(now);
                counts.merge(now);
            }
        }
    }
}

#[cfg(test)]
mod tests;
