//! The sliding log: exact, because it remembers when each request was let through.
//!
//! No window of the limit's length, wherever it begins, lets more than the limit through. The price is memory: an
//! entry of 16 bytes for each instant with a request, so that plans bound the limit.

use std::collections::VecDeque;

use super::Counted;
use super::decision::Standing;
use crate::time::UnixMicros;

/// When requests were let through, oldest first.
#[derive(Debug, Clone, Default)]
pub struct Log {
    entries: VecDeque<Entry>,
    /// Requests of the entries that were dropped.
    dropped: u64,
    /// What was let through until then is dropped, and stays so when the clock steps back.
    past_to: UnixMicros,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    at: UnixMicros,
    /// Requests of this entry and of all before it, dropped ones included: any stretch of the log is counted by one
    /// subtraction.
    through: u64,
}

impl Log {
    /// `None` where the instants do not ascend, or nobody could have made so many requests.
    pub fn of(requests: impl IntoIterator<Item = (UnixMicros, u64)>) -> Option<Self> {
        let mut log = Self::default();
        for (at, count) in requests {
            if count == 0 || log.last().is_some_and(|last| last.at >= at) {
                return None;
            }
            log.entries.push_back(Entry { at, through: log.through().checked_add(count)? });
        }
        (!log.entries.is_empty()).then_some(log)
    }

    /// Each instant with how many requests were let through at it.
    pub fn requests(&self) -> impl ExactSizeIterator<Item = (UnixMicros, u64)> {
        let mut before = self.dropped;
        self.entries.iter().map(move |entry| {
            let count = entry.through - before;
            before = entry.through;
            (entry.at, count)
        })
    }

    pub(super) fn over_at(&self, window_micros: u64) -> UnixMicros {
        self.last().map_or(UnixMicros(0), |last| last.at.after(window_micros))
    }

    /// Adds requests at `at`, or with the last ones where those are later: the log goes on from there when the
    /// clock has stepped back.
    fn add(&mut self, at: UnixMicros, count: u64) {
        let through = self.through().saturating_add(count);
        match self.entries.back_mut() {
            Some(last) if at <= last.at => last.through = through,
            Some(_) | None => self.entries.push_back(Entry { at, through }),
        }
    }

    /// Takes requests let through at `at` out again: of those noted then or later, as the clock may have been behind the
    /// last entry, the earliest. What is left is never past before what it stands for. Where they are past themselves,
    /// all that is left are other requests.
    fn give_back(&mut self, at: UnixMicros, count: u64) {
        if at <= self.past_to {
            return;
        }
        let from = self.entries.partition_point(|entry| entry.at < at);
        let before = from.checked_sub(1).map_or(self.dropped, |last| self.entries[last].through);
        let count = count.min(self.used_after(from));
        for entry in self.entries.range_mut(from..) {
            entry.through = entry.through.saturating_sub(count).max(before);
        }
        let gone = self.entries.range(from..).take_while(|entry| entry.through == before).count();
        self.entries.drain(from..from + gone);
    }

    fn drop_past(&mut self, now: UnixMicros, window_micros: u64) {
        self.past_to = self.past_to.max(UnixMicros(now.0.saturating_sub(window_micros)));
        let past = self.past(now, window_micros);
        if past > 0 {
            self.dropped = self.entries[past - 1].through;
            self.entries.drain(..past);
            if self.entries.len() < self.entries.capacity() / 4 {
                self.entries.shrink_to(self.entries.len() * 2);
            }
        }
    }

    /// How many entries the window that ends now does not reach any more.
    fn past(&self, now: UnixMicros, window_micros: u64) -> usize {
        self.entries.partition_point(|entry| entry.at.after(window_micros) <= now)
    }

    /// Requests of all entries after the first `past`.
    fn used_after(&self, past: usize) -> u64 {
        let before = past.checked_sub(1).map_or(self.dropped, |last| self.entries[last].through);
        self.through() - before
    }

    fn through(&self) -> u64 {
        self.last().map_or(self.dropped, |last| last.through)
    }

    fn last(&self) -> Option<Entry> {
        self.entries.back().copied()
    }
}

/// Logs are the same where they have the same requests.
impl PartialEq for Log {
    fn eq(&self, other: &Self) -> bool {
        self.requests().eq(other.requests())
    }
}

impl Eq for Log {}

/// A limit with what its log says of one request now. The log itself stays where it is.
#[derive(Debug, Clone, Copy)]
pub(super) struct SlidingLog {
    requests: u64,
    window_micros: u64,
    now: UnixMicros,
    /// Requests that another algorithm counted; as none knows when, they count from now.
    carried: u64,
    /// Requests of the log that count now.
    logged: u64,
    charged: u64,
    /// When the last of all those was let through.
    last: Option<UnixMicros>,
    /// Until the request that was asked for would be let through.
    wait_micros: u64,
}

impl SlidingLog {
    /// `used` requests let through just now.
    pub fn new(requests: u64, window_micros: u64, used: u64, now: UnixMicros) -> Self {
        let last = (used > 0).then_some(now);
        let (carried, wait_micros) = (used, window_micros);
        Self { requests, window_micros, now, carried, logged: 0, charged: 0, last, wait_micros }
    }

    /// With the requests of a log, for a request of this cost.
    #[must_use]
    pub fn since(self, log: &Log, cost: u64) -> Self {
        let past = log.past(self.now, self.window_micros);
        let logged = log.used_after(past);
        let last = log.last().filter(|_| logged > 0).map(|last| last.at);
        let wait_micros = match self.requests.checked_sub(cost) {
            // As many of the oldest have to be past as are too many now.
            Some(room) if room < logged => {
                let enough = log.through() - room;
                let entry = log.entries.partition_point(|entry| entry.through < enough);
                let gone_at = log.entries.get(entry).map(|entry| entry.at.after(self.window_micros));
                gone_at.map_or(0, |gone_at| gone_at.0.saturating_sub(self.now.0))
            }
            Some(_) => 0,
            None => self.window_micros,
        };
        Self { logged, last, wait_micros, ..self }
    }

    pub const fn used(&self) -> u64 {
        self.logged.saturating_add(self.carried).saturating_add(self.charged)
    }

    pub const fn admits(&self, cost: u64) -> bool {
        self.used().saturating_add(cost) <= self.requests
    }

    pub fn charge(&mut self, cost: u64) {
        self.charged = self.charged.saturating_add(cost);
        self.last = self.last.max(Some(self.now));
    }

    pub const fn retry_after_micros(&self) -> u64 {
        self.wait_micros
    }

    pub fn standing(&self) -> Standing {
        let all_past_at = self.last.map_or(self.now, |last| last.after(self.window_micros));
        Standing { remaining: self.requests.saturating_sub(self.used()), reset_secs: all_past_at.secs_ceil() }
    }

    /// The log without so many of the requests charged at `charged_at`, made from what is stored. What another algorithm
    /// counted stays: it may have begun a new period since.
    pub fn given_back(&self, requests: u64, charged_at: UnixMicros, stored: Option<Counted>) -> Counted {
        let is_own = matches!(stored, Some(Counted::Log(_)));
        let mut counted = self.counted(stored);
        if let Counted::Log(log) = &mut counted {
            if is_own {
                log.give_back(charged_at, requests);
            }
            if log.entries.is_empty() {
                // Nothing is left to remember: a period that is over.
                return Counted::Fixed { start_secs: 0, end_secs: 0, used: 0 };
            }
        }
        counted
    }

    /// The log with what was charged, made from what is stored.
    pub fn counted(&self, stored: Option<Counted>) -> Counted {
        let mut log = match stored {
            Some(Counted::Log(log)) => log,
            Some(Counted::Bucket { .. } | Counted::Fixed { .. } | Counted::Sliding { .. }) | None => {
                Box::default()
            }
        };
        log.drop_past(self.now, self.window_micros);
        let added = self.carried.saturating_add(self.charged);
        if added > 0 {
            log.add(self.now, added);
        }
        Counted::Log(log)
    }
}
