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
/// requests to where they fail.
const FAILURE: Duration = Duration::from_secs(1);
/// Cost of one request more, in microseconds, at a target that has not yet answered its first: others go first.
const UNKNOWN_MICROS: f64 = 1e9;

#[derive(Debug, Default)]
pub struct PeakEwma(Average);

impl PeakEwma {
    pub fn observe(&self, latency: Duration, now: Uptime) {
        self.0.observe(latency, now, |sample, average| sample > average);
    }

    pub fn observe_failure(&self, latency: Duration, now: Uptime) {
        self.observe(latency.max(FAILURE), now);
    }

    /// Of one request more, in microseconds, where `in_flight` are under way. A target that is not known yet is tried
    /// with one request at a time.
    pub fn cost(&self, in_flight: f64, now: Uptime) -> f64 {
        self.0.micros(now).map_or(UNKNOWN_MICROS * in_flight, |average| average * (in_flight + 1.0))
    }

    /// `None` before the first observation.
    pub fn average(&self, now: Uptime) -> Option<Duration> {
        self.0.micros(now).map(|average| Duration::from_secs_f64(average / 1e6))
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
        if self.0.micros(now).is_some_and(|average| sample(latency) > average) {
            self.observe(latency, now);
        }
    }

    /// In microseconds; `None` before the first observation.
    pub fn micros(&self, now: Uptime) -> Option<f64> {
        self.0.micros(now)
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
            let average = match Self::decayed(word, now) {
                None => sample,
                Some((average, _)) if replaces(sample, average) => sample,
                Some((average, weight)) => average + sample * (1.0 - weight),
            };
            Self::word(average, now)
        };
        self.0.update(Ordering::Relaxed, Ordering::Relaxed, observed);
    }

    fn micros(&self, now: Uptime) -> Option<f64> {
        let (average, _) = Self::decayed(self.0.load(Ordering::Relaxed), now)?;
        Some(average)
    }

    #[expect(clippy::cast_possible_truncation, reason = "an average needs no more than 24 bits")]
    fn word(average: f64, now: Uptime) -> u64 {
        (u64::from((average as f32).to_bits()) << 32) | u64::from(Self::stamp(now))
    }

    /// The average as it is now, and the weight that what was observed still has.
    fn decayed(word: u64, now: Uptime) -> Option<(f64, f64)> {
        if word == 0 {
            return None;
        }
        let [a, b, c, d, stamp @ ..] = word.to_be_bytes();
        let average = f64::from(f32::from_bits(u32::from_be_bytes([a, b, c, d])));
        let elapsed_millis = Self::stamp(now).wrapping_sub(u32::from_be_bytes(stamp));
        // More than half of the circle ahead: another worker's clock was read a moment later.
        let elapsed_millis = if elapsed_millis > u32::MAX / 2 { 0 } else { elapsed_millis };
        let weight = (-f64::from(elapsed_millis) / DECAY_MILLIS).exp();
        Some((average * weight, weight))
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

    fn millis(latency: &PeakEwma, now: Uptime) -> u128 {
        latency.average(now).unwrap().as_millis()
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
    fn who_is_unknown_is_tried_with_one_request_at_a_time() {
        let (known, unknown) = (PeakEwma::default(), PeakEwma::default());
        known.observe(Duration::from_millis(1), Uptime(0));
        assert!(unknown.cost(0.0, Uptime(0)) < known.cost(0.0, Uptime(0)));
        assert!(unknown.cost(1.0, Uptime(0)) > known.cost(100.0, Uptime(0)));
    }

    #[test]
    fn failing_fast_looks_slow() {
        let (failing, working) = (PeakEwma::default(), PeakEwma::default());
        failing.observe_failure(Duration::from_micros(50), Uptime(0));
        working.observe(Duration::from_millis(300), Uptime(0));
        assert!(failing.cost(0.0, Uptime(0)) > working.cost(1.0, Uptime(0)));
    }

    #[test]
    fn a_mean_is_hardly_moved_by_one_slow_request_among_many() {
        let mean = MeanLatency::default();
        for request in 0..1_000 {
            let took = if request == 500 { 500 } else { 10 };
            mean.observe(Duration::from_millis(took), Uptime(1_000_000 + request * 10_000));
        }
        let now = Uptime::from_secs(11);
        assert!((9_000.0..11_000.0).contains(&mean.micros(now).unwrap()), "{mean:?}");
        mean.observe_failure(Duration::from_millis(1), now);
        mean.observe_failure(Duration::from_millis(1), Uptime::from_secs(12));
        assert!(mean.micros(now).unwrap() > 9_000.0, "failing fast is not being fast");
        mean.observe_failure(Duration::from_secs(30), Uptime::from_secs(13));
        assert!(mean.micros(Uptime::from_secs(13)).unwrap() > 100_000.0);
        assert!(mean.micros(Uptime::from_secs(90)).unwrap() < 5_000.0, "silence is forgiven");
    }

    #[test]
    fn a_clock_that_reads_a_little_earlier_changes_nothing() {
        let latency = PeakEwma::default();
        latency.observe(Duration::from_millis(10), Uptime::from_secs(5));
        assert_eq!(millis(&latency, Uptime::from_secs(4)), 10);
    }
}
