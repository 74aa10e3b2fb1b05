//! When a request that failed goes out again.

use serde::{Deserialize, Serialize};

use super::parts::{duration, within};
use super::{Setting, causes_as_written, parse_causes};
use crate::cause::Causes;
use crate::problem::Problems;
use crate::resource::DurationText;
#[cfg(feature = "openapi")]
use crate::resource::forms;
use crate::retry::{Backoff, BudgetRules, RetryRules};

const MOST_ATTEMPTS: u32 = 10;
const MOST_REPLAY_BYTES: u32 = 1 << 20;

#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct RetriesDraft {
    /// `true` where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// Besides the first: 1 to 10; 2 where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(minimum = 1, maximum = 10))]
    pub attempts: Option<u32>,
    /// What is worth another attempt: `connect`, `reset`, `timeout`, statuses such as `503`, classes such as `5xx`;
    /// `connect` and `reset` where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Vec<forms::Cause>>, inline, max_items = 407))]
    pub on: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backoff: Option<BackoffDraft>,
    /// Retries for a hundred requests, over ten seconds: 0 to 100; 20 where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(maximum = 100))]
    pub budget_percent: Option<u32>,
    /// Bodies up to this size are kept until the response has begun, so that they can be sent again: at most 1048576;
    /// 65536 where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(maximum = 1_048_576))]
    pub replay_bytes: Option<u32>,
}

/// The wait before a retry is random, up to a bound that doubles with each.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct BackoffDraft {
    /// The first bound; `"25ms"` where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(inline))]
    pub base: Option<DurationText>,
    /// The largest bound; `"250ms"` where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(inline))]
    pub longest: Option<DurationText>,
}

impl RetriesDraft {
    pub(super) fn off() -> Self {
        Self { enabled: Some(false), ..Self::default() }
    }

    pub(super) fn parse(&self) -> Result<Setting<RetryRules>, Problems> {
        let mut problems = Problems::default();
        let usual = RetryRules::DEFAULT;
        let causes = match &self.on {
            None => Causes::RETRIED,
            Some(list) => problems.check_nested("on", parse_causes(list)).unwrap_or(Causes::RETRIED),
        };
        let backoff = self.backoff.as_ref().map_or(Ok(Backoff::DEFAULT), BackoffDraft::parse);
        let budget_percent =
            within("budget_percent", self.budget_percent, usual.budget.percent, (0, 100), &mut problems);
        let rules = RetryRules {
            attempts: within("attempts", self.attempts, usual.attempts, (1, MOST_ATTEMPTS), &mut problems),
            causes,
            backoff: problems.check_nested("backoff", backoff).unwrap_or(Backoff::DEFAULT),
            budget: BudgetRules { percent: budget_percent, ..usual.budget },
            replay_bytes: within(
                "replay_bytes",
                self.replay_bytes,
                usual.replay_bytes,
                (0, MOST_REPLAY_BYTES),
                &mut problems,
            ),
        };
        let setting = if self.enabled == Some(false) { Setting::Off } else { Setting::On(rules) };
        problems.finish(Some(setting))
    }
}

impl BackoffDraft {
    fn parse(&self) -> Result<Backoff, Problems> {
        let mut problems = Problems::default();
        let usual = Backoff::DEFAULT;
        let base = duration("base", self.base, usual.base, &mut problems);
        let longest = duration("longest", self.longest, usual.longest.max(base), &mut problems);
        if longest < base {
            problems.add("longest", "must not be shorter than `base`");
        }
        problems.finish(Some(Backoff { base, longest }))
    }
}

impl From<&RetryRules> for RetriesDraft {
    fn from(rules: &RetryRules) -> Self {
        Self {
            enabled: None,
            attempts: Some(rules.attempts),
            on: Some(causes_as_written(&rules.causes)),
            backoff: Some(BackoffDraft {
                base: Some(DurationText(rules.backoff.base)),
                longest: Some(DurationText(rules.backoff.longest)),
            }),
            budget_percent: Some(rules.budget.percent),
            replay_bytes: Some(rules.replay_bytes),
        }
    }
}
