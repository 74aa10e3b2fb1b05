//! When signing keys come and go: each is published before it signs, and verifies for as long as a token of its
//! may live.

use std::time::Duration;

use super::LONGEST_LIFETIME;

/// How long a key is published before it signs, at most: verifiers fetch key sets now and then.
const LONGEST_LEAD: Duration = Duration::from_hours(1);

/// One signing key, in the terms of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SigningPeriod {
    /// Seconds since the epoch.
    pub signs_from_secs: u64,
}

/// What is to be done now.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rotation {
    /// When a new key is to sign from, where one is due.
    pub add_from_secs: Option<u64>,
    /// Indexes of the keys whose last token has expired.
    pub remove: Vec<usize>,
}

impl Rotation {
    /// Of these keys, in any order, each of which signs for `every`.
    pub fn due(keys: &[SigningPeriod], every: Duration, now_secs: u64) -> Self {
        let lead_secs = LONGEST_LEAD.min(every / 2).as_secs();
        let newest_secs = keys.iter().map(|key| key.signs_from_secs).max();
        let add_from_secs = match newest_secs {
            // Nothing can sign: at once.
            None => Some(now_secs),
            Some(newest_secs) => {
                let ends_secs = newest_secs.saturating_add(every.as_secs());
                (now_secs.saturating_add(lead_secs) >= ends_secs).then(|| now_secs.saturating_add(lead_secs))
            }
        };
        let is_over = |key: &SigningPeriod| {
            let successor =
                keys.iter().map(|other| other.signs_from_secs).filter(|from| *from > key.signs_from_secs);
            successor.min().is_some_and(|ended| ended.saturating_add(LONGEST_LIFETIME.as_secs()) <= now_secs)
        };
        let remove =
            keys.iter().enumerate().filter(|(_, key)| is_over(key)).map(|(index, _)| index).collect();
        Self { add_from_secs, remove }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 86_400;
    const HOUR: u64 = 3_600;
    const MONTH: Duration = Duration::from_hours(30 * 24);

    fn due(from: &[u64], now_secs: u64) -> Rotation {
        let keys: Vec<_> = from.iter().map(|&signs_from_secs| SigningPeriod { signs_from_secs }).collect();
        Rotation::due(&keys, MONTH, now_secs)
    }

    #[test]
    fn the_first_key_signs_at_once() {
        assert_eq!(due(&[], 7), Rotation { add_from_secs: Some(7), remove: Vec::new() });
    }

    #[test]
    fn the_next_key_is_published_before_it_signs() {
        let end = 30 * DAY;
        assert_eq!(due(&[0], end - HOUR - 1), Rotation::default());
        assert_eq!(due(&[0], end - HOUR).add_from_secs, Some(end));
        // It is there already, and a start that was late changes nothing.
        assert_eq!(due(&[0, end], end - 1), Rotation::default());
        assert_eq!(due(&[0], end + 9 * DAY).add_from_secs, Some(end + 9 * DAY + HOUR));
    }

    #[test]
    fn a_key_goes_once_its_last_token_has_expired() {
        let end = 30 * DAY;
        assert_eq!(due(&[0, end], end + DAY - 1).remove, Vec::<usize>::new());
        assert_eq!(due(&[end, 0], end + DAY).remove, [1]);
        assert_eq!(due(&[0, end, 2 * end], 2 * end).remove, [0]);
    }
}
