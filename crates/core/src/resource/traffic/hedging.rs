//! When a second copy of a request that is late goes to another target.

use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

use super::Setting;
use super::parts::{count, duration, within};
use crate::hedge::HedgeRules;
use crate::problem::Problems;
use crate::resource::DurationText;

const USUAL_PERCENTILE: u32 = 95;
const USUAL_SAMPLES: NonZeroU32 = NonZeroU32::new(50).unwrap();

/// Of GET and HEAD alone.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct HedgingDraft {
    /// `true` where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// After so long without a response; as `percentile` says where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(inline))]
    pub delay: Option<DurationText>,
    /// After what so many of a hundred requests of the last minute took at most: 50 to 99; 95 where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(minimum = 50, maximum = 99))]
    pub percentile: Option<u32>,
    /// None before so many requests are known; 50 where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(minimum = 1))]
    pub minimum_samples: Option<u32>,
}

impl HedgingDraft {
    pub(super) fn off() -> Self {
        Self { enabled: Some(false), ..Self::default() }
    }

    pub(super) fn parse(&self) -> Result<Setting<HedgeRules>, Problems> {
        if self.enabled == Some(false) {
            return Ok(Setting::Off);
        }
        let mut problems = Problems::default();
        let percent = within("percentile", self.percentile, USUAL_PERCENTILE, (50, 99), &mut problems);
        let samples = count("minimum_samples", self.minimum_samples, USUAL_SAMPLES, &mut problems);
        let rules = if self.delay.is_some() {
            if self.percentile.is_some() || self.minimum_samples.is_some() {
                problems.add("delay", "give either `delay` or `percentile` and `minimum_samples`");
            }
            HedgeRules::After(duration("delay", self.delay, std::time::Duration::ZERO, &mut problems))
        } else {
            HedgeRules::Percentile { percent, minimum_samples: samples.get() }
        };
        problems.finish(Some(Setting::On(rules)))
    }
}

impl From<&HedgeRules> for HedgingDraft {
    fn from(rules: &HedgeRules) -> Self {
        match *rules {
            HedgeRules::After(delay) => Self { delay: Some(DurationText(delay)), ..Self::default() },
            HedgeRules::Percentile { percent, minimum_samples } => {
                Self { percentile: Some(percent), minimum_samples: Some(minimum_samples), ..Self::default() }
            }
        }
    }
}
