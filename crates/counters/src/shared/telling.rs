//! What the keeper tells the store by itself: what it may have lost, what it could not be told, what was not used.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use redis::{Cmd, Pipeline};
use tokio::time::timeout;
use tollgate_core::limit::SubjectWindows;

use super::Shared;
use super::apart::Owed;
use super::call::{Amount, Periods};
use super::connection::Connection;
use super::keeper::{StoreError, wall};
use super::members;

/// Most subjects that are told of at once, and how long that may take.
const CHUNK: usize = 500;
const TAKES: Duration = Duration::from_secs(2);

impl Shared {
    /// Tells the store everything that it said in an earlier incarnation.
    pub(super) async fn put_back(&self, connection: &Connection) -> Result<usize, StoreError> {
        let incarnation = self.incarnation.load(Ordering::Relaxed);
        let mut known = Vec::new();
        for shard in self.ledgers.shards() {
            for (subject, ledger) in shard.lock().all_mut() {
                for windows in ledger.take_known(incarnation) {
                    known.push((subject, Arc::clone(&ledger.rules), windows));
                }
            }
        }
        let now = self.server_time(wall());
        for chunk in known.chunks(CHUNK) {
            let puts =
                chunk.iter().map(|(subject, rules, mirror)| self.caller(*subject, rules, now).put(mirror));
            call_all_ok(connection, puts).await?;
        }
        Ok(known.len())
    }

    /// Tells the store what was let through while it could not be asked.
    pub(super) async fn tell_owed(&self, connection: &Connection) -> Result<(), StoreError> {
        if !self.is_owing.swap(false, Ordering::Relaxed) {
            return Ok(());
        }
        let mut owing = Vec::new();
        for shard in self.ledgers.shards() {
            for (subject, ledger) in shard.lock().all_mut() {
                if std::mem::take(&mut ledger.owes) {
                    owing.push((subject, Arc::clone(&ledger.rules)));
                }
                ledger.apart = None;
            }
        }
        let now = self.server_time(wall());
        for (index, chunk) in owing.chunks(CHUNK).enumerate() {
            let taken: Vec<Owed> =
                chunk.iter().map(|(subject, rules)| self.take_owed(*subject, rules, now)).collect();
            let tell = taken.iter().map(|owed| {
                self.caller(owed.subject, &owed.rules, now).adjust(Periods::Of(&owed.windows), &owed.amounts)
            });
            if let Err(error) = call_all_ok(connection, tell).await {
                // Perhaps some of it was heard: counted twice is better than not at all.
                for owed in taken {
                    self.still_owes(owed);
                }
                for (subject, rules) in owing.iter().skip((index + 1) * CHUNK) {
                    self.note_owing(*subject, rules, Instant::now());
                }
                return Err(error);
            }
        }
        Ok(())
    }

    pub(super) fn give_back_idle(&self) {
        let now = Instant::now();
        let mut unused = Vec::new();
        for shard in self.ledgers.shards() {
            shard.lock().each_holding(|subject, ledger| {
                let slices = ledger.slices.take_unused(now);
                if !slices.is_empty() {
                    unused.push((subject, Arc::clone(&ledger.rules), slices));
                }
            });
        }
        for (subject, rules, slices) in unused {
            self.give_back(subject, &rules, slices);
        }
    }

    /// Nobody asks any more: everything goes back.
    pub(super) async fn end(&self, connection: &Connection, name: &str) {
        // Slices that are on their way arrive first.
        self.until_all_passed().await;
        let now = self.server_time(wall());
        let nothing = SubjectWindows::default();
        let mut back = Vec::new();
        for shard in self.ledgers.shards() {
            shard.lock().each_holding(|subject, ledger| {
                for unused in ledger.slices.take_all() {
                    let amount = Amount::Less { units: unused.units, charged_at: unused.granted_at };
                    let amounts = vec![amount; ledger.rules.len()];
                    let caller = self.caller(subject, &ledger.rules, now);
                    back.push(caller.adjust(Periods::Of(&nothing), &amounts));
                }
            });
        }
        let told = self.tell_owed(connection).await;
        let given = call_all_ok(connection, back).await;
        let left = connection.call_one(&members::leaves(name)).await;
        if let Err(error) = told.and(given).and(left.map(drop).map_err(StoreError::from)) {
            tracing::warn!(%error, "the counter store was not told everything: some of this node's slices count as used");
        }
    }

    /// What was to be given back while the store was away.
    pub(super) fn give_back_late(&self) {
        for (about, unused) in std::mem::take(&mut *self.not_given_back.lock()) {
            self.give_back(about.subject, &about.rules, [unused]);
        }
    }

    /// What was counted apart begins anew, should the store go away again.
    pub(super) fn forget_apart(&self) {
        for shard in self.ledgers.shards() {
            shard.lock().all_mut().for_each(|(_, ledger)| ledger.apart = None);
        }
    }
}

async fn call_all_ok(
    connection: &Connection,
    commands: impl IntoIterator<Item = Cmd>,
) -> Result<(), StoreError> {
    let mut pipeline = Pipeline::new();
    for cmd in commands {
        pipeline.add_command(cmd);
    }
    if pipeline.is_empty() {
        return Ok(());
    }
    let replies = timeout(TAKES, connection.call(&pipeline)).await??;
    replies.into_iter().try_for_each(|reply| reply.map(drop).map_err(StoreError::from))
}
