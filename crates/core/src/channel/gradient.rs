//! How many requests a service can take at once, judged by its latencies: the Gradient2 of Netflix's concurrency-limits
//! (<https://github.com/Netflix/concurrency-limits>, `Gradient2Limit.java`). Where answers take longer than they do in
//! the long run, requests are queueing somewhere, and the limit goes down by the ratio of the two; where they don't, it
//! goes up by a few.

use std::num::NonZeroU32;
use std::time::Duration;

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct GradientRules {
    pub initial: NonZeroU32,
    pub least: NonZeroU32,
    pub most: NonZeroU32,
}

/// Latencies this much above the long-term average are not held against the service.
const TOLERANCE: f64 = 1.5;
/// How fast the limit follows what is calculated.
const SMOOTHING: f64 = 0.2;
/// What a limit that holds goes up by: room for bursts.
const HEADROOM: f64 = 4.0;
/// Samples that the long-term average is made of.
const LONG_WINDOW: f64 = 600.0;
/// The average of the first samples is a plain one.
const WARM_UP: u32 = 10;

#[derive(Debug, Clone)]
pub struct Gradient {
    limit: f64,
    long_secs: f64,
    samples: u32,
}

impl Gradient {
    pub fn new(rules: &GradientRules) -> Self {
        Self { limit: f64::from(rules.initial.get()), long_secs: 0.0, samples: 0 }
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "clamped to what a u32 holds"
    )]
    pub fn limit(&self, rules: &GradientRules) -> u32 {
        rules.bound(self.limit) as u32
    }

    /// Takes the latency of a request that succeeded while so many were under way.
    pub fn note(&mut self, latency: Duration, in_flight: u32, rules: &GradientRules) {
        let sample_secs = latency.as_secs_f64().max(1e-6);
        self.samples = self.samples.saturating_add(1);
        let weight =
            if self.samples <= WARM_UP { 1.0 / f64::from(self.samples) } else { 2.0 / (LONG_WINDOW + 1.0) };
        self.long_secs += (sample_secs - self.long_secs) * weight;
        // After a long overload the average itself is too high: let it recover fast.
        if self.long_secs / sample_secs > 2.0 {
            self.long_secs *= 0.95;
        }
        // What was learnt under other rules may be beyond what these let through.
        self.limit = rules.bound(self.limit);
        // With few requests under way their latency says nothing of the limit.
        if f64::from(in_flight) < self.limit / 2.0 {
            return;
        }
        let gradient = (TOLERANCE * self.long_secs / sample_secs).clamp(0.5, 1.0);
        let wanted = self.limit * gradient + HEADROOM;
        let followed = self.limit * (1.0 - SMOOTHING) + wanted * SMOOTHING;
        self.limit = rules.bound(followed);
    }
}

impl GradientRules {
    fn bound(&self, limit: f64) -> f64 {
        let most = f64::from(self.most.get());
        limit.clamp(f64::from(self.least.get()).min(most), most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules() -> GradientRules {
        let count = |number| NonZeroU32::new(number).unwrap();
        GradientRules { initial: count(20), least: count(5), most: count(200) }
    }

    /// A service that does `capacity` requests at once in 10 ms, and others after them.
    fn limit_after(capacity: u32, samples: usize) -> u32 {
        let mut gradient = Gradient::new(&rules());
        for _ in 0..samples {
            let in_flight = gradient.limit(&rules());
            let queued = f64::from(in_flight.saturating_sub(capacity)) / f64::from(capacity);
            gradient.note(Duration::from_secs_f64(0.010 * (1.0 + queued)), in_flight, &rules());
        }
        gradient.limit(&rules())
    }

    #[test]
    fn the_limit_grows_to_its_most_where_latencies_stay() {
        assert_eq!(limit_after(1_000, 2_000), 200);
    }

    #[test]
    fn the_limit_stays_near_what_the_service_can_do() {
        let limit = limit_after(50, 300);
        assert!((50..=120).contains(&limit), "{limit}");
    }

    #[test]
    fn a_service_that_becomes_slow_gets_fewer_requests() {
        let mut gradient = Gradient::new(&rules());
        for _ in 0..200 {
            gradient.note(Duration::from_millis(10), gradient.limit(&rules()), &rules());
        }
        let before = gradient.limit(&rules());
        for _ in 0..20 {
            gradient.note(Duration::from_millis(100), gradient.limit(&rules()), &rules());
        }
        assert!(gradient.limit(&rules()) < before / 2, "{before}, then {}", gradient.limit(&rules()));
    }

    #[test]
    fn a_limit_that_was_cut_by_new_rules_goes_on_adapting() {
        let mut gradient = Gradient::new(&rules());
        for _ in 0..2_000 {
            gradient.note(Duration::from_millis(10), gradient.limit(&rules()), &rules());
        }
        assert_eq!(gradient.limit(&rules()), 200);
        let cut = GradientRules { most: NonZeroU32::new(50).unwrap(), ..rules() };
        assert_eq!(gradient.limit(&cut), 50);
        for _ in 0..20 {
            gradient.note(Duration::from_millis(100), gradient.limit(&cut), &cut);
        }
        assert!(gradient.limit(&cut) < 25, "{}", gradient.limit(&cut));
    }

    #[test]
    fn an_idle_service_keeps_its_limit() {
        let mut gradient = Gradient::new(&rules());
        for millis in [10, 500, 10, 500] {
            gradient.note(Duration::from_millis(millis), 1, &rules());
        }
        assert_eq!(gradient.limit(&rules()), 20);
    }
}
