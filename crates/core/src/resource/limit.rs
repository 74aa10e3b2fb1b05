//! A limit: so many requests in a period, and how they are counted.

use serde::{Deserialize, Serialize};

#[cfg(feature = "openapi")]
use super::forms;
use super::{Overage, Thresholds};
use crate::limit::Window;
use crate::problem::Problems;

/// Above this, nobody means a limit, and the arithmetic needs no thought.
const MOST_REQUESTS: u64 = 1_000_000_000_000;
pub(super) const MOST_LIMITS: usize = 8;
/// A sliding log remembers each of its requests.
const MOST_LOGGED_REQUESTS: u64 = 10_000;

pub(super) const TOKEN_BUCKET: &str = "token_bucket";
pub(super) const FIXED_WINDOW: &str = "fixed_window";
pub(super) const SLIDING_WINDOW: &str = "sliding_window";
pub(super) const SLIDING_LOG: &str = "sliding_log";
pub(super) const CALENDAR: &str = "calendar";
pub(super) const SUBSCRIPTION: &str = "subscription";

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limit {
    pub requests: u64,
    pub per: Window,
    pub algorithm: Algorithm,
    pub anchor: Anchor,
    pub thresholds: Thresholds,
    pub overage: Overage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Algorithm {
    /// `burst` is what a full bucket holds.
    TokenBucket { burst: u64 },
    /// At most `requests` in each period, which starts at a multiple of its length since the epoch, or with
    /// the calendar's day or month.
    FixedWindow,
    /// As a fixed window, and what is left of the one before counts along with it.
    SlidingWindow,
    /// At most `requests` in any stretch of the period's length.
    SlidingLog,
}

/// Where days and months begin, in the tenant's time zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Anchor {
    /// At midnight; months on the first.
    #[default]
    Calendar,
    /// At the time of day, and months on the day, at which the subscription began.
    Subscription,
}

/// A limit as it is written.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct LimitDraft {
    /// At most 1,000,000,000,000; of a `sliding_log` 10,000.
    #[cfg_attr(feature = "openapi", schema(minimum = 1, maximum = 1_000_000_000_000u64))]
    pub requests: u64,
    /// `second`, `minute`, `hour`, `day`, `month`, or a duration such as `10s`.
    #[cfg_attr(feature = "openapi", schema(pattern = "^(second|minute|hour|day|month|[0-9]+[smh])$"))]
    pub per: String,
    /// Size of the bucket; `requests` where left out. Token buckets alone have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(minimum = 1))]
    pub burst: Option<u64>,
    /// `token_bucket` (what durations have where left out), `fixed_window` (what `day` and `month` have, and what may
    /// be gone over), `sliding_window` or `sliding_log`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<forms::AlgorithmWord>, inline))]
    pub algorithm: Option<String>,
    /// Of a `day` or `month`: `calendar` (where left out), or `subscription`, to count it from when the consumer's or
    /// the key's subscription began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<forms::AnchorWord>, inline))]
    pub anchor: Option<String>,
    /// Percent of the limit, 1 to 1000, at most 8: an event is raised when so much was used, once a period. None
    /// where left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "openapi", schema(max_items = 8))]
    pub thresholds: Vec<u32>,
    /// Of a `fixed_window`: `deny` (where left out) refuses requests beyond the limit, `allow` lets them through and
    /// counts them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<forms::OverageWord>, inline))]
    pub overage: Option<String>,
}

/// Whether who is counted by a level has a subscription that periods can be anchored to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Subscribed {
    Yes,
    No,
}

/// The limits of one level, which stand in `field`: each of a window of its own.
pub(super) fn parse_limits(
    field: &str,
    drafts: &[LimitDraft],
    subscribed: Subscribed,
    problems: &mut Problems,
) -> Vec<Limit> {
    let drafts = problems.check_length(field, drafts, 0..=MOST_LIMITS);
    let mut limits: Vec<Limit> = Vec::with_capacity(drafts.len());
    for (index, draft) in drafts.iter().enumerate() {
        let entry = format!("{field}[{index}]");
        let Some(limit) = problems.check_nested(&entry, draft.parse()) else { continue };
        if limits.iter().any(|earlier| earlier.per == limit.per) {
            problems.add(format!("{entry}.per"), "is the period of an earlier limit");
        }
        if subscribed == Subscribed::No && limit.anchor == Anchor::Subscription {
            problems.add(format!("{entry}.anchor"), "only limits of plans and keys go by a subscription");
        }
        limits.push(limit);
    }
    limits
}

impl LimitDraft {
    pub fn parse(&self) -> Result<Limit, Problems> {
        let mut problems = Problems::default();
        if !(1..=MOST_REQUESTS).contains(&self.requests) {
            problems.add("requests", format!("must be 1 to {MOST_REQUESTS}"));
        }
        let per = problems.check("per", Window::parse(&self.per));
        if self.burst.is_some_and(|burst| !(1..=MOST_REQUESTS).contains(&burst)) {
            problems.add("burst", format!("must be 1 to {MOST_REQUESTS}"));
        }
        let algorithm = problems.check("algorithm", self.algorithm(per));
        if self.burst.is_some() && algorithm.is_some_and(|algorithm| !algorithm.has_burst()) {
            problems.add("burst", "only a token_bucket has a burst");
        }
        if algorithm == Some(Algorithm::SlidingLog) && self.requests > MOST_LOGGED_REQUESTS {
            problems.add("requests", format!("must be at most {MOST_LOGGED_REQUESTS} in a sliding_log"));
        }
        let anchor = problems.check("anchor", self.anchor(per));
        let thresholds = Thresholds::parse(&self.thresholds, per, &mut problems);
        let overage = problems.check("overage", Overage::parse(self.overage.as_deref()));
        // It is its period that a use beyond the limit is counted in.
        if overage == Some(Overage::Allow) && algorithm.is_some_and(|known| known != Algorithm::FixedWindow) {
            problems.add("overage", "only a fixed_window, which days and months are, can be gone over");
        }
        let limit =
            per.zip(algorithm).zip(anchor).zip(overage).map(|(((per, algorithm), anchor), overage)| Limit {
                requests: self.requests,
                per,
                algorithm,
                anchor,
                thresholds,
                overage,
            });
        problems.finish(limit)
    }

    /// Where the period is wrong itself, it has no say in what is right here.
    fn algorithm(&self, per: Option<Window>) -> Result<Algorithm, &'static str> {
        let is_calendar = per.is_some_and(Window::is_calendar);
        let is_soft = Overage::parse(self.overage.as_deref()) == Ok(Overage::Allow);
        let usual = if is_calendar || is_soft { FIXED_WINDOW } else { TOKEN_BUCKET };
        let bucket = Algorithm::TokenBucket { burst: self.burst.unwrap_or(self.requests) };
        let algorithm = match self.algorithm.as_deref().unwrap_or(usual) {
            TOKEN_BUCKET => bucket,
            FIXED_WINDOW => Algorithm::FixedWindow,
            SLIDING_WINDOW => Algorithm::SlidingWindow,
            SLIDING_LOG => Algorithm::SlidingLog,
            _ => return Err("must be token_bucket, fixed_window, sliding_window or sliding_log"),
        };
        if is_calendar && algorithm != Algorithm::FixedWindow {
            return Err("a day or month is counted in a fixed_window");
        }
        Ok(algorithm)
    }

    fn anchor(&self, per: Option<Window>) -> Result<Anchor, &'static str> {
        let anchor = match self.anchor.as_deref() {
            None => return Ok(Anchor::default()),
            Some(CALENDAR) => Anchor::Calendar,
            Some(SUBSCRIPTION) => Anchor::Subscription,
            Some(_) => return Err("must be calendar or subscription"),
        };
        if per.is_some_and(|per| !per.is_calendar()) {
            return Err("only a day or month has an anchor");
        }
        Ok(anchor)
    }
}

impl Algorithm {
    const fn has_burst(self) -> bool {
        match self {
            Self::TokenBucket { .. } => true,
            Self::FixedWindow | Self::SlidingWindow | Self::SlidingLog => false,
        }
    }

    /// What a limit of so many requests has at most.
    pub const fn most_at_once(self, requests: u64) -> u64 {
        match self {
            Self::TokenBucket { burst } => burst,
            Self::FixedWindow | Self::SlidingWindow | Self::SlidingLog => requests,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::TokenBucket { .. } => TOKEN_BUCKET,
            Self::FixedWindow => FIXED_WINDOW,
            Self::SlidingWindow => SLIDING_WINDOW,
            Self::SlidingLog => SLIDING_LOG,
        }
    }
}

impl Anchor {
    const fn name(self) -> &'static str {
        match self {
            Self::Calendar => CALENDAR,
            Self::Subscription => SUBSCRIPTION,
        }
    }
}

impl From<&Limit> for LimitDraft {
    fn from(limit: &Limit) -> Self {
        let burst = match limit.algorithm {
            Algorithm::TokenBucket { burst } => Some(burst),
            Algorithm::FixedWindow | Algorithm::SlidingWindow | Algorithm::SlidingLog => None,
        };
        Self {
            requests: limit.requests,
            per: limit.per.to_string(),
            burst,
            algorithm: Some(limit.algorithm.name().to_owned()),
            anchor: limit.per.is_calendar().then(|| limit.anchor.name().to_owned()),
            thresholds: limit.thresholds.percents().map(u32::from).collect(),
            overage: limit.overage.written().map(str::to_owned),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(requests: u64, per: &str) -> LimitDraft {
        LimitDraft { requests, per: per.into(), ..LimitDraft::default() }
    }

    #[test]
    fn a_fixed_window_has_no_burst() {
        let draft = LimitDraft { burst: Some(5), ..limit(5, "day") };
        assert_eq!(draft.parse().unwrap_err().iter().next().unwrap().field, "burst");
    }

    #[test]
    fn what_does_not_go_together_is_refused_at_its_field() {
        let with = |per: &str, algorithm: &str| LimitDraft {
            algorithm: Some(algorithm.into()),
            ..limit(10_001, per)
        };
        let anchored = |per: &str| LimitDraft { anchor: Some("subscription".into()), ..limit(5, per) };
        for (draft, field) in [
            (with("minute", "sliding_log"), "requests"),
            (with("day", "sliding_log"), "algorithm"),
            (with("day", "sliding_window"), "algorithm"),
            (with("month", "token_bucket"), "algorithm"),
            (LimitDraft { burst: Some(5), ..with("hour", "sliding_window") }, "burst"),
            (anchored("24h"), "anchor"),
            (anchored("hour"), "anchor"),
        ] {
            let problems = draft.parse().unwrap_err().into_vec();
            let fields: Vec<_> = problems.iter().map(|problem| problem.field.as_str()).collect();
            assert_eq!(fields, [field], "{draft:?}");
        }
        assert_eq!(with("minute", "sliding_window").parse().unwrap().algorithm, Algorithm::SlidingWindow);
        assert_eq!(anchored("month").parse().unwrap().anchor, Anchor::Subscription);
    }

    #[test]
    fn a_limit_written_out_parses_back() {
        let logged = LimitDraft { algorithm: Some("sliding_log".into()), ..limit(9, "minute") };
        let sliding = LimitDraft { algorithm: Some("sliding_window".into()), ..limit(9, "2h") };
        let anchored = LimitDraft { anchor: Some("subscription".into()), ..limit(9, "day") };
        for draft in [limit(5, "minute"), limit(7, "10s"), limit(9, "month"), logged, sliding, anchored] {
            let parsed = draft.parse().unwrap();
            assert_eq!(LimitDraft::from(&parsed).parse().unwrap(), parsed);
        }
    }
}
