//! Reporting to the control plane: which revision is in force, as soon as it is, how keys were
//! used, and which thresholds of limits were reached.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::sync::watch;
use tokio::time::timeout;
use tollgate_core::event::LimitCrossed;
use tollgate_core::resource::KeyId;
use tollgate_core::usage::KeyUsage;
use uuid::Uuid;

use crate::counts;
use crate::crossings::Crossings;
use crate::link::{Connection, LinkError};
use crate::node::{Facts, Settings};
use crate::uses::{Batch, Uses, Which};

/// At the latest; sooner where something has come into force.
const REPORT_EVERY: Duration = Duration::from_secs(3);
const LAST_REPORT: Duration = Duration::from_secs(2);

/// How far the node has come since it started.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    /// In force; zero before the first.
    pub revision: u64,
    pub full_syncs: u64,
    /// Sent one by one.
    pub changes: u64,
}

pub struct Reporter {
    settings: Arc<Settings>,
    progress: watch::Receiver<Progress>,
    facts: Facts,
    uses: Uses,
    crossings: Crossings,
    /// Of this process, for the numbers of its batches.
    session: Uuid,
}

#[derive(Serialize)]
struct Status<'s> {
    node: &'s str,
    version: &'s str,
    revision: u64,
    full_syncs: u64,
    changes: u64,
    session: Uuid,
    number: u64,
    key_uses: Vec<KeyUse>,
    limits_crossed: &'s [LimitCrossed],
}

#[derive(Serialize)]
struct KeyUse {
    key: KeyId,
    last_used_secs: u64,
    requests: u64,
    rejections: u64,
}

/// Whether there may be more to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Said {
    All,
    Part,
}

impl Reporter {
    pub fn new(settings: Arc<Settings>, progress: watch::Receiver<Progress>, facts: Facts) -> Self {
        let (uses, crossings) = (Uses::default(), Crossings::default());
        Self { settings, progress, facts, uses, crossings, session: Uuid::now_v7() }
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
            }
            // Where there will be no more progress, the follower is gone, and this soon.
            let _progress_or_not = timeout(REPORT_EVERY, self.progress.changed()).await;
        }
    }

    /// What there is left to say at the end.
    pub async fn report_last(&mut self) {
        let settings = Arc::clone(&self.settings);
        let mut connection = None;
        let reports = async {
            while self.report(&settings, &mut connection, Which::All).await? == Said::Part {}
            Ok::<_, LinkError>(())
        };
        match timeout(LAST_REPORT, reports).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "what was counted last did not reach the control plane"),
            Err(_) => tracing::warn!("what was counted last did not reach the control plane in time"),
        }
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
        let Progress { revision, full_syncs, changes } = *self.progress.borrow_and_update();
        let Batch { number, used } = self.uses.next(which, counts::now().secs());
        let status = Status {
            node: settings.name.as_str(),
            version: settings.version,
            revision,
            full_syncs,
            changes,
            session: self.session,
            number: *number,
            key_uses: used.iter().map(KeyUse::from).collect(),
            limits_crossed: self.crossings.next(),
        };
        let is_all = used.is_empty() && status.limits_crossed.is_empty();
        let said = if is_all { Said::All } else { Said::Part };
        // Numbers and plain texts always serialise.
        let body = serde_json::to_vec(&status).unwrap_or_default();
        connection.post("/api/node/status", body).await?;
        self.uses.told();
        self.crossings.told();
        Ok(said)
    }
}

impl From<&(KeyId, KeyUsage)> for KeyUse {
    fn from(&(key, KeyUsage { last_used_secs, requests, rejections }): &(KeyId, KeyUsage)) -> Self {
        Self { key, last_used_secs, requests, rejections }
    }
}
