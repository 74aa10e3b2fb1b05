//! One clock reading serves deadlines, durations and calendar time.

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::pin;
use std::time::{Instant, SystemTime};

use tollgate_core::time::UnixMicros;
use tollgate_core::uptime::micros;

/// A moment on both clocks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    pub instant: Instant,
    pub wall: UnixMicros,
}

impl From<Moment> for tollgate_counters::Moment {
    fn from(Moment { instant, wall }: Moment) -> Self {
        Self { wall, instant }
    }
}

/// Reads the monotonic clock alone and derives the wall clock from a common base, which
/// [`Clock::synchronise`] renews every second, so that a stepped wall clock is followed.
pub(crate) struct Clock {
    base: Cell<Moment>,
    /// The last reading.
    last: Cell<Instant>,
}

impl Clock {
    pub fn new() -> Self {
        let base = Self::both();
        Self { base: Cell::new(base), last: Cell::new(base.instant) }
    }

    pub fn now(&self) -> Moment {
        let base = self.base.get();
        let instant = Instant::now();
        self.last.set(instant);
        let elapsed = instant.saturating_duration_since(base.instant);
        Moment { instant, wall: base.wall.after(micros(elapsed)) }
    }

    /// What the clock said when it was last read: now, to whoever has read it a moment ago.
    pub const fn last(&self) -> Instant {
        self.last.get()
    }

    /// Notes a reading that was made elsewhere, the last one there is.
    pub fn note(&self, reading: Instant) -> Instant {
        self.last.set(reading);
        reading
    }

    /// Awaits this, and moves `moment` on to when it came, where it was not there at once.
    pub async fn moving_on<T>(&self, moment: &mut Moment, awaited: impl Future<Output = T>) -> T {
        let (mut awaited, mut has_waited) = (pin!(awaited), false);
        let outcome = poll_fn(|cx| {
            let polled = awaited.as_mut().poll(cx);
            has_waited |= polled.is_pending();
            polled
        });
        let outcome = outcome.await;
        if has_waited {
            *moment = self.now();
        }
        outcome
    }

    pub fn synchronise(&self) {
        self.base.set(Self::both());
    }

    fn both() -> Moment {
        // A clock before 1970 counts as 1970.
        let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Moment { instant: Instant::now(), wall: UnixMicros(micros(since_epoch)) }
    }
}
