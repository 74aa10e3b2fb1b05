//! How long a target takes to answer, as averages that decay: exponentially weighted, the newest most.
//!
//! One has more regard for bad news than for good, Finagle's peak EWMA
//! (<https://github.com/twitter/finagle>, `PeakEwma.scala`), which linkerd took over
//! (<https://linkerd.io/2016/03/16/beyond-round-robin-load-balancing-for-latency/>): an answer slower than the average
//! replaces it; faster ones bring it down slowly. The other is a plain mean, which one slow request among many hardly
//! moves. With time alone they decay as well, so that a target that was once slow is tried again.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::uptime::{Uptime, micros};

/// In this time the weight of what was observed falls to 1/e: Finagle's default.
const DECAY_MILLIS: f64 = 10_000.0;
/// What a failure counts as at least. One that comes at once, such as a refused connection, would otherwise draw all
/// requests to where they fail. It is slow beside all that answer within a second.
const FAILURE: Duration = Duration::from_secs(3);
/// One that takes so many times as long as another is not merely unlucky, or busy, but slow.
const SLOW: f64 = 3.0;
/// At least so much longer: what a scheduler adds to a request now and then says nothing of a target.
const JITTER_MICROS: f64 = 2_000.0;

#[derive(Debug, Default)]
pub struct PeakEwma(Average);

impl PeakEwma {
    pub fn observe(&self, latency: Duration, now: Uptime) {
        self.0.observe(latency, now, |sample, average| sample > average);
    }

    pub fn observe_failure(&self, latency: Duration, now: Uptime) {
        self.observe(latency.max(FAILURE), now);
    }

    /// `None` before the first observation.
    pub fn expected(&self, now: Uptime) -> Option<Expected> {
        self.0.expected(now)
    }
}

/// How long a target will take, in microseconds.
#[derive(Debug, Clone, Copy)]
pub struct Expected {
    /// When it was last observed.
    pub observed: f64,
    /// The same, less what time has made of it.
    pub forgiven: f64,
}

impl Expected {
    /// Time forgives who was slow, and makes nobody fast: a target that hardly gets requests would otherwise look like
    /// the fastest of all.
    pub fn is_slow_beside(self, other: Self) -> bool {
        self.forgiven > other.observed * SLOW + JITTER_MICROS
    }
}

#[derive(Debug, Default)]
pub struct MeanLatency(Average);

impl MeanLatency {
    pub fn observe(&self, latency: Duration, now: Uptime) {
        self.0.observe(latency, now, |_, _| false);
    }

    /// How long a failure took says nothing good of a target: it counts where it took longer than answers do.
    pub fn observe_failure(&self, latency: Duration, now: Uptime) {
        if self.expected(now).is_some_and(|expected| sample(latency) > expected.observed) {
            self.observe(latency, now);
        }
    }

    /// `None` before the first observation.
    pub fn expected(&self, now: Uptime) -> Option<Expected> {
        self.0.expected(now)
    }
}

/// One word, so that the average and its instant change together: the average in microseconds as the bits of an
/// `f32`, and below it the milliseconds of the uptime, modulo 2^32. Zero: nothing observed.
#[derive(Debug, Default)]
struct Average(AtomicU64);

impl Average {
    fn observe(&self, latency: Duration, now: Uptime, replaces: impl Fn(f64, f64) -> bool) {
        let sample = sample(latency);
        let observed = |word: u64| {
            let average = match Self::read(word, now) {
                None => sample,
                Some((average, weight)) if replaces(sample, average * weight) => sample,
                Some((average, weight)) => average * weight + sample * (1.0 - weight),
            };
            Self::word(average, now)
        };
        self.0.update(Ordering::Relaxed, Ordering::Relaxed, observed);
    }

    fn expected(&self, now: Uptime) -> Option<Expected> {
        let (observed, weight) = Self::read(self.0.load(Ordering::Relaxed), now)?;
        Some(Expected { observed, forgiven: observed * weight })
    }

    #[expect(clippy::cast_possible_truncation, reason = "an average needs no more than 24 bits")]
    fn word(average: f64, now: Uptime) -> u64 {
        (u64::from((average as f32).to_bits()) << 32) | u64::from(Self::stamp(now))
    }

    /// The average as of the last observation, and the weight that it still has.
    fn read(word: u64, now: Uptime) -> Option<(f64, f64)> {
        if word == 0 {
            return None;
        }
        let [a, b, c, d, stamp @ ..] = word.to_be_bytes();
        let average = f64::from(f32::from_bits(u32::from_be_bytes([a, b, c, d])));
        let elapsed_millis = Self::stamp(now).wrapping_sub(u32::from_be_bytes(stamp));
        // More than half of the circle ahead: another worker's clock was read a moment later.
        let elapsed_millis = if elapsed_millis > u32::MAX / 2 { 0 } else { elapsed_millis };
        let weight = (-f64::from(elapsed_millis) / DECAY_MILLIS).exp();
        Some((average, weight))
    }

    fn stamp(now: Uptime) -> u32 {
        u32::try_from((now.0 / 1_000) & u64::from(u32::MAX)).unwrap_or_default()
    }
}

/// In microseconds, at least one.
fn sample(latency: Duration) -> f64 {
    f64::from(u32::try_from(micros(latency)).unwrap_or(u32::MAX)).max(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(latency: &PeakEwma, now: Uptime) -> u64 {
        micros(Duration::from_secs_f64(latency.expected(now).unwrap().forgiven / 1e6)) / 1_000
    }

    fn is_slow_beside(one: &PeakEwma, other: &PeakEwma, now: Uptime) -> bool {
        one.expected(now).unwrap().is_slow_beside(other.expected(now).unwrap())
    }

    #[test]
    fn a_peak_is_believed_at_once_and_forgotten_slowly() {
        let latency = PeakEwma::default();
        latency.observe(Duration::from_millis(10), Uptime::from_secs(1));
        latency.observe(Duration::from_millis(500), Uptime::from_secs(2));
        assert_eq!(millis(&latency, Uptime::from_secs(2)), 500);
        latency.observe(Duration::from_millis(10), Uptime::from_secs(3));
        assert!((440..470).contains(&millis(&latency, Uptime::from_secs(3))));
        assert!(millis(&latency, Uptime::from_secs(60)) < 5, "silence is forgiven");
    }

    #[test]
    fn failing_fast_looks_slow() {
        let (failing, working) = (PeakEwma::default(), PeakEwma::default());
        failing.observe_failure(Duration::from_micros(50), Uptime(0));
        working.observe(Duration::from_millis(900), Uptime(0));
        assert!(is_slow_beside(&failing, &working, Uptime(0)));
    }

    #[test]
    fn silence_forgives_and_makes_nobody_fast() {
        let (slow, usual) = (PeakEwma::default(), PeakEwma::default());
        slow.observe(Duration::from_millis(100), Uptime(0));
        usual.observe(Duration::from_millis(10), Uptime(0));
        assert!(is_slow_beside(&slow, &usual, Uptime::from_secs(10)));
        assert!(!is_slow_beside(&slow, &usual, Uptime::from_secs(20)));
        usual.observe(Duration::from_millis(10), Uptime::from_secs(1_000));
        assert!(!is_slow_beside(&usual, &slow, Uptime::from_secs(1_000)), "it was not seen for long");
    }

    #[test]
    fn a_mean_is_hardly_moved_by_one_slow_request_among_many() {
        let mean = MeanLatency::default();
        for request in 0..1_000 {
            let took = if request == 500 { 500 } else { 10 };
            mean.observe(Duration::from_millis(took), Uptime(1_000_000 + request * 10_000));
        }
        let now = Uptime::from_secs(11);
        let micros = |now| mean.expected(now).unwrap().forgiven;
        assert!((9_000.0..11_000.0).contains(&micros(now)), "{mean:?}");
        mean.observe_failure(Duration::from_millis(1), now);
        mean.observe_failure(Duration::from_millis(1), Uptime::from_secs(12));
        assert!(micros(now) > 9_000.0, "failing fast is not being fast");
        mean.observe_failure(Duration::from_millis(1), Uptime::from_secs(60));
        assert!(mean.expected(now).unwrap().observed > 9_000.0, "after a silence neither");
        mean.observe_failure(Duration::from_secs(30), Uptime::from_secs(13));
        assert!(micros(Uptime::from_secs(13)) > 100_000.0);
        assert!(micros(Uptime::from_secs(90)) < 5_000.0, "silence is forgiven");
    }

    #[test]
    fn a_clock_that_reads_a_little_earlier_changes_nothing() {
        let latency = PeakEwma::default();
        latency.observe(Duration::from_millis(10), Uptime::from_secs(5));
        assert_eq!(millis(&latency, Uptime::from_secs(4)), 10);
    }
}
