//! Whether the store can be reached.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// How the store is, as operators are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreState {
    Up,
    Down,
}

impl StoreState {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
        }
    }
}

#[derive(Debug, Default)]
pub struct StoreStatus {
    is_up: AtomicBool,
    /// How often it was lost.
    losses: AtomicU64,
    /// How often it answered: later answers know more.
    answers: AtomicU64,
    /// How often it was told again what it may have lost.
    put_back: AtomicU64,
}

impl StoreStatus {
    #[inline]
    pub fn is_up(&self) -> bool {
        self.is_up.load(Ordering::Acquire)
    }

    pub fn state(&self) -> StoreState {
        if self.is_up() { StoreState::Up } else { StoreState::Down }
    }

    pub fn losses(&self) -> u64 {
        self.losses.load(Ordering::Relaxed)
    }

    pub fn answers(&self) -> u64 {
        self.answers.load(Ordering::Relaxed)
    }

    /// How often it had changed, emptied or replaced, and was told again what this node knew.
    pub fn put_back(&self) -> u64 {
        self.put_back.load(Ordering::Relaxed)
    }

    pub(super) fn count_put_back(&self) {
        self.put_back.fetch_add(1, Ordering::Relaxed);
    }

    /// The number of the answer that has just come.
    pub(super) fn count_answer(&self) -> u64 {
        self.answers.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(super) fn is_back(&self) {
        self.is_up.store(true, Ordering::Release);
    }

    /// Whether it was up until now; said by somebody who has seen so many losses before.
    pub(super) fn is_lost(&self, losses_before: u64) -> bool {
        let is_first = self.losses.compare_exchange(
            losses_before,
            losses_before + 1,
            Ordering::AcqRel,
            Ordering::Relaxed,
        );
        is_first.is_ok() && self.is_up.swap(false, Ordering::AcqRel)
    }
}
