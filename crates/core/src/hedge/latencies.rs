//! How long requests of late took: a histogram whose buckets are an eighth of a power of two wide, as `HdrHistogram`'s
//! (<https://hdrhistogram.github.io/HdrHistogram/>), so that what it says is at most an eighth too much.

use std::time::Duration;

use crate::uptime::{Uptime, micros};

/// The window slides by halves: a sample is forgotten between one and two of these later.
const HALF_MICROS: u64 = 30_000_000;
/// Buckets of a power of two: `1 << FINENESS`.
const FINENESS: u32 = 3;
const BUCKETS: usize = 240;
const LONGEST_MICROS: u64 = u32::MAX as u64;

/// No memory is taken before the first sample.
#[derive(Debug, Default)]
pub struct Latencies {
    newer: Half,
    older: Half,
    /// The number of the newer half, from the beginning of time.
    newest: u64,
}

#[derive(Debug, Default)]
struct Half {
    total: u64,
    counts: Vec<u32>,
}

impl Latencies {
    pub fn note(&mut self, latency: Duration, now: Uptime) {
        self.slide(now);
        self.newer.counts.resize(BUCKETS, 0);
        if let Some(count) = self.newer.counts.get_mut(bucket(micros(latency).min(LONGEST_MICROS))) {
            *count = count.saturating_add(1);
            self.newer.total += 1;
        }
    }

    /// What so many of a hundred requests took at most; `None` where fewer than `minimum_samples` are known.
    pub fn percentile(&mut self, percent: u32, minimum_samples: u32, now: Uptime) -> Option<Duration> {
        self.slide(now);
        let total = self.newer.total + self.older.total;
        if total < u64::from(minimum_samples.max(1)) {
            return None;
        }
        let rank = (total * u64::from(percent)).div_ceil(100).max(1);
        let mut below = 0;
        let reached = (0..BUCKETS).find(|&bucket| {
            below += self.newer.count(bucket) + self.older.count(bucket);
            below >= rank
        })?;
        Some(Duration::from_micros(upper_bound(reached)))
    }

    fn slide(&mut self, now: Uptime) {
        let number = now.0 / HALF_MICROS;
        // A little behind: another worker's clock was read a moment later.
        if number <= self.newest {
            return;
        }
        if number == self.newest + 1 {
            std::mem::swap(&mut self.newer, &mut self.older);
        } else {
            self.older.clear();
        }
        self.newer.clear();
        self.newest = number;
    }
}

impl Half {
    fn count(&self, bucket: usize) -> u64 {
        self.counts.get(bucket).copied().unwrap_or_default().into()
    }

    fn clear(&mut self) {
        self.total = 0;
        self.counts.clear();
    }
}

/// Small numbers have a bucket each.
fn bucket(micros: u64) -> usize {
    let index = match micros.checked_ilog2() {
        Some(power) if power >= FINENESS => {
            let doublings = power - FINENESS;
            u64::from(doublings << FINENESS) + (micros >> doublings)
        }
        Some(_) | None => micros,
    };
    usize::try_from(index).unwrap_or(BUCKETS - 1)
}

/// The largest number in a bucket.
fn upper_bound(bucket: usize) -> u64 {
    let (bucket, each) = (bucket as u64, 1 << FINENESS);
    if bucket < 2 * each {
        return bucket;
    }
    let doublings = bucket / each - 1;
    ((bucket % each + each + 1) << doublings) - 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Against the samples themselves, sorted.
        #[test]
        fn a_percentile_is_at_most_an_eighth_too_much(
            samples in prop::collection::vec(prop_oneof![0u64..100, 0u64..100_000, 0u64..4_000_000_000], 1..300),
            percent in 1u32..=100,
        ) {
            let mut latencies = Latencies::default();
            for &sample in &samples {
                latencies.note(Duration::from_micros(sample), Uptime(1));
            }
            let mut sorted = samples.clone();
            sorted.sort_unstable();
            let rank = (sorted.len() * percent as usize).div_ceil(100);
            let exact = sorted[rank - 1];
            let told = micros(latencies.percentile(percent, 1, Uptime(1)).unwrap());
            prop_assert!(told >= exact && told <= exact + exact / 8, "{told} for {exact}");
        }

        #[test]
        fn a_number_is_in_its_bucket(number in 0u64..=LONGEST_MICROS) {
            let place = bucket(number);
            prop_assert!(place < BUCKETS && number <= upper_bound(place));
            prop_assert!(place == 0 || number > upper_bound(place - 1));
        }
    }

    #[test]
    fn too_few_samples_say_nothing() {
        let mut latencies = Latencies::default();
        for _ in 0..9 {
            latencies.note(Duration::from_millis(1), Uptime(0));
        }
        assert_eq!(latencies.percentile(95, 10, Uptime(0)), None);
        latencies.note(Duration::from_millis(1), Uptime(0));
        assert!(latencies.percentile(95, 10, Uptime(0)).is_some());
    }

    #[test]
    fn what_was_long_ago_is_forgotten() {
        let mut latencies = Latencies::default();
        latencies.note(Duration::from_secs(9), Uptime::from_secs(1));
        let slowest = |latencies: &mut Latencies, secs| latencies.percentile(100, 1, Uptime::from_secs(secs));
        assert!(slowest(&mut latencies, 59) >= Some(Duration::from_secs(9)));
        assert_eq!(slowest(&mut latencies, 60), None);
        latencies.note(Duration::from_micros(5), Uptime::from_secs(61));
        assert_eq!(slowest(&mut latencies, 61), Some(Duration::from_micros(5)));
        assert_eq!(slowest(&mut latencies, 600), None);
    }
}
