//! What one subject has used of its windows, in memory and as a record that outlives a restart.

use std::hint::black_box;
use std::mem;

use smallvec::SmallVec;

use super::{Counted, Subject, Window};
use crate::time::UnixMicros;

/// All windows of one subject. A window that is no longer in its plan is kept until it is over: taking a
/// limit out and putting it back refills nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SubjectWindows(SmallVec<[(Window, Counted); 3]>);

impl SubjectWindows {
    pub fn iter(&self) -> impl Iterator<Item = (Window, &Counted)> {
        self.0.iter().map(|(window, counted)| (*window, counted))
    }

    /// Sets what a window counted, when it comes back after a restart.
    pub fn put(&mut self, window: Window, counted: Counted) {
        self.update(window, |_| counted);
    }

    /// Makes from what a window has counted what it has counted now.
    pub(super) fn update(&mut self, window: Window, next: impl FnOnce(Option<Counted>) -> Counted) {
        match self.0.iter_mut().find(|(held, _)| *held == window) {
            Some((_, held)) => {
                let nothing = Counted::Fixed { start_secs: 0, end_secs: 0, used: 0 };
                *held = next(Some(mem::replace(held, nothing)));
            }
            None => self.0.push((window, next(None))),
        }
    }

    /// Forgets what it has counted of windows that are not wanted.
    pub(super) fn retain(&mut self, is_wanted: impl Fn(Window) -> bool) {
        self.0.retain(|(window, _)| is_wanted(*window));
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Reads a little of each, so that all of them come from memory at once, and not one after the other as they are
    /// counted.
    pub fn fetch_ahead(&self) {
        for (window, _) in &self.0 {
            black_box(*window);
        }
    }

    /// Drops what is over; `true` where nothing is left.
    pub fn forget_past(&mut self, now: UnixMicros) -> bool {
        self.0.retain(|(window, counted)| now < counted.over_at(*window));
        self.0.is_empty()
    }

    pub fn not_over(&self, now: UnixMicros) -> impl Iterator<Item = (Window, &Counted)> {
        self.iter().filter(move |(window, counted)| now < counted.over_at(*window))
    }

    pub fn find(&self, window: Window) -> Option<&Counted> {
        self.0.iter().find(|(held, _)| *held == window).map(|(_, counted)| counted)
    }
}

/// One subject's use of one window, as it is kept across restarts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CounterRecord {
    pub subject: Subject,
    pub window: Window,
    pub counted: Counted,
}

impl CounterRecord {
    /// The instant from which on nothing is lost by forgetting it.
    pub fn over_at(&self) -> UnixMicros {
        self.counted.over_at(self.window)
    }
}
