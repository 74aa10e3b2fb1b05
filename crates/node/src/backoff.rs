//! How long to wait before the next try: longer each time, and never as long as another node.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(10);

pub struct Backoff(Duration);

impl Backoff {
    pub const fn new() -> Self {
        Self(FIRST)
    }

    /// Something went well: the next wait is short.
    pub const fn reset(&mut self) {
        self.0 = FIRST;
    }

    /// Between half of the time and the whole; `random` is between 0 and 1.
    pub fn next(&mut self, random: f64) -> Duration {
        let wait = self.0.mul_f64(0.5 + random.clamp(0.0, 1.0) / 2.0);
        self.0 = (self.0 * 2).min(LONGEST);
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_bound_and_begin_anew() {
        let mut backoff = Backoff::new();
        let waits: Vec<Duration> = (0..12).map(|_| backoff.next(1.0)).collect();
        assert_eq!(waits[..3], [FIRST, 2 * FIRST, 4 * FIRST]);
        assert_eq!(waits[11], LONGEST);
        assert_eq!(backoff.next(0.0), LONGEST / 2);
        backoff.reset();
        assert_eq!(backoff.next(1.0), FIRST);
    }
}
