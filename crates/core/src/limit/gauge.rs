//! One limit's count as of now, whatever its algorithm.

use super::decision::Standing;
use super::fixed_window::FixedWindow;
use super::token_bucket::TokenBucket;
use super::{Counted, LimitRule};
use crate::resource::Algorithm;
use crate::time::UnixMicros;

/// One limit's count as it is now, in the form that the limit's algorithm keeps.
pub(super) enum Gauge {
    Bucket { bucket: TokenBucket, missing: u128, at: UnixMicros },
    Fixed { window: FixedWindow, start_secs: u64, used: u64 },
}

impl Gauge {
    /// Brings what is stored up to now. A plan that has changed its algorithm takes over what was used.
    pub fn read(rule: &LimitRule, stored: Option<Counted>, now: UnixMicros) -> Self {
        match rule.algorithm {
            Algorithm::TokenBucket { burst } => {
                let bucket = rule.bucket(burst);
                let (missing, at) = match stored {
                    None => (0, now),
                    Some(Counted::Bucket { missing, at, .. }) => {
                        (bucket.missing_at(missing, at, now), now.max(at))
                    }
                    Some(Counted::Fixed { start_secs, used }) => {
                        (bucket.missing_after(fixed(rule, now).used(start_secs, used)), now)
                    }
                };
                Self::Bucket { bucket, missing, at }
            }
            Algorithm::FixedWindow => {
                let window = fixed(rule, now);
                let (start_secs, used) = match stored {
                    None => (window.period.start_secs, 0),
                    Some(Counted::Fixed { start_secs, used }) => {
                        (window.start(start_secs), window.used(start_secs, used))
                    }
                    Some(Counted::Bucket { missing, at, .. }) => {
                        let bucket = rule.bucket(rule.requests);
                        (window.period.start_secs, bucket.used(bucket.missing_at(missing, at, now)))
                    }
                };
                Self::Fixed { window, start_secs, used }
            }
        }
    }

    /// How long until the limit lets a request through, where it does not now.
    pub fn refusal(&self, now: UnixMicros) -> Option<u64> {
        match self {
            Self::Bucket { bucket, missing, .. } => {
                (!bucket.admits(*missing, 1)).then(|| bucket.retry_after_micros(*missing))
            }
            Self::Fixed { window, used, .. } => {
                (!window.admits(*used, 1)).then(|| window.retry_after_micros(now))
            }
        }
    }

    pub fn charge(&mut self) {
        match self {
            Self::Bucket { bucket, missing, .. } => *missing += bucket.cost(1),
            Self::Fixed { used, .. } => *used += 1,
        }
    }

    pub fn standing(&self, now: UnixMicros) -> Standing {
        match self {
            Self::Bucket { bucket, missing, .. } => bucket.standing(*missing, now),
            Self::Fixed { window, used, .. } => window.standing(*used),
        }
    }

    pub fn counted(&self) -> Counted {
        match *self {
            Self::Bucket { bucket, missing, at } => bucket.counted(missing, at),
            Self::Fixed { start_secs, used, .. } => Counted::Fixed { start_secs, used },
        }
    }
}

fn fixed(rule: &LimitRule, now: UnixMicros) -> FixedWindow {
    FixedWindow { requests: rule.requests, period: rule.window.period(now) }
}
