//! When a delivery is tried again.

use std::time::Duration;

const FIRST: Duration = Duration::from_secs(2);
const LONGEST: Duration = Duration::from_hours(3);
/// What a wait is multiplied by for the next one.
const GROWTH: u32 = 3;

/// With the waits between them they span about a day.
pub const MOST_ATTEMPTS: u32 = 16;

/// How long to wait after so many attempts, all of which failed; `None` where that is enough. A wait is between four
/// fifths of its time and six fifths, by `random` from 0 to 1: what failed together is not tried again together.
pub fn delay_after(attempts: u32, random: f64) -> Option<Duration> {
    if attempts >= MOST_ATTEMPTS {
        return None;
    }
    let wait = (1..attempts).fold(FIRST, |wait, _| (wait * GROWTH).min(LONGEST));
    Some(wait.mul_f64(0.8 + 0.4 * random.clamp(0.0, 1.0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_three_hours_and_end_after_about_a_day() {
        let waits: Vec<Duration> = (1..).map_while(|attempts| delay_after(attempts, 0.5)).collect();
        assert_eq!(waits.len(), 15);
        assert_eq!(waits[..3], [2, 6, 18].map(Duration::from_secs));
        assert_eq!(waits[14], LONGEST);
        let whole: Duration = waits.iter().sum();
        assert!((Duration::from_hours(20)..Duration::from_hours(28)).contains(&whole), "{whole:?}");
    }

    #[test]
    fn waits_of_the_same_length_differ() {
        assert_eq!(delay_after(1, 0.0), Some(FIRST.mul_f64(0.8)));
        assert_eq!(delay_after(1, 1.0), Some(FIRST.mul_f64(1.2)));
        assert_eq!(delay_after(MOST_ATTEMPTS, 0.0), None);
        assert_eq!(delay_after(u32::MAX, 0.0), None);
    }
}
