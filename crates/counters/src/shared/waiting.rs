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
use super::incarnation::Looked;
use super::{LONGEST_WAIT, Replied, Reply, Then, Unavailable, longer};
use crate::Decision;

/// Again where the store was in another day or month than this node thought, and where it has lost something.
const ROUNDS: usize = 3;

/// What is made of an answer that knows less than the store has said before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trust {
    Doubted,
    /// The store has lost nothing: others have given back what they used.
    Believed,
}

enum Round<'c> {
    Over(Decision<'c>),
    Again,
    InDoubt,
}

impl<'c> Undecided<'c, '_> {
    /// Waits for the store, but no longer than a request may.
    pub async fn wait(mut self) -> Decision<'c> {
        let deadline = (self.now.instant + LONGEST_WAIT).into();
        let mut trust = Trust::Doubted;
        for _ in 0..ROUNDS {
            match self.round(trust).await {
                Round::Over(decision) => return decision,
                Round::Again => {}
                Round::InDoubt => match self.shared.incarnation.look_again(deadline).await {
                    Looked::Sound => trust = Trust::Believed,
                    Looked::Lost => {}
                    Looked::Late => break,
                },
            }
            if !self.is_open() {
                break;
            }
            self.put_back_open();
        }
        for index in 0..self.parts.len() {
            if let Part::Open { .. } = self.parts[index]
                && let Some(refusal) = self.decide_apart(index)
            {
                return refusal;
            }
        }
        self.admitted()
    }

    /// Asks for all that is not decided yet.
    async fn round(&mut self, trust: Trust) -> Round<'c> {
        let mut refused = None;
        let mut round = None;
        for (index, reply) in self.ask().await {
            match reply {
                Ok(Reply::Done(done)) => {
                    let (answer, charged) = *done;
                    let Some(outcome) = self.take_over(index, &answer, charged, trust) else {
                        round = Some(Round::InDoubt);
                        continue;
                    };
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
                    round.get_or_insert(Round::Again);
                }
                Err(Unavailable) => {
                    if let Some(refusal) = self.decide_apart(index) {
                        return Round::Over(refusal);
                    }
                }
            }
        }
        match (refused, round) {
            (Some((index, outcome)), _) => Round::Over(self.refused(index, outcome)),
            (None, Some(round)) => round,
            (None, None) => Round::Again,
        }
    }

    fn decide_apart(&mut self, index: usize) -> Option<Decision<'c>> {
        let decided = self.shared.decide_apart(&self.demands[index], self.cost, self.now);
        self.note(index, decided)
    }

    /// What was doubted may be another plan's, which nobody has put back for.
    fn put_back_open(&self) {
        for (demand, part) in self.demands.iter().zip(&self.parts) {
            if let Part::Open { .. } = part {
                self.shared.put_back_of(demand.subject);
            }
        }
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

    /// Takes over an answer for one of the demands; not one that is in doubt.
    fn take_over(
        &mut self,
        index: usize,
        answer: &Answer,
        mut charged: Charged,
        trust: Trust,
    ) -> Option<Outcome> {
        let demand = self.demands[index];
        let rules = &demand.limits.rules;
        let mut outcome = limit::inspect(rules, &answer.windows, demand.calendar, self.cost, answer.now);
        let mut stale = None;
        let mut shard = self.shared.ledgers.shard(demand.subject).lock();
        let ledger = shard.ledger(demand.subject, rules, self.now.instant);
        if ledger.was_before_put_back(answer.number)
            || trust == Trust::Doubted && ledger.doubts(rules, answer)
        {
            charged.give_back_within();
            ledger.slices.none_came(self.now.instant);
            return None;
        }
        ledger.note(rules, answer);
        charged.is_noted();
        if let Part::Open { extra: 1.. } = self.parts[index] {
            if ledger.takes_slices_under(rules) {
                ledger.slices.add(answer, rules, charged.about.sent, self.now.instant);
                charged.leave(answer.slice);
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
        Some(outcome)
    }
}
