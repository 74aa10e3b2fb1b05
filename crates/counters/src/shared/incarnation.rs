//! Which life of the store this node counts in.
//!
//! A store that was emptied answers on as if nothing had been counted. Whoever gets an answer that knows less than the store
//! has said before doubts it: the keeper looks at once whether something was lost, and what this node knows is put back
//! before anything more is charged.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout_at};
use tollgate_core::time::UnixMicros;

#[derive(Default)]
pub struct Incarnation {
    /// Since when, in microseconds of the server's time, the store has lost nothing.
    since: AtomicU64,
    /// When the one before was seen last.
    sound_until: AtomicU64,
    /// Whether something that was lost may not be put back yet.
    is_lost: AtomicBool,
    /// How often the keeper has begun to look.
    begun: AtomicU64,
    /// The last look that is over.
    looked: watch::Sender<u64>,
    doubted: Notify,
}

/// What a look at the store has shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Looked {
    /// It is the one that it was.
    Sound,
    Lost,
    /// There was no time to see.
    Late,
}

impl Incarnation {
    pub fn since(&self) -> u64 {
        self.since.load(Ordering::Acquire)
    }

    pub fn sound_until(&self) -> UnixMicros {
        UnixMicros(self.sound_until.load(Ordering::Relaxed))
    }

    #[inline]
    pub fn is_lost(&self) -> bool {
        self.is_lost.load(Ordering::Acquire)
    }

    /// What is to be put back is not there yet, or not any more.
    pub fn lose(&self) {
        self.is_lost.store(true, Ordering::Release);
    }

    pub fn is_put_back(&self) {
        self.is_lost.store(false, Ordering::Release);
    }

    /// The one that this node meets first.
    pub fn meet(&self, since: u64) {
        self.since.store(since, Ordering::Release);
    }

    /// Another one than that which was seen at `sound_until`.
    pub fn follow(&self, since: u64, sound_until: UnixMicros) {
        self.sound_until.store(sound_until.0, Ordering::Relaxed);
        // Whoever sends the new one puts back first.
        self.lose();
        self.since.store(since, Ordering::Release);
    }

    pub fn begin_to_look(&self) -> u64 {
        self.begun.fetch_add(1, Ordering::AcqRel) + 1
    }

    pub fn has_looked(&self, number: u64) {
        self.looked.send_replace(number);
    }

    /// Has the keeper look.
    pub fn doubt(&self) {
        self.doubted.notify_one();
    }

    pub async fn doubted(&self) {
        self.doubted.notified().await;
    }

    /// Has the keeper look, and waits for it.
    pub async fn look_again(&self, deadline: Instant) -> Looked {
        let before = self.since();
        // One that has begun already may have asked before the store lost something.
        let next = self.begun.load(Ordering::Acquire) + 1;
        let mut looked = self.looked.subscribe();
        self.doubt();
        match timeout_at(deadline, looked.wait_for(|number| *number >= next)).await {
            Ok(Ok(_)) if self.since() == before => Looked::Sound,
            Ok(Ok(_)) => Looked::Lost,
            Ok(Err(_)) | Err(_) => Looked::Late,
        }
    }
}
