//! Two counts over the last while: requests and failures of them, deposits and withdrawals.

use std::time::Duration;

use crate::uptime::{Uptime, micros};

const SLOTS: usize = 10;
const SLOT_COUNT: u64 = SLOTS as u64;

/// A window that slides by a tenth of its length: what was counted is forgotten between nine and ten tenths of the
/// window later.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    slots: [[u32; 2]; SLOTS],
    /// The number of the slot that is counted in, from the beginning of time.
    newest: u64,
}

impl Tally {
    pub fn add(&mut self, counts: [u32; 2], window: Duration, now: Uptime) {
        self.slide(window, now);
        let slot = &mut self.slots[place(self.newest)];
        for (sum, count) in slot.iter_mut().zip(counts) {
            *sum = sum.saturating_add(count);
        }
    }

    pub fn sums(&mut self, window: Duration, now: Uptime) -> [u64; 2] {
        self.slide(window, now);
        self.slots
            .iter()
            .fold([0, 0], |[first, second], slot| [first + u64::from(slot[0]), second + u64::from(slot[1])])
    }

    pub fn clear(&mut self) {
        self.slots = [[0; 2]; SLOTS];
    }

    fn slide(&mut self, window: Duration, now: Uptime) {
        let slot_micros = (micros(window) / SLOT_COUNT).max(1);
        let number = now.0 / slot_micros;
        // Far behind: the window was another one when this was last counted in.
        if number >= self.newest.saturating_add(SLOT_COUNT) || number.saturating_add(SLOT_COUNT) < self.newest
        {
            self.clear();
            self.newest = number;
        }
        // A little behind: another worker's clock was read a moment later.
        while self.newest < number {
            self.newest += 1;
            self.slots[place(self.newest)] = [0; 2];
        }
    }
}

fn place(number: u64) -> usize {
    usize::try_from(number % SLOT_COUNT).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const WINDOW: Duration = Duration::from_secs(10);

    #[test]
    fn what_is_older_than_the_window_is_forgotten() {
        let mut tally = Tally::default();
        tally.add([3, 1], WINDOW, Uptime::from_secs(100));
        tally.add([1, 0], WINDOW, Uptime::from_secs(105));
        assert_eq!(tally.sums(WINDOW, Uptime::from_secs(109)), [4, 1]);
        assert_eq!(tally.sums(WINDOW, Uptime::from_secs(110)), [1, 0]);
        assert_eq!(tally.sums(WINDOW, Uptime::from_secs(1_000)), [0, 0]);
    }

    #[test]
    fn a_clock_that_reads_a_little_earlier_counts_all_the_same() {
        let mut tally = Tally::default();
        tally.add([1, 0], WINDOW, Uptime::from_secs(100));
        tally.add([1, 0], WINDOW, Uptime::from_secs(98));
        assert_eq!(tally.sums(WINDOW, Uptime::from_secs(100)), [2, 0]);
    }

    proptest! {
        #[test]
        fn the_sum_is_that_of_the_last_nine_to_ten_tenths(
            steps in prop::collection::vec((0u64..4_000_000, 1u32..5), 1..60),
        ) {
            let (mut tally, mut now, mut events) = (Tally::default(), 50_000_000, Vec::new());
            for (step, count) in steps {
                now += step;
                tally.add([count, 0], WINDOW, Uptime(now));
                events.push((now, u64::from(count)));
                let since = |micros: u64| -> u64 {
                    events.iter().filter(|(at, _)| at + micros > now).map(|(_, count)| count).sum()
                };
                let [sum, _] = tally.sums(WINDOW, Uptime(now));
                prop_assert!(since(9_000_000) <= sum && sum <= since(10_000_000));
            }
        }
    }
}
