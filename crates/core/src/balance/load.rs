//! What a target has to do.

use std::cell::Cell;
use std::ops::Deref;
use std::sync::atomic::{AtomicU32, Ordering};

use super::{MeanLatency, PeakEwma};

/// Shared by all workers, so each target's has cache lines of its own: two, as processors fetch them in pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Load {
    in_flight: AtomicU32,
    /// Each is observed only where a balancer asks for it.
    pub latency: PeakEwma,
    pub mean_latency: MeanLatency,
}

impl Load {
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }
}

/// A request under way at a target, until it is over there or dropped.
#[derive(Debug)]
pub struct Underway<L: Deref<Target = Load>> {
    load: L,
    is_over: Cell<bool>,
}

impl<L: Deref<Target = Load>> Underway<L> {
    pub fn begin(load: L) -> Self {
        load.in_flight.fetch_add(1, Ordering::Relaxed);
        Self { load, is_over: Cell::new(false) }
    }

    pub const fn load(&self) -> &L {
        &self.load
    }

    /// The target has done its part.
    pub fn end(&self) {
        if !self.is_over.replace(true) {
            self.load.in_flight.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl<L: Deref<Target = Load>> Drop for Underway<L> {
    fn drop(&mut self) {
        self.end();
    }
}
