//! What a target has to do.

use std::ops::Deref;
use std::sync::atomic::{AtomicU32, Ordering};

use super::PeakEwma;

/// Shared by all workers, so each target's has cache lines of its own: two, as processors fetch them in pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Load {
    in_flight: AtomicU32,
    pub latency: PeakEwma,
}

impl Load {
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }
}

/// A request under way at a target, until it is dropped.
#[derive(Debug)]
pub struct Underway<L: Deref<Target = Load>>(L);

impl<L: Deref<Target = Load>> Underway<L> {
    pub fn begin(load: L) -> Self {
        load.in_flight.fetch_add(1, Ordering::Relaxed);
        Self(load)
    }

    pub const fn load(&self) -> &L {
        &self.0
    }
}

impl<L: Deref<Target = Load>> Drop for Underway<L> {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}
