//! How many requests the service has at once, and how many wait.

use std::num::NonZeroU32;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Setting;
use super::parts::{count, duration, within};
use crate::channel::{ChannelRules, Concurrency, GradientRules};
use crate::problem::Problems;
use crate::resource::DurationText;

const USUAL_QUEUE: u32 = 100;
const MOST_QUEUED: u32 = 100_000;
const USUAL_WAIT: Duration = Duration::from_secs(5);
const USUAL_INITIAL: NonZeroU32 = NonZeroU32::new(20).unwrap();
const USUAL_LEAST: NonZeroU32 = NonZeroU32::new(5).unwrap();
const USUAL_MOST: NonZeroU32 = NonZeroU32::new(200).unwrap();

#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ChannelDraft {
    /// `true` where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// Most requests at once, on each node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(minimum = 1))]
    pub concurrency: Option<u32>,
    /// Instead of `concurrency`: as many as the service's latencies allow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adaptive: Option<AdaptiveDraft>,
    /// Requests that wait; 100 where left out, 100000 at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(maximum = 100_000))]
    pub queue: Option<u32>,
    /// How long one waits at most; `"5s"` where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(inline))]
    pub longest_wait: Option<DurationText>,
}

/// Bounds of a limit that follows latencies.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct AdaptiveDraft {
    /// 20 where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(minimum = 1))]
    pub initial: Option<u32>,
    /// 5 where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(minimum = 1))]
    pub least: Option<u32>,
    /// 200 where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(minimum = 1))]
    pub most: Option<u32>,
}

impl ChannelDraft {
    pub(super) fn off() -> Self {
        Self { enabled: Some(false), ..Self::default() }
    }

    pub(super) fn parse(&self) -> Result<Setting<ChannelRules>, Problems> {
        if self.enabled == Some(false) {
            return Ok(Setting::Off);
        }
        let mut problems = Problems::default();
        let concurrency = self.parse_concurrency(&mut problems);
        let most_queued = within("queue", self.queue, USUAL_QUEUE, (0, MOST_QUEUED), &mut problems);
        let longest_wait = duration("longest_wait", self.longest_wait, USUAL_WAIT, &mut problems);
        let rules = concurrency.map(|concurrency| ChannelRules { concurrency, most_queued, longest_wait });
        problems.finish(rules.map(Setting::On))
    }

    fn parse_concurrency(&self, problems: &mut Problems) -> Option<Concurrency> {
        match (self.concurrency, &self.adaptive) {
            (Some(_), Some(_)) => problems.add("concurrency", "give either `concurrency` or `adaptive`"),
            (None, None) => problems.add("concurrency", "must say how many requests there may be at once"),
            (Some(0), None) => problems.add("concurrency", "must be at least 1"),
            (Some(limit), None) => return NonZeroU32::new(limit).map(Concurrency::Fixed),
            (None, Some(adaptive)) => {
                return problems.check_nested("adaptive", adaptive.parse()).map(Concurrency::Adaptive);
            }
        }
        None
    }
}

impl AdaptiveDraft {
    fn parse(&self) -> Result<GradientRules, Problems> {
        let mut problems = Problems::default();
        let rules = GradientRules {
            initial: count("initial", self.initial, USUAL_INITIAL, &mut problems),
            least: count("least", self.least, USUAL_LEAST, &mut problems),
            most: count("most", self.most, USUAL_MOST, &mut problems),
        };
        if rules.least > rules.most {
            problems.add("least", "must not be more than `most`");
        } else if !(rules.least..=rules.most).contains(&rules.initial) {
            problems.add("initial", "must be between `least` and `most`");
        }
        problems.finish(Some(rules))
    }
}

impl From<&ChannelRules> for ChannelDraft {
    fn from(rules: &ChannelRules) -> Self {
        let (concurrency, adaptive) = match &rules.concurrency {
            Concurrency::Fixed(limit) => (Some(limit.get()), None),
            Concurrency::Adaptive(rules) => {
                let adaptive = AdaptiveDraft {
                    initial: Some(rules.initial.get()),
                    least: Some(rules.least.get()),
                    most: Some(rules.most.get()),
                };
                (None, Some(adaptive))
            }
        };
        Self {
            enabled: None,
            concurrency,
            adaptive,
            queue: Some(rules.most_queued),
            longest_wait: Some(DurationText(rules.longest_wait)),
        }
    }
}
