//! How targets are asked whether they are well.

use std::num::NonZeroU32;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::parts::{Bounds, LONGEST, SHORTEST, count, duration_within, within};
use super::{Setting, causes_as_written, parse_patterns};
use crate::cause::{CausePattern, Causes};
use crate::health::Thresholds;
use crate::problem::Problems;
use crate::resource::DurationText;

const USUAL_INTERVAL: Duration = Duration::from_secs(10);
const USUAL_TIMEOUT: Duration = Duration::from_secs(2);
const USUAL_HEALTHY: NonZeroU32 = NonZeroU32::new(2).unwrap();
const USUAL_UNHEALTHY: NonZeroU32 = NonZeroU32::new(3).unwrap();
const USUAL_JITTER_PERCENT: u32 = 10;
const INTERVALS: Bounds = Bounds { least: Duration::from_millis(100), most: LONGEST, said: "100ms and 24h" };
/// A check holds one of the places that all tenants' checks share.
const LONGEST_TIMEOUT: Duration = Duration::from_mins(1);
const TIMEOUTS: Bounds = Bounds { least: SHORTEST, most: LONGEST_TIMEOUT, said: "1ms and 60s" };
const LONGEST_PATH: usize = 1_024;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthCheck {
    /// Behind the target's own path, with its query; starts with a slash.
    pub path: Box<str>,
    pub interval: Duration,
    /// For the whole check; at most a minute.
    pub timeout: Duration,
    /// Statuses of a target that is well.
    pub expected: Causes,
    pub thresholds: Thresholds,
    pub jitter_percent: u32,
}

#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct HealthCheckDraft {
    /// `true` where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// What a GET is sent to, behind the target's own path; `/` where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// `"10s"` where left out; at least `"100ms"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(inline))]
    pub interval: Option<DurationText>,
    /// At most `"60s"`, and no more than the interval; `"2s"`, or the interval where that is shorter, where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(inline))]
    pub timeout: Option<DurationText>,
    /// Statuses such as `204` and classes such as `2xx`; `["2xx", "3xx"]` where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(min_items = 1, max_items = 407))]
    pub expect: Option<Vec<String>>,
    /// Checks in a row that must pass before a target is well again; 2 where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(minimum = 1))]
    pub healthy: Option<u32>,
    /// Checks in a row that must fail before a target is out; 3 where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(minimum = 1))]
    pub unhealthy: Option<u32>,
    /// By how much intervals differ at random: 0 to 50; 10 where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(maximum = 50))]
    pub jitter_percent: Option<u32>,
}

impl HealthCheck {
    /// What is asked where nothing was written.
    pub fn usual() -> Self {
        Self {
            path: "/".into(),
            interval: USUAL_INTERVAL,
            timeout: USUAL_TIMEOUT,
            expected: usual_statuses(),
            thresholds: Thresholds { healthy: USUAL_HEALTHY, unhealthy: USUAL_UNHEALTHY },
            jitter_percent: USUAL_JITTER_PERCENT,
        }
    }

    /// As it is run. A control plane of an earlier build, or the saved state of one, may say more than may be written today.
    #[must_use]
    pub fn within_bounds(&self) -> Self {
        Self { timeout: self.timeout.min(LONGEST_TIMEOUT), ..self.clone() }
    }
}

fn usual_statuses() -> Causes {
    Causes::new(vec![CausePattern::Class(2), CausePattern::Class(3)])
}

impl HealthCheckDraft {
    pub(super) fn off() -> Self {
        Self { enabled: Some(false), ..Self::default() }
    }

    pub(super) fn within_bounds(self) -> Self {
        let timeout = self.timeout.map(|DurationText(timeout)| DurationText(timeout.min(LONGEST_TIMEOUT)));
        Self { timeout, ..self }
    }

    pub(super) fn parse(&self) -> Result<Setting<HealthCheck>, Problems> {
        let mut problems = Problems::default();
        let path = self.path.as_deref().unwrap_or("/");
        if !is_path(path) {
            problems.add("path", "must start with / and be of visible ASCII characters other than #");
        }
        let interval = duration_within("interval", self.interval, USUAL_INTERVAL, &INTERVALS, &mut problems);
        let usual = USUAL_TIMEOUT.min(interval);
        let timeout = duration_within("timeout", self.timeout, usual, &TIMEOUTS, &mut problems);
        if timeout > interval {
            problems.add("timeout", "must not be longer than `interval`");
        }
        let check = HealthCheck {
            path: path.into(),
            interval,
            timeout,
            expected: self.parse_expected(&mut problems),
            thresholds: Thresholds {
                healthy: count("healthy", self.healthy, USUAL_HEALTHY, &mut problems),
                unhealthy: count("unhealthy", self.unhealthy, USUAL_UNHEALTHY, &mut problems),
            },
            jitter_percent: within(
                "jitter_percent",
                self.jitter_percent,
                USUAL_JITTER_PERCENT,
                (0, 50),
                &mut problems,
            ),
        };
        let setting = if self.enabled == Some(false) { Setting::Off } else { Setting::On(check) };
        problems.finish(Some(setting))
    }

    fn parse_expected(&self, problems: &mut Problems) -> Causes {
        let Some(list) = &self.expect else { return usual_statuses() };
        if list.is_empty() {
            problems.add("expect", "must name at least one status");
        }
        let parse = |text: &str| match CausePattern::parse(text) {
            Ok(pattern @ (CausePattern::Status(_) | CausePattern::Class(_))) => Ok(pattern),
            Ok(CausePattern::Connect | CausePattern::Reset | CausePattern::Timeout) | Err(_) => {
                Err("must be a status from 200 on such as 204, or a class such as 2xx")
            }
        };
        problems.check_nested("expect", parse_patterns(list, parse)).unwrap_or_else(usual_statuses)
    }
}

fn is_path(path: &str) -> bool {
    path.starts_with('/')
        && path.len() <= LONGEST_PATH
        && path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#')
}

impl From<&HealthCheck> for HealthCheckDraft {
    fn from(check: &HealthCheck) -> Self {
        Self {
            enabled: None,
            path: Some(check.path.to_string()),
            interval: Some(DurationText(check.interval)),
            timeout: Some(DurationText(check.timeout)),
            expect: Some(causes_as_written(&check.expected)),
            healthy: Some(check.thresholds.healthy.get()),
            unhealthy: Some(check.thresholds.unhealthy.get()),
            jitter_percent: Some(check.jitter_percent),
        }
    }
}
