//! What a limit does besides refusing: it tells when so much of it was used, and it may let more through than it says.

use serde::{Deserialize, Serialize};

use crate::limit::Window;
use crate::problem::Problems;

const MOST_THRESHOLDS: usize = 8;
const LARGEST_PERCENT: u32 = 1_000;
/// Who is told once a period must not be told all the time.
const SHORTEST_PERIOD_SECS: u64 = 60;

pub(super) const DENY: &str = "deny";
pub(super) const ALLOW: &str = "allow";

/// Percent of a limit, ascending, none twice.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Thresholds(Box<[u16]>);

/// What becomes of a request that does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Overage {
    /// It is refused.
    #[default]
    Deny,
    /// It is let through, and counted.
    Allow,
}

impl Thresholds {
    pub(super) fn parse(drafts: &[u32], per: Option<Window>, problems: &mut Problems) -> Self {
        let drafts = problems.check_length("thresholds", drafts, 0..=MOST_THRESHOLDS);
        if !drafts.is_empty() && per.is_some_and(|per| per.nominal_secs() < SHORTEST_PERIOD_SECS) {
            problems.add("thresholds", "only periods of a minute or more have thresholds");
        }
        let mut percents = Vec::with_capacity(drafts.len());
        for (index, &percent) in drafts.iter().enumerate() {
            match u16::try_from(percent) {
                Ok(whole) if (1..=LARGEST_PERCENT).contains(&percent) => percents.push(whole),
                Ok(_) | Err(_) => {
                    problems.add(
                        format!("thresholds[{index}]"),
                        format!("must be 1 to {LARGEST_PERCENT} percent"),
                    );
                }
            }
        }
        percents.sort_unstable();
        percents.dedup();
        Self(percents.into())
    }

    pub fn percents(&self) -> impl Iterator<Item = u16> {
        self.0.iter().copied()
    }

    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Overage {
    pub(super) fn parse(text: Option<&str>) -> Result<Self, &'static str> {
        match text {
            None | Some(DENY) => Ok(Self::Deny),
            Some(ALLOW) => Ok(Self::Allow),
            Some(_) => Err("must be deny or allow"),
        }
    }

    /// As it is written where it says more than nothing would.
    pub(super) const fn written(self) -> Option<&'static str> {
        match self {
            Self::Deny => None,
            Self::Allow => Some(ALLOW),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::resource::{Algorithm, LimitDraft, Overage};

    fn limit(json: &str) -> Result<LimitDraft, Vec<String>> {
        let draft: LimitDraft = serde_json::from_str(json).unwrap();
        match draft.parse() {
            Ok(limit) => Ok(LimitDraft::from(&limit)),
            Err(problems) => Err(problems.into_vec().into_iter().map(|problem| problem.field).collect()),
        }
    }

    #[test]
    fn thresholds_are_percent_in_ascending_order() {
        let draft = limit(r#"{"requests":10,"per":"month","thresholds":[100,80,80,1000,1]}"#).unwrap();
        assert_eq!(draft.thresholds, [1, 80, 100, 1_000]);
        for (thresholds, fields) in [
            ("[0]", vec!["thresholds[0]"]),
            ("[80,1001,4294967295]", vec!["thresholds[1]", "thresholds[2]"]),
            ("[1,2,3,4,5,6,7,8,9]", vec!["thresholds"]),
        ] {
            let json = format!(r#"{{"requests":10,"per":"hour","thresholds":{thresholds}}}"#);
            assert_eq!(limit(&json).unwrap_err(), fields, "{thresholds}");
        }
        let often = limit(r#"{"requests":10,"per":"59s","thresholds":[80]}"#);
        assert_eq!(often.unwrap_err(), ["thresholds"]);
    }

    #[test]
    fn only_periods_that_begin_and_end_can_be_gone_over() {
        let over = |rest: &str| limit(&format!(r#"{{"requests":10,"overage":"allow",{rest}}}"#));
        for rest in [r#""per":"day""#, r#""per":"hour","algorithm":"fixed_window""#, r#""per":"minute""#] {
            let draft = over(rest).unwrap();
            assert_eq!(draft.overage.as_deref(), Some("allow"));
            let parsed = draft.parse().unwrap();
            assert_eq!((parsed.algorithm, parsed.overage), (Algorithm::FixedWindow, Overage::Allow));
        }
        for algorithm in ["token_bucket", "sliding_window", "sliding_log"] {
            let refused = over(&format!(r#""per":"hour","algorithm":"{algorithm}""#));
            assert_eq!(refused.unwrap_err(), ["overage"], "{algorithm}");
        }
        let refused = limit(r#"{"requests":10,"per":"day","overage":"sometimes"}"#);
        assert_eq!(refused.unwrap_err(), ["overage"]);
        let denied = limit(r#"{"requests":10,"per":"day","overage":"deny"}"#).unwrap();
        assert_eq!(denied.overage, None, "what goes without saying is not said");
    }
}
