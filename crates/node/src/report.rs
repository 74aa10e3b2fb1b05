//! Reporting to the control plane: which revision is in force, as soon as it is, how keys were
//! used, which thresholds of limits were reached, and what is
//! not as usual with services, soon after it has changed.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tollgate_core::event::LimitCrossed;
use tollgate_core::feed::{Epoch, Order, Position};
use tollgate_core::sighting::SightingReport;
use uuid::Uuid;

use crate::counts;
use crate::crossings::Crossings;
use crate::link::{Connection, LinkError};
use crate::node::{Facts, Settings};
use crate::sightings::Sightings;
use crate::untold::Untold;
use crate::uses::{Batch, KeyUse, Uses, Which};

/// At the latest; sooner where something has come into force.
const REPORT_EVERY: Duration = Duration::from_secs(3);
/// How often it is looked whether there is something new with services.
const LOOK_EVERY: Duration = Duration::from_millis(500);
const LAST_REPORT: Duration = Duration::from_secs(2);

/// How far the node has come since it started.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    /// In force; nothing before the first.
    pub position: Option<Position>,
    pub full_syncs: u64,
    /// Sent one by one.
    pub changes: u64,
    /// Times that a control plane has begun to feed.
    pub feeds: u64,
}

pub struct Reporter {
    settings: Arc<Settings>,
    progress: watch::Receiver<Progress>,
    facts: Arc<Facts>,
    /// Orders that were carried out.
    done: mpsc::Receiver<Order>,
    uses: Uses,
    crossings: Crossings,
    sightings: Sightings,
    /// Of the progress, when a sighting was told last.
    feeds: u64,
    /// For the numbers of batches: of this process, or of an earlier one that had not told everything.
    session: Uuid,
}

#[derive(Serialize)]
struct Status<'s> {
    node: &'s str,
    version: &'s str,
    revision: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    epoch: Option<Epoch>,
    full_syncs: u64,
    changes: u64,
    session: Uuid,
    number: u64,
    key_uses: Vec<KeyUse>,
    limits_crossed: &'s [LimitCrossed],
    traffic: &'s SightingReport,
}

/// Whether there may be more to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Said {
    All,
    Part,
}

impl Reporter {
    pub fn new(
        settings: Arc<Settings>,
        progress: watch::Receiver<Progress>,
        facts: Arc<Facts>,
        done: mpsc::Receiver<Order>,
        untold: Option<Untold>,
    ) -> Self {
        let own = Uuid::now_v7();
        let (mut session, mut uses, mut crossings) = (own, Uses::default(), Crossings::default());
        if let Some(untold) = untold {
            (session, uses) = (untold.session, Uses::restored(untold.uses));
            crossings.note(untold.crossed);
        }
        let sightings = Sightings::new(own);
        Self { settings, progress, facts, done, uses, crossings, sightings, feeds: 0, session }
    }

    /// For good: a report that fails is made up for by the next.
    pub async fn run(&mut self) {
        let settings = Arc::clone(&self.settings);
        let mut connection = None;
        loop {
            if let Err(error) = self.report(&settings, &mut connection, Which::Due).await {
                // The feed has the same trouble, and says so.
                tracing::debug!(%error, "a report did not reach the control plane");
                connection = None;
                // Whether it was taken is not known.
                self.sightings.begin_anew();
                let _progress_or_not = timeout(REPORT_EVERY, until_progress(&mut self.progress)).await;
            } else if !self.sightings.is_cut() {
                self.until_due().await;
            }
        }
    }

    /// Until there is something new to say, or it is time to say that there is nothing.
    async fn until_due(&mut self) {
        let latest = Instant::now() + REPORT_EVERY;
        loop {
            tokio::select! {
                biased;
                () = until_progress(&mut self.progress) => return,
                Some(order) = self.done.recv() => return self.sightings.note_done(&order),
                () = sleep_until(latest) => return,
                () = sleep(LOOK_EVERY) => {
                    if self.sightings.is_news(&(self.facts.traffic)(), Instant::now()) {
                        return;
                    }
                }
            }
        }
    }

    /// What there is left to say at the end; gives what could not be said.
    pub async fn report_last(mut self) -> Option<Untold> {
        let settings = Arc::clone(&self.settings);
        let mut connection = None;
        let reports = async {
            while self.report(&settings, &mut connection, Which::All).await? == Said::Part {}
            Ok::<_, LinkError>(())
        };
        match timeout(LAST_REPORT, reports).await {
            Ok(Ok(())) => return None,
            Ok(Err(error)) => tracing::warn!(%error, "what was counted last did not reach the control plane"),
            Err(_) => tracing::warn!("what was counted last did not reach the control plane in time"),
        }
        let Self { session, uses, crossings, .. } = self;
        let untold = Untold { session, uses: uses.into_kept(), crossed: crossings.into_kept() };
        (!untold.is_empty()).then_some(untold)
    }

    async fn report<'s>(
        &mut self,
        settings: &'s Settings,
        connection: &mut Option<Connection<'s>>,
        which: Which,
    ) -> Result<Said, LinkError> {
        self.uses.note((self.facts.key_usage)());
        self.crossings.note((self.facts.crossings)());
        if connection.as_ref().is_some_and(Connection::is_closed) {
            *connection = None;
        }
        let connection = match connection {
            Some(connection) => connection,
            None => connection.insert(settings.link.open().await?),
        };
        let Progress { position, full_syncs, changes, feeds } = *self.progress.borrow_and_update();
        // A control plane that begins to feed may know nothing of what was said to the one before.
        if std::mem::replace(&mut self.feeds, feeds) != feeds {
            self.sightings.begin_anew();
        }
        while let Ok(order) = self.done.try_recv() {
            self.sightings.note_done(&order);
        }
        let traffic = match which {
            Which::Due => self.sightings.next((self.facts.traffic)(), Instant::now()),
            Which::All => self.sightings.last(),
        };
        let Batch { number, used } = self.uses.next(which, counts::now().secs());
        let status = Status {
            node: settings.name.as_str(),
            version: settings.version,
            revision: position.map_or(0, |position| position.revision),
            epoch: position.map(|position| position.epoch),
            full_syncs,
            changes,
            session: self.session,
            number: *number,
            key_uses: used.iter().copied().map(KeyUse::from).collect(),
            limits_crossed: self.crossings.next(),
            traffic,
        };
        let is_all = used.is_empty() && status.limits_crossed.is_empty();
        let said = if is_all { Said::All } else { Said::Part };
        // Numbers and plain texts always serialise.
        let body = serde_json::to_vec(&status).unwrap_or_default();
        connection.post("/api/node/status", body).await?;
        self.uses.told();
        self.crossings.told();
        self.sightings.told(Instant::now());
        Ok(said)
    }
}

/// Where the follower is gone there is none any more: what else there is to say is said all the same.
async fn until_progress(progress: &mut watch::Receiver<Progress>) {
    if progress.changed().await.is_err() {
        pending::<()>().await;
    }
}

#[cfg(test)]
mod tests {
    use std::future::{Future, poll_fn};
    use std::pin::pin;
    use std::task::Poll;

    use super::*;

    #[tokio::test]
    async fn a_follower_that_is_gone_makes_no_progress() {
        let (sender, mut progress) =
            watch::channel(Progress { position: None, full_syncs: 0, changes: 0, feeds: 0 });
        sender.send_modify(|progress| progress.changes += 1);
        until_progress(&mut progress).await;
        drop(sender);
        let mut next = pin!(until_progress(&mut progress));
        assert_eq!(poll_fn(|cx| Poll::Ready(next.as_mut().poll(cx))).await, Poll::Pending);
    }
}
