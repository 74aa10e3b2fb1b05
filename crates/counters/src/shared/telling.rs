//! What the keeper tells the store by itself: what it may have lost, what it could not be told, what was not used.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use redis::{Cmd, Pipeline, RedisError, Value};
use tokio::time::timeout;
use tollgate_core::limit::{LimitRule, Subject, SubjectWindows};
use tollgate_core::time::UnixMicros;

use super::call::{Answer, Answered, BadAnswer, Periods};
use super::connection::Connection;
use super::keeper::{StoreError, wall};
use super::ledger::Ledger;
use super::members;
use super::owing::Owed;
use super::{About, NotGivenBack, Shared, Then};

/// Most subjects that are told of at once, and how long that may take.
const CHUNK: usize = 500;
const TAKES: Duration = Duration::from_secs(2);

impl Shared {
    /// Tells the store, which nobody asks yet, everything that it said in an earlier incarnation.
    pub(super) async fn put_back(&self, connection: &Connection) -> Result<usize, StoreError> {
        let mut lost = Vec::new();
        for shard in self.ledgers.shards() {
            for (subject, ledger) in shard.lock().all_mut() {
                if let Some(known) = ledger.take_lost(self.incarnation.since()) {
                    ledger.is_put_back(self.status.answers() + 1);
                    ledger.end_granted_since(self.incarnation.sound_until());
                    lost.push((subject, Arc::clone(&ledger.rules), known));
                }
            }
        }
        let now = self.server_time(wall());
        for (index, chunk) in lost.chunks(CHUNK).enumerate() {
            let puts =
                chunk.iter().map(|(subject, rules, known)| self.caller(*subject, rules, now).put(known));
            if let Err(error) = call_all_ok(connection, puts).await {
                for (subject, rules, _) in lost.iter().skip(index * CHUNK) {
                    if let Some(ledger) = self.ledgers.shard(*subject).lock().find_mut(*subject) {
                        ledger.is_not_put_back(rules);
                    }
                }
                return Err(error);
            }
        }
        self.incarnation.is_put_back();
        Ok(lost.len())
    }

    /// The same while it is asked.
    pub(super) async fn put_back_meanwhile(&self) -> usize {
        let losses_before = self.status.losses();
        let mut subjects = 0;
        for shard in self.ledgers.shards() {
            let mut told = 0;
            for (subject, ledger) in shard.lock().all_mut() {
                told += usize::from(self.put_back_within(subject, ledger));
            }
            // A few at a time, as requests wait behind them.
            if told > 0 {
                self.until_all_passed().await;
            }
            subjects += told;
        }
        if self.status.losses() == losses_before {
            self.incarnation.is_put_back();
        }
        subjects
    }

    /// The same of one subject.
    pub(super) fn put_back_of(&self, subject: Subject) {
        let mut shard = self.ledgers.shard(subject).lock();
        if let Some(ledger) = shard.find_mut(subject).filter(|_| self.is_up()) {
            self.put_back_within(subject, ledger);
        }
    }

    /// Whether there was anything to put back. Within the lock of the ledger, so that nothing is asked in between.
    fn put_back_within(&self, subject: Subject, ledger: &mut Ledger) -> bool {
        let Some(known) = ledger.take_lost(self.incarnation.since()) else { return false };
        let put = self.caller(subject, &ledger.rules, self.server_time(wall())).put(&known);
        self.send_within(subject, &ledger.rules, Instant::now(), put, Then::PutBack);
        true
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
            }
        }
        let now = self.server_time(wall());
        for (index, chunk) in owing.chunks(CHUNK).enumerate() {
            if let Err(error) = self.tell_chunk(connection, chunk, now).await {
                for (subject, rules) in owing.iter().skip((index + 1) * CHUNK) {
                    self.note_owing(*subject, rules);
                }
                return Err(error);
            }
        }
        Ok(())
    }

    async fn tell_chunk(
        &self,
        connection: &Connection,
        chunk: &[(Subject, Arc<[LimitRule]>)],
        now: UnixMicros,
    ) -> Result<(), StoreError> {
        let owed = chunk.iter().filter_map(|(subject, rules)| self.begin_telling(*subject, rules, now));
        let owed: Vec<Owed> = owed.collect();
        let tell = owed.iter().map(|owed| {
            self.caller(owed.subject, &owed.rules, now).adjust(Periods::Of(&owed.tally.here), &owed.amounts)
        });
        let mut outcome = Ok(());
        match call_all(connection, tell).await {
            Ok(replies) => {
                for (owed, reply) in owed.iter().zip(replies) {
                    match self.heard(&owed.rules, reply) {
                        Ok(answer) => self.has_heard(owed, &answer),
                        Err(error) => {
                            self.still_owes(owed);
                            outcome = Err(error);
                        }
                    }
                }
            }
            Err(error) => {
                for owed in &owed {
                    self.still_owes(owed);
                }
                outcome = Err(error);
            }
        }
        outcome
    }

    fn heard(&self, rules: &[LimitRule], reply: Result<Value, RedisError>) -> Result<Answer, StoreError> {
        match Answered::parse(&reply?, rules, self.status.count_answer()) {
            Ok(Answered::Done(answer)) => Ok(answer),
            Ok(Answered::Elsewhen(_)) | Err(BadAnswer) => Err(StoreError::Answer),
        }
    }

    pub(super) fn give_back_idle(&self) {
        let (now, server_now) = (Instant::now(), self.server_time(wall()));
        let said_in = self.incarnation.since();
        let mut unused = Vec::new();
        for shard in self.ledgers.shards() {
            shard.lock().each_holding(|subject, ledger| {
                let slices = ledger.take_unused(now, server_now);
                if !slices.is_empty() {
                    unused.push((subject, Arc::clone(&ledger.rules), slices));
                }
            });
        }
        for (subject, rules, slices) in unused {
            self.give_back(subject, &rules, said_in, slices);
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
                    let amounts = unused.amounts(ledger.rules.len());
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
        let (nowhere, now) = (SubjectWindows::default(), self.server_time(wall()));
        // Not held while it is sent, which may take a ledger's lock.
        let late = std::mem::take(&mut *self.not_given_back.lock());
        for NotGivenBack { about: About { subject, rules, .. }, told } in late {
            let caller = self.caller(subject, &rules, now);
            let cmd = caller.adjust_said_in(told.said_in, Periods::Of(&nowhere), &told.amounts);
            self.send(subject, &rules, Instant::now(), cmd, Then::Told(told));
        }
    }

    /// What was counted apart is a part of what the store counts, or of what it is told.
    pub(super) fn forget_apart(&self) {
        for shard in self.ledgers.shards() {
            shard.lock().all_mut().for_each(|(_, ledger)| ledger.apart = None);
        }
    }
}

/// One reply a command.
async fn call_all(
    connection: &Connection,
    commands: impl IntoIterator<Item = Cmd>,
) -> Result<Vec<Result<Value, RedisError>>, StoreError> {
    let mut pipeline = Pipeline::new();
    for cmd in commands {
        pipeline.add_command(cmd);
    }
    if pipeline.is_empty() {
        return Ok(Vec::new());
    }
    Ok(timeout(TAKES, connection.call(&pipeline)).await??)
}

async fn call_all_ok(
    connection: &Connection,
    commands: impl IntoIterator<Item = Cmd>,
) -> Result<(), StoreError> {
    let replies = call_all(connection, commands).await?;
    replies.into_iter().try_for_each(|reply| reply.map(drop).map_err(StoreError::from))
}
