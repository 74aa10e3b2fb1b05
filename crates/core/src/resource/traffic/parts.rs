//! Numbers and durations of drafts, with the values that they have where they are left out.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::problem::Problems;
use crate::resource::DurationText;

/// How long something may take.
pub(super) struct Bounds {
    pub least: Duration,
    pub most: Duration,
    /// As people are told: `1ms and 24h`.
    pub said: &'static str,
}

pub(super) const SHORTEST: Duration = Duration::from_millis(1);
pub(super) const LONGEST: Duration = Duration::from_hours(24);

pub(super) fn count(
    field: &str,
    written: Option<u32>,
    usual: NonZeroU32,
    problems: &mut Problems,
) -> NonZeroU32 {
    match written.map(NonZeroU32::new) {
        None => usual,
        Some(Some(count)) => count,
        Some(None) => {
            problems.add(field, "must be at least 1");
            usual
        }
    }
}

pub(super) fn percent(field: &str, written: Option<u32>, usual: u32, problems: &mut Problems) -> u32 {
    within(field, written, usual, (1, 100), problems)
}

pub(super) fn within(
    field: &str,
    written: Option<u32>,
    usual: u32,
    (least, most): (u32, u32),
    problems: &mut Problems,
) -> u32 {
    match written {
        None => usual,
        Some(number) if (least..=most).contains(&number) => number,
        Some(_) => {
            problems.add(field, format!("must be {least} to {most}"));
            usual
        }
    }
}

pub(super) fn duration(
    field: &str,
    written: Option<DurationText>,
    usual: Duration,
    problems: &mut Problems,
) -> Duration {
    let bounds = Bounds { least: SHORTEST, most: LONGEST, said: "1ms and 24h" };
    duration_within(field, written, usual, &bounds, problems)
}

pub(super) fn duration_within(
    field: &str,
    written: Option<DurationText>,
    usual: Duration,
    bounds: &Bounds,
    problems: &mut Problems,
) -> Duration {
    match written {
        None => usual,
        Some(DurationText(duration)) if (bounds.least..=bounds.most).contains(&duration) => duration,
        Some(_) => {
            problems.add(field, format!("must be between {}", bounds.said));
            usual
        }
    }
}
