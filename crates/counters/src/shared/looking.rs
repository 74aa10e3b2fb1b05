//! Where subjects stand in the store, which charges nothing.

use std::sync::Arc;

use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};
use tollgate_core::limit::Demand;

use super::call::{Answer, Take};
use super::here::is_local;
use super::incarnation::Looked;
use super::{LONGEST_WAIT, Replied, Reply, Shared, Then};
use crate::Moment;

/// Brings up to date what this node knows of where subjects stand; charges nothing.
pub(crate) async fn look(shared: &Arc<Shared>, demands: &[Demand<'_>], now: Moment) {
    if !shared.is_up() {
        return;
    }
    let deadline = (now.instant + LONGEST_WAIT).into();
    let ask = |demand| (demand, shared.ask_where_it_stands(demand, now));
    let asked: Vec<_> = demands.iter().filter(|demand| !is_local(demand)).map(ask).collect();
    for (demand, receiver) in asked {
        let Some(answer) = stands(receiver, deadline).await else { continue };
        if shared.note_unless_doubted(demand, &answer, now) == Noted::Yes {
            continue;
        }
        if shared.incarnation.look_again(deadline).await == Looked::Late {
            return;
        }
        // Either nothing was lost, or it is put back before this asks again.
        shared.put_back_of(demand.subject);
        let receiver = shared.ask_where_it_stands(demand, now);
        if let Some(answer) = stands(receiver, deadline).await {
            let mut shard = shared.ledgers.shard(demand.subject).lock();
            let rules = &demand.limits.rules;
            shard.ledger(demand.subject, rules, now.instant).note(rules, &answer);
        }
    }
}

async fn stands(receiver: oneshot::Receiver<Replied>, deadline: Instant) -> Option<Answer> {
    let reply = timeout_at(deadline, receiver).await.ok()?.ok()?.ok()?;
    match reply {
        Reply::Done(done) => Some(done.0),
        Reply::Elsewhen(_) => None,
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Noted {
    Yes,
    InDoubt,
}

impl Shared {
    /// What is to be told of the subject is told first: it is seen.
    fn ask_where_it_stands(&self, demand: &Demand<'_>, now: Moment) -> oneshot::Receiver<Replied> {
        let rules = &demand.limits.rules;
        let mut shard = self.ledgers.shard(demand.subject).lock();
        let due = shard.ledger(demand.subject, rules, now.instant).adopt(rules);
        drop(shard);
        self.tell_due(demand, due);
        let (calendar, server_now) = self.calendar_now(demand, now.wall);
        let take = Take { cost: 1, times: 0, extra: 0, life_micros: 0, divisor: 1 };
        let cmd = self.caller(demand.subject, rules, server_now).take(calendar, server_now, take);
        let (waiter, receiver) = oneshot::channel();
        self.send(demand.subject, rules, now.instant, cmd, Then::Decide { cost: 1, waiter });
        receiver
    }

    fn note_unless_doubted(&self, demand: &Demand<'_>, answer: &Answer, now: Moment) -> Noted {
        let rules = &demand.limits.rules;
        let mut shard = self.ledgers.shard(demand.subject).lock();
        let ledger = shard.ledger(demand.subject, rules, now.instant);
        if ledger.doubts(rules, answer) {
            return Noted::InDoubt;
        }
        ledger.note(rules, answer);
        Noted::Yes
    }
}
