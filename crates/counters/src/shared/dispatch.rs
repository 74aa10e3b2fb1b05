//! From the workers to the store, in a few lanes: what has gathered in a lane while its batch was under way is the next. So what is
//! told comes before what is asked after it, and the more is asked, the less each costs.

use std::future::{Future, pending};
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use redis::{ErrorKind, Pipeline, RedisError, ServerErrorKind, Value};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinError, JoinHandle};
use tokio::time::timeout;

use super::call::{Amount, Answered};
use super::charged::Charged;
use super::connection::Link;
use super::{About, NotGivenBack, Op, Reply, Shared, Then, Told, Unavailable, scripts};

/// A batch that takes longer is not answered any more. Whoever waited for it has gone on long before.
const BATCH_TAKES: Duration = Duration::from_secs(10);
/// Most commands in a batch.
const BATCH: usize = 256;

/// Until the workers are gone, or something panics: what is asked of the lane from then on has no answer.
pub async fn run(shared: Arc<Shared>, mut ops: mpsc::UnboundedReceiver<Op>) {
    if let Err(panic) = AssertUnwindSafe(send_all(&shared, &mut ops)).catch_unwind().await {
        // The process ends, but lets requests finish first. What they are charged is still to be told, after the next start.
        tokio::spawn(refuse(shared, ops));
        resume_unwind(panic);
    }
}

async fn send_all(shared: &Arc<Shared>, ops: &mut mpsc::UnboundedReceiver<Op>) {
    let (mut batch, mut under_way) = (Vec::new(), UnderWay::default());
    loop {
        tokio::select! {
            () = under_way.none_panics() => {}
            received = ops.recv_many(&mut batch, BATCH) => if received == 0 { return },
        }
        match shared.link.load_full() {
            Some(link) => {
                let sending = send(Arc::clone(shared), Arc::clone(&link), std::mem::take(&mut batch));
                under_way.follow(tokio::spawn(sending), shared.until_lost(link.losses_before)).await;
            }
            None => batch.drain(..).for_each(|op| shared.was_not_sent(&op.about, op.then)),
        }
    }
}

async fn refuse(shared: Arc<Shared>, mut ops: mpsc::UnboundedReceiver<Op>) {
    while let Some(Op { about, then, .. }) = ops.recv().await {
        shared.could_not(&about, then);
    }
}

/// The batches that went on when the store was lost. What is answered too late for whoever waited is listened to all the same: it
/// was charged.
#[derive(Default)]
struct UnderWay(FuturesUnordered<JoinHandle<()>>);

impl UnderWay {
    /// Until the batch is over, or the store is lost.
    async fn follow(&mut self, mut batch: JoinHandle<()>, lost: impl Future<Output = ()>) {
        tokio::select! {
            sent = &mut batch => not_panicked(sent),
            () = lost => self.0.push(batch),
        }
    }

    /// For good, but for a panic in one of them.
    async fn none_panics(&mut self) {
        while let Some(sent) = self.0.next().await {
            not_panicked(sent);
        }
        pending::<()>().await;
    }
}

/// What was in a batch that panicked is lost, and the store would never hear of it.
fn not_panicked(sent: Result<(), JoinError>) {
    if let Err(error) = sent
        && let Ok(panic) = error.try_into_panic()
    {
        resume_unwind(panic);
    }
}

async fn send(shared: Arc<Shared>, link: Arc<Link>, batch: Vec<Op>) {
    let mut commands = Pipeline::with_capacity(batch.len());
    let mut waiting = Vec::with_capacity(batch.len());
    for Op { cmd, about, then } in batch {
        if is_for_nobody(&then) {
            shared.no_slice(&about);
            continue;
        }
        commands.add_command(cmd);
        waiting.push((about, then));
    }
    if waiting.is_empty() {
        return;
    }
    let outcome = timeout(BATCH_TAKES, ask(&link, &commands)).await;
    let replies = match outcome {
        Ok(Ok(replies)) => replies,
        Ok(Err(error)) => {
            shared.lost(link.losses_before, &error);
            Vec::new()
        }
        Err(_late) => {
            shared.lost(link.losses_before, &"it did not answer in time");
            Vec::new()
        }
    };
    let mut replies = replies.into_iter();
    for (about, then) in waiting {
        match replies.next() {
            Some(Ok(value)) => shared.answered(&link, about, then, &value),
            Some(Err(error)) => {
                shared.lost(link.losses_before, &error);
                shared.could_not(&about, then);
            }
            None => shared.could_not(&about, then),
        }
    }
}

/// A server that does not know the scripts is given them.
async fn ask(link: &Link, commands: &Pipeline) -> Result<Vec<Result<Value, RedisError>>, RedisError> {
    let mut replies = link.connection.call(commands).await?;
    let is_unknown = |reply: &Result<Value, RedisError>| {
        reply.as_ref().is_err_and(|error| error.kind() == ErrorKind::Server(ServerErrorKind::NoScript))
    };
    if !replies.iter().any(is_unknown) {
        return Ok(replies);
    }
    let _same = scripts::load(&link.connection).await?;
    for (reply, cmd) in replies.iter_mut().zip(commands.cmd_iter()) {
        if is_unknown(reply) {
            *reply = link.connection.call_one(cmd).await;
        }
    }
    Ok(replies)
}

/// Whether who asked has gone on without an answer. It would be charged to be given back, and a store that is late already would have
/// twice as much to do.
fn is_for_nobody(then: &Then) -> bool {
    matches!(then, Then::Decide { waiter, .. } if waiter.is_closed())
}

/// Who does not wait any more does not have to know.
fn passed(waiter: oneshot::Sender<()>) {
    let _gone = waiter.send(());
}

impl Shared {
    fn answered(self: &Arc<Self>, link: &Link, about: About, then: Then, value: &Value) {
        let then = match then {
            Then::Passed(waiter) => return passed(waiter),
            other @ (Then::Decide { .. }
            | Then::Refill
            | Then::Told(_)
            | Then::ToldOwed(_)
            | Then::PutBack
            | Then::Looked) => other,
        };
        let number = self.status.count_answer();
        let answered = match Answered::parse(value, &about.rules, number) {
            Ok(answered) => answered,
            Err(error) => {
                self.lost(link.losses_before, &error);
                self.could_not(&about, then);
                return;
            }
        };
        match (then, answered) {
            (Then::Decide { cost, waiter }, Answered::Done(answer)) => {
                let units = answer.admitted * cost + answer.slice;
                let charged = Charged::new(self, about, units, &answer);
                // Where nobody waits any more, it is given back.
                drop(waiter.send(Ok(Reply::Done(Box::new((answer, charged))))));
            }
            (Then::Decide { waiter, .. }, Answered::Elsewhen(now)) => {
                drop(waiter.send(Ok(Reply::Elsewhen(now))));
            }
            (Then::Refill, Answered::Done(answer)) => {
                let now = Instant::now();
                let mut shard = self.ledgers.shard(about.subject).lock();
                let ledger = shard.ledger(about.subject, &about.rules, now);
                let is_doubted = ledger.doubts(&about.rules, &answer);
                let charged = Charged::new(self, about, answer.slice, &answer);
                if is_doubted {
                    ledger.slices.none_came(now);
                    charged.give_back_within();
                    self.incarnation.doubt();
                    return;
                }
                let About { subject, ref rules, sent } = charged.about;
                ledger.note(rules, &answer);
                if ledger.takes_slices_under(rules) {
                    ledger.slices.add(&answer, rules, sent, now);
                    shard.holds(subject);
                    charged.keep();
                } else {
                    ledger.slices.none_came(now);
                    // It is given back.
                    drop(shard);
                }
            }
            (Then::Refill, Answered::Elsewhen(_)) => self.no_slice(&about),
            (Then::Looked, Answered::Done(answer)) => {
                if let Some(ledger) = self.ledgers.shard(about.subject).lock().find_mut(about.subject) {
                    ledger.note_unless_less(&about.rules, &answer);
                }
            }
            (Then::Told(_), Answered::Done(answer)) => {
                let mut shard = self.ledgers.shard(about.subject).lock();
                if let Some(ledger) = shard.find_mut(about.subject) {
                    if ledger.doubts(&about.rules, &answer) {
                        self.incarnation.doubt();
                    } else {
                        ledger.note(&about.rules, &answer);
                    }
                }
            }
            (Then::ToldOwed(owed), Answered::Done(answer)) => self.has_heard(&owed, &answer),
            (Then::ToldOwed(owed), Answered::Elsewhen(_)) => self.still_owes(&owed),
            (Then::PutBack, answered) => {
                let mut shard = self.ledgers.shard(about.subject).lock();
                if let Some(ledger) = shard.find_mut(about.subject) {
                    ledger.is_put_back(number);
                    if let Answered::Done(answer) = answered {
                        // Where nothing was counted, all that is in hand was granted before, and is put back.
                        if answer.was_said_in.iter().any(|was_said_in| *was_said_in > 0) {
                            ledger.end_granted_since(self.incarnation.sound_until());
                        }
                        ledger.note(&about.rules, &answer);
                    }
                }
            }
            (Then::Told(_) | Then::Looked, Answered::Elsewhen(_)) | (Then::Passed(_), _) => {}
        }
    }

    async fn until_lost(&self, losses_before: u64) {
        // The sender is this.
        drop(self.losses.subscribe().wait_for(|losses| *losses > losses_before).await);
    }

    /// The store is away: what was to be given back can be given back later, where that does not take it off twice.
    fn was_not_sent(&self, about: &About, then: Then) {
        match then {
            Then::Told(told) if told.amounts.iter().any(Amount::is_less) => {
                self.not_given_back.lock().push(NotGivenBack { about: about.clone(), told });
                if self.is_up() {
                    // It was back before this was kept for then.
                    self.give_back_late();
                }
            }
            other @ (Then::Decide { .. }
            | Then::Refill
            | Then::Told(_)
            | Then::ToldOwed(_)
            | Then::PutBack
            | Then::Looked
            | Then::Passed(_)) => self.could_not(about, other),
        }
    }

    /// The store did not answer.
    fn could_not(&self, about: &About, then: Then) {
        match then {
            Then::Decide { waiter, .. } => {
                self.no_slice(about);
                drop(waiter.send(Err(Unavailable)));
            }
            Then::Refill => self.no_slice(about),
            Then::Looked => {}
            Then::Passed(waiter) => passed(waiter),
            Then::PutBack => {
                if let Some(ledger) = self.ledgers.shard(about.subject).lock().find_mut(about.subject) {
                    ledger.is_not_put_back(&about.rules);
                }
                self.incarnation.lose();
            }
            Then::ToldOwed(owed) => self.still_owes(&owed),
            Then::Told(Told { amounts, .. }) => {
                // What was given back, and perhaps was not heard, counts as used. What was to be charged is owed.
                if let Some(Amount::More(_)) = amounts.first() {
                    self.owe_again(about, &amounts);
                }
            }
        }
    }

    fn no_slice(&self, about: &About) {
        if let Some(ledger) = self.ledgers.shard(about.subject).lock().find_mut(about.subject) {
            ledger.slices.none_came(Instant::now());
        }
    }
}

#[cfg(test)]
mod tests;
