//! When a service, or a target, that fails gets no requests for a while.

use std::num::NonZeroU32;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Setting;
use super::parts::{count, duration, percent};
use crate::breaker::{BreakerRules, Per, Trip};
use crate::outlier::ErrorRatio;
use crate::problem::Problems;
use crate::resource::DurationText;
#[cfg(feature = "openapi")]
use crate::resource::forms;

const USUAL_WINDOW: Duration = Duration::from_secs(10);
const USUAL_MINIMUM: NonZeroU32 = NonZeroU32::new(20).unwrap();
const USUAL_FAILURES: NonZeroU32 = NonZeroU32::new(5).unwrap();

#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct BreakerDraft {
    /// `true` where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// `service` (where left out), or `target`: then each target has a breaker of its own, and one that is open gets no
    /// requests while others do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<forms::PerWord>, inline))]
    pub per: Option<String>,
    /// Failures that open it: in a row, or within the window where there is one. 5 where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(minimum = 1))]
    pub failures: Option<u32>,
    /// Instead of `failures`: the share of failures among the window's requests that opens it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(minimum = 1, maximum = 100))]
    pub error_percent: Option<u32>,
    /// With `error_percent`: with fewer requests in the window it stays closed; 20 where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(minimum = 1))]
    pub minimum_requests: Option<u32>,
    /// `"10s"` where left out beside `error_percent`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(inline))]
    pub window: Option<DurationText>,
    /// How long it stays open; `"30s"` where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(inline))]
    pub recovery: Option<DurationText>,
    /// Requests at once while it is half open; 3 where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(minimum = 1))]
    pub probes: Option<u32>,
    /// Successes that close it; 3 where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(minimum = 1))]
    pub successes: Option<u32>,
}

impl BreakerDraft {
    pub(super) fn off() -> Self {
        Self { enabled: Some(false), ..Self::default() }
    }

    pub(super) fn parse(&self) -> Result<Setting<BreakerRules>, Problems> {
        let mut problems = Problems::default();
        let usual = BreakerRules::DEFAULT;
        let rules = BreakerRules {
            per: self.parse_per(&mut problems),
            trip: self.parse_trip(&mut problems),
            recovery: duration("recovery", self.recovery, usual.recovery, &mut problems),
            probes: count("probes", self.probes, usual.probes, &mut problems),
            successes: count("successes", self.successes, usual.successes, &mut problems),
        };
        let setting = if self.enabled == Some(false) { Setting::Off } else { Setting::On(rules) };
        problems.finish(Some(setting))
    }

    fn parse_per(&self, problems: &mut Problems) -> Per {
        match self.per.as_deref() {
            None | Some("service") => Per::Service,
            Some("target") => Per::Target,
            Some(_) => {
                problems.add("per", "must be service or target");
                Per::Service
            }
        }
    }

    fn parse_trip(&self, problems: &mut Problems) -> Trip {
        let failures = count("failures", self.failures, USUAL_FAILURES, problems);
        let window = duration("window", self.window, USUAL_WINDOW, problems);
        if self.error_percent.is_some() {
            if self.failures.is_some() {
                problems.add("failures", "give either `failures` or `error_percent`");
            }
            return Trip::Ratio(ErrorRatio {
                percent: percent("error_percent", self.error_percent, 50, problems),
                minimum_requests: count("minimum_requests", self.minimum_requests, USUAL_MINIMUM, problems),
                window,
            });
        }
        if self.minimum_requests.is_some() {
            problems.add("minimum_requests", "goes with `error_percent`");
        }
        match self.window {
            Some(_) => Trip::Count { failures, window },
            None => Trip::Consecutive(failures),
        }
    }
}

impl From<&BreakerRules> for BreakerDraft {
    fn from(rules: &BreakerRules) -> Self {
        let per = match rules.per {
            Per::Service => None,
            Per::Target => Some("target".to_owned()),
        };
        let written = Self {
            per,
            recovery: Some(DurationText(rules.recovery)),
            probes: Some(rules.probes.get()),
            successes: Some(rules.successes.get()),
            ..Self::default()
        };
        match rules.trip {
            Trip::Consecutive(failures) => Self { failures: Some(failures.get()), ..written },
            Trip::Count { failures, window } => {
                Self { failures: Some(failures.get()), window: Some(DurationText(window)), ..written }
            }
            Trip::Ratio(ErrorRatio { percent, minimum_requests, window }) => Self {
                error_percent: Some(percent),
                minimum_requests: Some(minimum_requests.get()),
                window: Some(DurationText(window)),
                ..written
            },
        }
    }
}
