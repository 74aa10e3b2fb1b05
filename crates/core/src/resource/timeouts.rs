//! How long each part of a request to a service may take.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::DurationText;
use crate::problem::Problems;

const LONGEST_TIMEOUT: Duration = Duration::from_hours(24);

/// Overrides of the proxy's own timeouts, for this service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Timeouts {
    /// To open a connection to a target.
    pub connect: Option<Duration>,
    /// From the request sent to the first byte of the response.
    pub first_byte: Option<Duration>,
    /// Between two pieces of a body, in either direction.
    pub idle: Option<Duration>,
    /// From the request's head read to the response's end.
    pub total: Option<Duration>,
}

/// Durations such as `"5s"` or `"250ms"`.
#[derive(Debug, Clone, Copy, Default, Deserialize, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct TimeoutsDraft {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(inline))]
    pub connect: Option<DurationText>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(inline))]
    pub first_byte: Option<DurationText>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(inline))]
    pub idle: Option<DurationText>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(inline))]
    pub total: Option<DurationText>,
}

impl TimeoutsDraft {
    pub const fn is_empty(&self) -> bool {
        self.connect.is_none() && self.first_byte.is_none() && self.idle.is_none() && self.total.is_none()
    }

    pub(super) fn parse(&self) -> Result<Timeouts, Problems> {
        let mut problems = Problems::default();
        let mut parse = |field: &str, duration: Option<DurationText>| {
            let DurationText(duration) = duration?;
            if duration.is_zero() || duration > LONGEST_TIMEOUT {
                problems.add(field, "must be between 1ms and 24h");
            }
            Some(duration)
        };
        let timeouts = Timeouts {
            connect: parse("connect", self.connect),
            first_byte: parse("first_byte", self.first_byte),
            idle: parse("idle", self.idle),
            total: parse("total", self.total),
        };
        problems.finish(Some(timeouts))
    }
}

impl From<Timeouts> for TimeoutsDraft {
    fn from(timeouts: Timeouts) -> Self {
        Self {
            connect: timeouts.connect.map(DurationText),
            first_byte: timeouts.first_byte.map(DurationText),
            idle: timeouts.idle.map(DurationText),
            total: timeouts.total.map(DurationText),
        }
    }
}
