//! What has happened that somebody may want to be told.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::limit::{Level, Subject, Window};
use crate::resource::{ConsumerId, KeyId, PlanId, RuleName, ServiceId, TenantId};

/// The type of an event, as webhooks and lists name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    /// A threshold of a limit was reached.
    LimitThreshold,
    /// Somebody tries whether a webhook works.
    WebhookTest,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be limit.threshold or webhook.test")]
pub struct UnknownEventKind;

impl EventKind {
    pub const fn name(self) -> &'static str {
        match self {
            Self::LimitThreshold => "limit.threshold",
            Self::WebhookTest => "webhook.test",
        }
    }

    pub fn parse(text: &str) -> Result<Self, UnknownEventKind> {
        [Self::LimitThreshold, Self::WebhookTest]
            .into_iter()
            .find(|kind| kind.name() == text)
            .ok_or(UnknownEventKind)
    }
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// So much of a limit was used, as the node knows it that counted: by ids, for the control plane to put names to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitCrossed {
    pub tenant: TenantId,
    pub level: Level,
    /// Who was counted.
    pub subject: Subject,
    /// The same by name, where it is a consumer.
    pub consumer: Option<ConsumerId>,
    /// The same, where it is a key.
    pub key: Option<KeyId>,
    /// Whose limit it is, where it is a plan's.
    pub plan: Option<PlanId>,
    /// Whose limit it is, where it is a service's or one of its rules'.
    pub service: Option<ServiceId>,
    /// Which of the service's rules it is of.
    pub rule: Option<RuleName>,
    pub window: Window,
    /// The limit.
    pub requests: u64,
    pub percent: u16,
    pub used: u64,
    pub period_end_secs: u64,
    /// Seconds since the epoch.
    pub at_secs: u64,
}

/// What makes a crossing one: on however many nodes and however often it is crossed, it is told once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CrossingIdentity {
    pub tenant: TenantId,
    pub subject: Subject,
    pub window: Window,
    pub period_end_secs: u64,
    pub percent: u16,
}

impl LimitCrossed {
    pub const fn identity(&self) -> CrossingIdentity {
        let &Self { tenant, subject, window, period_end_secs, percent, .. } = self;
        CrossingIdentity { tenant, subject, window, period_end_secs, percent }
    }
}

/// Within its tenant, which is not named.
impl fmt::Display for CrossingIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { subject, window, period_end_secs, percent, .. } = self;
        write!(f, "{}/{window}/{period_end_secs}/{percent}", subject.0)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn crossed() -> LimitCrossed {
        LimitCrossed {
            tenant: TenantId(Uuid::from_u128(1)),
            level: Level::Plan,
            subject: Subject(Uuid::from_u128(2)),
            consumer: None,
            key: Some(KeyId(Uuid::from_u128(2))),
            plan: None,
            service: None,
            rule: RuleName::parse("search").ok(),
            window: Window::CalendarMonth,
            requests: 10,
            percent: 80,
            used: 8,
            period_end_secs: 1_800_000_000,
            at_secs: 1_799_000_000,
        }
    }

    #[test]
    fn a_crossing_is_one_for_a_subject_a_period_and_a_threshold() {
        let identity = |crossed: LimitCrossed| crossed.identity().to_string();
        let one = identity(crossed());
        assert_eq!(one, "00000000-0000-0000-0000-000000000002/month/1800000000/80");
        assert_eq!(identity(LimitCrossed { used: 9, at_secs: 1, requests: 9, ..crossed() }), one);
        for other in [
            LimitCrossed { subject: Subject(Uuid::from_u128(3)), ..crossed() },
            LimitCrossed { window: Window::CalendarDay, ..crossed() },
            LimitCrossed { period_end_secs: 1_800_000_001, ..crossed() },
            LimitCrossed { percent: 100, ..crossed() },
        ] {
            assert_ne!(identity(other), one);
        }
    }

    #[test]
    fn what_a_node_tells_reads_as_it_was_told() {
        let json = serde_json::to_string(&crossed()).unwrap();
        assert_eq!(serde_json::from_str::<LimitCrossed>(&json).unwrap(), crossed());
    }

    #[test]
    fn kinds_are_known_by_their_names() {
        for kind in [EventKind::LimitThreshold, EventKind::WebhookTest] {
            assert_eq!(EventKind::parse(kind.name()), Ok(kind));
        }
        assert!(EventKind::parse("limit").is_err());
    }
}
