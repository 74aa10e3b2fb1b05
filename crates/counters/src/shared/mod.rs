//! Counting in a store that several nodes share: Redis or Valkey.
//!
//! Workers decide out of slices in hand, or ask: an [`Op`] goes through a channel to the background runtime, where many are
//! sent as one batch (`dispatch`), and the answer comes back to whoever waits. `keeping` holds the connection, notices
//! when the store is gone or has lost something, and puts back what this node knows.

mod apart;
pub(crate) mod asking;
mod call;
mod charged;
mod connection;
mod dispatch;
mod doubles;
pub(crate) mod here;
mod home;
mod incarnation;
mod keeper;
mod keeping;
mod ledger;
mod ledgers;
pub(crate) mod looking;
mod members;
mod owing;
mod pace;
mod refreshing;
mod remembered;
mod scripts;
mod settings;
mod slices;
mod status;
mod telling;
#[cfg(test)]
mod unanswered;
mod waiting;

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tollgate_core::limit::{Calendar, Demand, LimitRule, Refusal, Share, Subject};
use tollgate_core::time::UnixMicros;
use uuid::Uuid;

use self::call::{Amount, Answer, Caller, ServerTime};
use self::charged::Charged;
use self::connection::Link;
use self::incarnation::Incarnation;
use self::ledgers::Ledgers;
use self::owing::Owed;
use self::scripts::Scripts;
use crate::LocalCounters;

pub use self::asking::Undecided;
pub use self::keeper::Keeper;
pub use self::settings::{StoreSettings, TimeSource};
pub use self::status::{StoreState, StoreStatus};

/// While the answers to one batch are taken over, the store has another.
const LANES: usize = 2;

/// No request waits longer for the store, all its limits together.
pub const LONGEST_WAIT: Duration = Duration::from_millis(100);

pub struct Shared {
    /// Where what the store does not know of is kept.
    local: Arc<LocalCounters>,
    ledgers: Ledgers,
    status: StoreStatus,
    /// The server's clock less this one, in microseconds.
    ahead_micros: AtomicI64,
    /// Of the nodes that were alive when the store was last seen.
    share: Mutex<Share>,
    scripts: OnceLock<Scripts>,
    time: TimeSource,
    /// Each subject has its lane, so that what is told of it comes before what is asked after that.
    lanes: [mpsc::UnboundedSender<Op>; LANES],
    /// While the store can be reached.
    link: ArcSwapOption<Link>,
    failed: Notify,
    /// How often the store was lost.
    losses: watch::Sender<u64>,
    incarnation: Incarnation,
    /// Whether any ledger owes.
    is_owing: AtomicBool,
    /// What was charged until then, by the store's time, is in the store or will be: it was asked, or is being told.
    heard_until: AtomicU64,
    /// What it is to give back once it is there: no more than was charged there before.
    not_given_back: Mutex<Vec<NotGivenBack>>,
}

/// Something to be asked of the store, or told.
struct Op {
    cmd: redis::Cmd,
    about: About,
    then: Then,
}

#[derive(Clone)]
struct About {
    subject: Subject,
    rules: Arc<[LimitRule]>,
    sent: Instant,
}

enum Then {
    /// A request waits.
    Decide { cost: u64, waiter: oneshot::Sender<Replied> },
    /// Nobody waits: the slice goes to the ledger.
    Refill,
    /// Nobody waits. What was to be charged is owed where it could not be, what was to be given back is given back later.
    Told(Told),
    /// Nobody waits. What was owed still is where it was not heard.
    ToldOwed(Box<Owed>),
    /// Nobody waits. It may be lost again.
    PutBack,
    /// Nobody waits. Where the subject stands is noted.
    Looked,
    /// All that was asked before is answered.
    Passed(oneshot::Sender<()>),
}

struct Told {
    amounts: Box<[Amount]>,
    /// Where it is given back later: the incarnation of the store that has to say the counts still, as what this node puts back after
    /// a loss is without these amounts; or whichever, as it is with them.
    said_in: u64,
}

struct NotGivenBack {
    about: About,
    told: Told,
}

type Replied = Result<Reply, Unavailable>;

enum Reply {
    Done(Box<(Answer, Charged)>),
    Elsewhen(UnixMicros),
}

/// The store did not answer in time, or not at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Unavailable;

impl Shared {
    fn new(local: Arc<LocalCounters>, time: TimeSource, lanes: [mpsc::UnboundedSender<Op>; LANES]) -> Self {
        Self {
            local,
            ledgers: Ledgers::new(),
            status: StoreStatus::default(),
            ahead_micros: AtomicI64::new(0),
            share: Mutex::new(Share::WHOLE),
            scripts: OnceLock::new(),
            time,
            lanes,
            link: ArcSwapOption::empty(),
            failed: Notify::new(),
            losses: watch::Sender::new(0),
            incarnation: Incarnation::default(),
            is_owing: AtomicBool::new(false),
            heard_until: AtomicU64::new(0),
            not_given_back: Mutex::default(),
        }
    }

    pub fn is_up(&self) -> bool {
        self.status.is_up()
    }

    pub const fn status(&self) -> &StoreStatus {
        &self.status
    }

    /// The server's time, as far as it is known here.
    #[inline]
    fn server_time(&self, now: UnixMicros) -> UnixMicros {
        now.ahead_by(self.ahead_micros())
    }

    /// By how much that is ahead of this node's.
    #[inline]
    pub(crate) fn ahead_micros(&self) -> i64 {
        match self.time {
            TimeSource::Server => self.ahead_micros.load(Ordering::Relaxed),
            TimeSource::Caller => 0,
        }
    }

    /// How many share what is left.
    fn nodes(&self) -> NonZeroU32 {
        self.share.lock().nodes()
    }

    fn caller<'a>(&'a self, subject: Subject, rules: &'a [LimitRule], now: UnixMicros) -> Caller<'a> {
        let time = match self.time {
            TimeSource::Server => ServerTime::Own,
            TimeSource::Caller => ServerTime::Given(now),
        };
        let incarnation = self.incarnation.since();
        Caller { scripts: self.scripts.get(), time, incarnation, subject, rules }
    }

    /// What the store may have lost of the subject is put back first.
    fn send(&self, subject: Subject, rules: &Arc<[LimitRule]>, sent: Instant, cmd: redis::Cmd, then: Then) {
        if self.incarnation.is_lost() && self.is_up() {
            self.put_back_of(subject);
        }
        self.send_within(subject, rules, sent, cmd, then);
    }

    /// The same for who has the subject's ledger locked.
    fn send_within(
        &self,
        subject: Subject,
        rules: &Arc<[LimitRule]>,
        sent: Instant,
        cmd: redis::Cmd,
        then: Then,
    ) {
        let about = About { subject, rules: Arc::clone(rules), sent };
        let [.., last] = *subject.0.as_bytes();
        // The other end lives as long as the process, but for its end: what is asked then is not answered.
        drop(self.lanes[usize::from(last) % LANES].send(Op { cmd, about, then }));
    }

    /// Until all that was asked before is answered, or nobody answers any more.
    async fn until_all_passed(&self) {
        for lane in &self.lanes {
            let nobody = About { subject: Subject(Uuid::nil()), rules: Arc::new([]), sent: Instant::now() };
            let (passed, all_passed) = oneshot::channel();
            let ping = Op { cmd: redis::cmd("PING"), about: nobody, then: Then::Passed(passed) };
            if lane.send(ping).is_ok() {
                drop(all_passed.await);
            }
        }
    }

    fn calendar_now<'d>(&self, demand: &Demand<'d>, now: UnixMicros) -> (Calendar<'d>, UnixMicros) {
        (demand.calendar, self.server_time(now))
    }
}

/// Of several refusals, the one that lasts longest.
fn longer(first: Option<Refusal>, second: Option<Refusal>) -> Option<Refusal> {
    first.into_iter().chain(second).max_by_key(|refusal| refusal.retry_after_micros)
}
