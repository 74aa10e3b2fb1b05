//! When a target that fails gets no requests for a while.

use std::num::NonZeroU32;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Setting;
use super::parts::{count, duration, percent};
use crate::outlier::{ErrorRatio, OutlierRules};
use crate::problem::Problems;
use crate::resource::DurationText;

const USUAL_WINDOW: Duration = Duration::from_secs(10);
const USUAL_MINIMUM: NonZeroU32 = NonZeroU32::new(20).unwrap();
const USUAL_CONSECUTIVE: NonZeroU32 = NonZeroU32::new(5).unwrap();

#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct OutlierDraft {
    /// `true` where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// Failures in a row that eject a target; 5 where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(minimum = 1))]
    pub consecutive: Option<u32>,
    /// Besides: the share of failures among the window's requests that ejects a target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(minimum = 1, maximum = 100))]
    pub error_percent: Option<u32>,
    /// With `error_percent`: with fewer requests in the window the share says nothing; 20 where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(minimum = 1))]
    pub minimum_requests: Option<u32>,
    /// With `error_percent`; `"10s"` where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(inline))]
    pub window: Option<DurationText>,
    /// How long a target is out the first time, then twice as long each time; `"30s"` where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(inline))]
    pub ejection: Option<DurationText>,
    /// `"5m"` where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(inline))]
    pub longest_ejection: Option<DurationText>,
    /// Where more of the targets would be out, requests go to all of them; 50 where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(minimum = 1, maximum = 100))]
    pub most_ejected_percent: Option<u32>,
}

impl OutlierDraft {
    pub(super) fn off() -> Self {
        Self { enabled: Some(false), ..Self::default() }
    }

    pub(super) fn parse(&self) -> Result<Setting<OutlierRules>, Problems> {
        let mut problems = Problems::default();
        let usual = OutlierRules::DEFAULT;
        let ejection = duration("ejection", self.ejection, usual.ejection, &mut problems);
        let rules = OutlierRules {
            consecutive: Some(count("consecutive", self.consecutive, USUAL_CONSECUTIVE, &mut problems)),
            ratio: self.parse_ratio(&mut problems),
            ejection,
            longest_ejection: duration(
                "longest_ejection",
                self.longest_ejection,
                usual.longest_ejection.max(ejection),
                &mut problems,
            ),
            most_ejected_percent: percent(
                "most_ejected_percent",
                self.most_ejected_percent,
                usual.most_ejected_percent,
                &mut problems,
            ),
        };
        if rules.longest_ejection < rules.ejection {
            problems.add("longest_ejection", "must not be shorter than `ejection`");
        }
        let setting = if self.enabled == Some(false) { Setting::Off } else { Setting::On(rules) };
        problems.finish(Some(setting))
    }

    fn parse_ratio(&self, problems: &mut Problems) -> Option<ErrorRatio> {
        if self.error_percent.is_none() {
            let given =
                [("minimum_requests", self.minimum_requests.is_some()), ("window", self.window.is_some())];
            for (field, _) in given.into_iter().filter(|(_, is_given)| *is_given) {
                problems.add(field, "goes with `error_percent`");
            }
            return None;
        }
        Some(ErrorRatio {
            percent: percent("error_percent", self.error_percent, 50, problems),
            minimum_requests: count("minimum_requests", self.minimum_requests, USUAL_MINIMUM, problems),
            window: duration("window", self.window, USUAL_WINDOW, problems),
        })
    }
}

impl From<&OutlierRules> for OutlierDraft {
    fn from(rules: &OutlierRules) -> Self {
        Self {
            enabled: None,
            consecutive: rules.consecutive.map(NonZeroU32::get),
            error_percent: rules.ratio.map(|ratio| ratio.percent),
            minimum_requests: rules.ratio.map(|ratio| ratio.minimum_requests.get()),
            window: rules.ratio.map(|ratio| DurationText(ratio.window)),
            ejection: Some(DurationText(rules.ejection)),
            longest_ejection: Some(DurationText(rules.longest_ejection)),
            most_ejected_percent: Some(rules.most_ejected_percent),
        }
    }
}
