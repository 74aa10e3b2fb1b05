//! When counts are forgotten that are over.

use tollgate_core::time::UnixMicros;

/// A clock may be ahead just when it is looked at, and what is over by it is needed again once it is put right. So a sweep forgets what
/// was over at the one before already.
#[derive(Debug, Default)]
pub struct Sweeps {
    /// The clock at the last sweep; the beginning of time before the first.
    last: UnixMicros,
}

impl Sweeps {
    /// What a sweep now forgets is over at that instant.
    pub fn next(&mut self, now: UnixMicros) -> UnixMicros {
        std::mem::replace(&mut self.last, now).min(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_ahead_at_one_sweep_forgets_nothing_before_its_time() {
        let mut sweeps = Sweeps::default();
        let forgotten_at =
            [60, 120, 9_000, 240, 200, 300, 9_000, 9_060].map(|now| sweeps.next(UnixMicros(now)).0);
        assert_eq!(forgotten_at, [0, 60, 120, 240, 200, 200, 300, 9_000]);
    }
}
