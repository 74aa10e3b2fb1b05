//! The levels at which limits are set, each with a list of its own.

use std::num::NonZeroU32;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Calendar, LimitRule, Subject};
use crate::resource::{Counting, Limit, OnUnavailable, RuleName};

/// Whose limits they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// A plan's: counted for the consumer that is spoken for, else for the key.
    Plan,
    /// A key's own, counted for it alone.
    Key,
    /// A service's, counted over all its callers.
    Service,
    /// A rule's of a service, counted for each caller.
    Rule,
    /// A service's for each client address.
    Ip,
    /// A tenant's, over everything that it has.
    Tenant,
    /// A service's for each client address that calls without a credential.
    Anonymous,
}

impl Level {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Plan => "plan",
            Self::Key => "key",
            Self::Service => "service",
            Self::Rule => "rule",
            Self::Ip => "ip",
            Self::Tenant => "tenant",
            Self::Anonymous => "anonymous",
        }
    }
}

/// The limits of one level, compiled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LevelLimits {
    pub level: Level,
    /// Of the rule whose limits they are.
    pub rule: Option<RuleName>,
    /// A plan says where it is counted; the other levels have the default.
    pub counting: Counting,
    pub on_unavailable: OnUnavailable,
    /// Each of a window of its own. Shared, as what was granted under them is held together with them.
    pub rules: Arc<[LimitRule]>,
    /// Most requests at once.
    pub concurrency: Option<NonZeroU32>,
    /// The line of `RateLimit-Policy`, as HTTP/1.1 writes it, and `RateLimit: `; empty without rules.
    pub policy_line: Box<str>,
}

const POLICY: &str = "RateLimit-Policy: ";
const STANDINGS: &str = "\r\nRateLimit: ";

impl LevelLimits {
    /// A plan's, whose names in `RateLimit` are the windows'.
    pub fn of_plan(limits: &[Limit], concurrency: Option<NonZeroU32>) -> Self {
        Self::compile(Level::Plan, limits.iter().map(LimitRule::compile).collect(), concurrency)
    }

    /// Another level's, whose names in `RateLimit` begin with its own: `service-minute`.
    pub fn of(level: Level, limits: &[Limit]) -> Self {
        Self::prefixed(level, limits, level.name())
    }

    /// A rule's: `rule-search-minute`.
    pub fn of_rule(name: &RuleName, limits: &[Limit]) -> Self {
        let limits = Self::prefixed(Level::Rule, limits, &format!("{}-{name}", Level::Rule.name()));
        Self { rule: Some(name.clone()), ..limits }
    }

    fn prefixed(level: Level, limits: &[Limit], prefix: &str) -> Self {
        let rules = limits.iter().map(|limit| LimitRule::compile(limit).under(prefix)).collect();
        Self::compile(level, rules, None)
    }

    fn compile(level: Level, rules: Arc<[LimitRule]>, concurrency: Option<NonZeroU32>) -> Self {
        let policies: Vec<&str> = rules.iter().map(|rule| rule.headers.policy.as_ref()).collect();
        let policy_line = if policies.is_empty() {
            String::new()
        } else {
            format!("{POLICY}{}{STANDINGS}", policies.join(", "))
        };
        Self {
            level,
            rule: None,
            counting: Counting::default(),
            on_unavailable: OnUnavailable::default(),
            policy_line: policy_line.into(),
            rules,
            concurrency,
        }
    }

    /// The same, counted otherwise than by default.
    #[must_use]
    pub fn counted(self, counting: Counting, on_unavailable: OnUnavailable) -> Self {
        Self { counting, on_unavailable, ..self }
    }

    /// Whether they limit nothing.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty() && self.concurrency.is_none()
    }

    /// `None` where they limit nothing.
    pub fn if_any(self) -> Option<Self> {
        if self.is_empty() { None } else { Some(self) }
    }
}

/// One level's part in a decision: who is counted, and what that one may use.
#[derive(Debug, Clone, Copy)]
pub struct Demand<'l> {
    pub subject: Subject,
    pub limits: &'l LevelLimits,
    pub calendar: Calendar<'l>,
}

/// The limits of a level that counts one and the same subject always.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubjectLimits {
    pub subject: Subject,
    pub limits: LevelLimits,
}

impl SubjectLimits {
    /// `None` where they limit nothing; small where there are many that have none.
    pub fn compile(subject: Subject, level: Level, limits: &[Limit]) -> Option<Box<Self>> {
        LevelLimits::of(level, limits).if_any().map(|limits| Box::new(Self { subject, limits }))
    }

    pub const fn demand<'l>(&'l self, calendar: Calendar<'l>) -> Demand<'l> {
        Demand { subject: self.subject, limits: &self.limits, calendar }
    }
}
