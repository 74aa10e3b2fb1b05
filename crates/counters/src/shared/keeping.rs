//! What the keeper's task does: it connects, looks whether the store is alive and has lost nothing, tells it what it does not know,
//! and gives back what is not used.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{oneshot, watch};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tollgate_core::time::UnixMicros;

use super::connection::{Connection, Link};
use super::keeper::{Phase, StoreError, wall};
use super::members::{self, Beat, Seen};
use super::refreshing::Refreshing;
use super::remembered::Remembered;
use super::settings::StoreSettings;
use super::{Shared, scripts};
use crate::Sweeps;

/// How often the store is asked whether it is there.
const BEAT: Duration = Duration::from_millis(250);
/// In which time all nodes hear of a new one.
const JOINING: Duration = Duration::from_millis(300);
/// A store that takes longer to say that it is there is away. Requests find that out sooner.
const BEAT_TAKES: Duration = Duration::from_millis(500);
/// How often slices are looked through.
const TICK: Duration = Duration::from_millis(100);
const SWEEP: Duration = Duration::from_mins(1);
/// Between two attempts to reach the store.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);
/// For one attempt to connect, name look-ups included.
const ATTEMPT: Duration = Duration::from_secs(2);
/// For everything that is left to say at the end.
const FAREWELL: Duration = Duration::from_secs(2);

pub struct Keeping {
    shared: Arc<Shared>,
    settings: StoreSettings,
    remembered: Remembered,
    /// This process among the nodes.
    name: String,
    seen: Option<Seen>,
    /// Whether the store was up before.
    was_up: bool,
    swept: Instant,
    sweeps: Sweeps,
    refreshing: Refreshing,
}

impl Keeping {
    pub fn new(shared: Arc<Shared>, settings: StoreSettings) -> Self {
        let remembered = Remembered::open(settings.nodes_file.clone());
        if let Some(share) = remembered.share() {
            *shared.share.lock() = share;
        }
        Self {
            shared,
            settings,
            remembered,
            name: members::node_name(),
            seen: None,
            was_up: false,
            swept: Instant::now(),
            sweeps: Sweeps::default(),
            refreshing: Refreshing::default(),
        }
    }

    pub async fn run(mut self, mut phase: watch::Receiver<Phase>, tried: oneshot::Sender<()>) {
        let mut tried = Some(tried);
        let mut pause = FIRST_PAUSE;
        let mut is_told = false;
        loop {
            let attempt = tokio::select! {
                biased;
                () = ending(&mut phase) => return,
                attempt = self.attempt() => attempt,
            };
            let outcome = match attempt {
                Ok(link) => {
                    // Its loss is said when it is lost.
                    (pause, is_told) = (FIRST_PAUSE, true);
                    drop(tried.take());
                    self.keep(&link, &mut phase).await
                }
                Err(error) => {
                    if !is_told {
                        tracing::warn!(%error, "the counter store cannot be reached: limits are counted as their plans say for that");
                    }
                    is_told = true;
                    drop(tried.take());
                    Kept::Lost
                }
            };
            match outcome {
                Kept::Lost => {
                    tokio::select! {
                        biased;
                        () = ending(&mut phase) => return,
                        () = tokio::time::sleep(pause) => {}
                    }
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                Kept::Ended => return,
            }
        }
    }

    /// Connects, and tells the store what it does not know; then it is up.
    async fn attempt(&mut self) -> Result<Arc<Link>, StoreError> {
        let connection = timeout(ATTEMPT, self.connect()).await??;
        if !self.was_up {
            // The others are to know of this node before it takes a share.
            tokio::time::sleep(JOINING).await;
            timeout(BEAT_TAKES, self.beat(&connection)).await??;
        }
        if self.shared.incarnation.is_lost() {
            self.told_again(self.shared.put_back(&connection).await?);
        }
        self.shared.tell_owed(&connection).await?;
        let link = Arc::new(Link { connection, losses_before: self.shared.status.losses() });
        self.shared.link.store(Some(Arc::clone(&link)));
        self.shared.status.is_back();
        self.shared.forget_apart();
        self.was_up = true;
        self.shared.give_back_late();
        tracing::info!(nodes = self.shared.share.lock().nodes(), "the counter store is up");
        Ok(link)
    }

    async fn connect(&mut self) -> Result<Connection, StoreError> {
        let connection = Connection::open(&self.settings).await?;
        let scripts = scripts::load(&connection).await?.ok_or(StoreError::Answer)?;
        // The same as before, if there was one.
        let _same = self.shared.scripts.set(scripts);
        self.beat(&connection).await?;
        Ok(connection)
    }

    /// Until the store is lost, or this is to end.
    async fn keep(&mut self, link: &Link, phase: &mut watch::Receiver<Phase>) -> Kept {
        let mut beats = interval(BEAT);
        let mut ticks = interval(TICK);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let shared = Arc::clone(&self.shared);
        loop {
            let outcome = tokio::select! {
                biased;
                () = shared.failed.notified() => return Kept::Lost,
                () = ending(phase) => {
                    if timeout(FAREWELL, self.shared.end(&link.connection, &self.name)).await.is_err() {
                        tracing::warn!("the counter store was not told everything: some of this node's slices count as used");
                    }
                    return Kept::Ended;
                }
                _ = beats.tick() => {
                    let looked = self.look(&link.connection).await;
                    self.shared.ask_anew(&mut self.refreshing);
                    looked
                }
                () = shared.incarnation.doubted() => self.look(&link.connection).await,
                _ = ticks.tick() => {
                    self.shared.give_back_idle();
                    self.shared.tell_owed(&link.connection).await
                }
            };
            if let Err(error) = outcome {
                self.shared.lost(link.losses_before, &error);
            }
            if self.swept.elapsed() >= SWEEP {
                self.swept = Instant::now();
                self.shared.sweep(&mut self.sweeps);
            }
        }
    }

    /// A store that is not the one that it was is told what this node knows.
    async fn look(&mut self, connection: &Connection) -> Result<(), StoreError> {
        timeout(BEAT_TAKES, self.beat(connection)).await??;
        if self.shared.incarnation.is_lost() {
            self.told_again(self.shared.put_back_meanwhile().await);
        }
        Ok(())
    }

    /// Says that this node is alive, hears which others are, and which store in which life of it this is.
    async fn beat(&mut self, connection: &Connection) -> Result<(), StoreError> {
        let look = self.shared.incarnation.begin_to_look();
        let lives = connection.call_all(redis::cmd("INFO").arg("server").take()).await?;
        let servers = members::run_ids(&lives);
        let sent = wall();
        let answer = connection.call_one(&members::alive(&self.name, &servers, self.seen.as_ref())).await?;
        let received = wall();
        let beat = Beat::parse(answer).ok_or(StoreError::Answer)?;
        self.shared.note_time(beat.now, UnixMicros(u64::midpoint(sent.0, received.0)));
        if let Some(share) = beat.share(&self.name) {
            *self.shared.share.lock() = share;
            self.remembered.note(share);
        }
        match &self.seen {
            None => self.shared.incarnation.meet(beat.incarnation),
            Some(seen) if seen.incarnation != beat.incarnation => {
                let sound_until = seen.at_by_clock_of(beat.now, seen.heard.elapsed());
                self.shared.incarnation.follow(beat.incarnation, sound_until);
            }
            Some(_same) => {}
        }
        self.seen =
            Some(Seen { servers, at: beat.now, heard: Instant::now(), incarnation: beat.incarnation });
        self.shared.incarnation.has_looked(look);
        Ok(())
    }

    fn told_again(&self, subjects: usize) {
        self.shared.status.count_put_back();
        tracing::warn!(subjects, "the counter store has changed: what it may have lost was put back");
    }
}

/// Until it is to end; also where nobody is left to say so.
async fn ending(phase: &mut watch::Receiver<Phase>) {
    drop(phase.wait_for(|phase| *phase == Phase::Ending).await);
}

enum Kept {
    Lost,
    Ended,
}
