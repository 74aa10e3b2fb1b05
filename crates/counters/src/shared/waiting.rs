//! The part of a decision that waits for the store.

use std::time::Duration;

use smallvec::SmallVec;
use tokio::sync::oneshot;
use tokio::time::timeout_at;
use tollgate_core::limit::{self, Crossed, Demand, Outcome};
use tollgate_core::resource::Counting;

use super::asking::{By, NEARLY, Part, Undecided};
use super::call::Answer;
use super::charged::Charged;
use super::{LONGEST_WAIT, Replied, Reply, Then, Unavailable, longer};
use crate::Decision;

impl<'c> Undecided<'c, '_> {
    /// Waits for the store, but no longer than a request may.
    pub async fn wait(mut self) -> Decision<'c> {
        // A second time where the store was in another day or month than this node thought.
        for _ in 0..2 {
            let replies = self.ask().await;
            let mut refused = None;
            let mut is_asked_again = false;
            for (index, reply) in replies {
                match reply {
                    Ok(Reply::Done(done)) => {
                        let (answer, charged) = *done;
                        let outcome = self.take_over(index, &answer, charged);
                        if outcome.refusal.is_some() {
                            let longest = |(_, earlier): &(usize, Outcome)| {
                                longer(earlier.refusal, outcome.refusal) == earlier.refusal
                            };
                            if !refused.as_ref().is_some_and(longest) {
                                refused = Some((index, outcome));
                            }
                        }
                    }
                    Ok(Reply::Elsewhen(server_now)) => {
                        self.shared.note_time(server_now, self.now.wall);
                        is_asked_again = true;
                    }
                    Err(Unavailable) => {
                        let decided = self.shared.decide_apart(&self.demands[index], self.cost, self.now);
                        if let Some(refusal) = self.note(index, decided) {
                            return refusal;
                        }
                    }
                }
            }
            if let Some((index, outcome)) = refused {
                return self.refused(index, outcome);
            }
            if !is_asked_again || !self.is_open() {
                break;
            }
        }
        if self.is_open() {
            return self.unavailable();
        }
        self.admitted()
    }

    async fn ask(&self) -> SmallVec<[(usize, Replied); 4]> {
        let deadline = (self.now.instant + LONGEST_WAIT).into();
        let (losses_before, answers_before) = (self.shared.status.losses(), self.shared.status.answers());
        let asked: SmallVec<[(usize, oneshot::Receiver<Replied>); 4]> = self
            .parts
            .iter()
            .enumerate()
            .filter_map(|(index, part)| match part {
                Part::Open { extra } => Some((index, self.ask_one(&self.demands[index], *extra))),
                Part::Charged { .. } => None,
            })
            .collect();
        let mut replies = SmallVec::new();
        for (index, receiver) in asked {
            let reply = match timeout_at(deadline, receiver).await {
                Ok(Ok(reply)) => reply,
                Ok(Err(_gone)) => Err(Unavailable),
                Err(_late) => {
                    // One that has answered others meanwhile is slow, but there.
                    if self.shared.status.answers() == answers_before {
                        self.shared.lost(losses_before, &"it did not answer in time");
                    }
                    Err(Unavailable)
                }
            };
            replies.push((index, reply));
        }
        replies
    }

    fn ask_one(&self, demand: &Demand<'_>, extra: u64) -> oneshot::Receiver<Replied> {
        let rules = &demand.limits.rules;
        let (calendar, server_now) = self.shared.calendar_now(demand, self.now.wall);
        let take = self.shared.slice_of(rules, self.cost, 1, extra);
        let cmd = self.shared.caller(demand.subject, rules, server_now).take(calendar, server_now, take);
        let (waiter, receiver) = oneshot::channel();
        let then = Then::Decide { cost: self.cost, waiter };
        self.shared.send(demand.subject, rules, self.now.instant, cmd, then);
        receiver
    }

    /// Takes over an answer for one of the demands.
    fn take_over(&mut self, index: usize, answer: &Answer, mut charged: Charged) -> Outcome {
        let demand = self.demands[index];
        let rules = &demand.limits.rules;
        let mut outcome = limit::inspect(rules, &answer.windows, demand.calendar, self.cost, answer.now);
        let mut stale = None;
        let mut shard = self.shared.ledgers.shard(demand.subject).lock();
        let ledger = shard.ledger(demand.subject, rules, self.now.instant);
        ledger.note(answer);
        if let Part::Open { extra: 1.. } = self.parts[index] {
            if ledger.takes_slices_under(rules) {
                ledger.slices.add(answer, rules, charged.about.sent, self.now.instant);
                charged.units = charged.units.saturating_sub(answer.slice);
            } else {
                // What was granted goes back.
                stale = Some(charged.split(answer.slice));
            }
        }
        if answer.admitted == 0 {
            let refusal = outcome.refusal.unwrap_or(NEARLY);
            outcome.refusal = Some(refusal);
            if demand.limits.counting == Counting::Leased {
                let retry_after = Duration::from_micros(refusal.retry_after_micros);
                ledger.slices.note_refusal(self.cost, retry_after, self.now.instant);
            }
        } else {
            outcome.refusal = None;
            if demand.limits.counting == Counting::Leased {
                outcome.standings = ledger.inspect(rules, demand.calendar, self.cost, answer.now).standings;
            }
            let standings = outcome.standings.clone();
            let by = By::Store(charged);
            self.parts[index] = Part::Charged { by, standings, crossed: Crossed::new() };
        }
        if !ledger.slices.is_empty() {
            shard.holds(demand.subject);
        }
        drop(shard);
        drop(stale);
        outcome
    }
}
