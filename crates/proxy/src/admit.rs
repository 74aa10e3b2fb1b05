//! Whether the caller may make this request now: one decision over all its limits.

use tollgate_core::limit::{LimitRule, Standing, Standings};
use tollgate_core::snapshot::Plan;
use tollgate_core::time::UnixMicros;
use tollgate_counters::LocalCounters;

use crate::authenticate::Caller;
use crate::message::TimeTexts;
use crate::rejection::{RateLimited, Rejection};

/// A caller whose request has been charged to all its limits. Only [`check`] makes one.
pub(crate) struct Admitted<'s> {
    pub caller: Caller<'s>,
    limits: Limits<'s>,
}

/// The limits of a caller and where it stands with each.
pub(crate) struct Limits<'s> {
    plan: Option<&'s Plan>,
    pub standings: Standings,
}

impl<'s> Limits<'s> {
    pub fn rules(&self) -> impl Iterator<Item = (&'s LimitRule, Standing)> + Clone {
        let rules: &[LimitRule] = self.plan.map_or(&[], |plan| &plan.rules);
        rules.iter().zip(self.standings.iter().copied())
    }

    /// The line of `RateLimit-Policy`; empty where there is no limit.
    pub fn policy_line(&self) -> &'s str {
        self.plan.map_or("", |plan| plan.policy_line.as_ref())
    }
}

impl<'s> Admitted<'s> {
    pub const fn limits(&self) -> &Limits<'s> {
        &self.limits
    }
}

pub(crate) fn check<'s>(
    caller: Caller<'s>,
    counters: &LocalCounters,
    now: UnixMicros,
    times: &TimeTexts,
) -> Result<Admitted<'s>, Rejection> {
    let Some(plan) = caller.plan else {
        return Ok(Admitted { caller, limits: Limits { plan: None, standings: Standings::new() } });
    };
    let outcome = counters.decide(caller.subject, &plan.rules, caller.calendar, now);
    let refused = outcome.refusal.and_then(|refusal| {
        let rule = plan.rules.get(refusal.rule)?;
        Some(RateLimited::new(plan, rule, &outcome.standings, refusal.retry_after_secs(), now, times))
    });
    match (outcome.refusal, refused) {
        (None, _) => {
            Ok(Admitted { caller, limits: Limits { plan: Some(plan), standings: outcome.standings } })
        }
        (Some(_), Some(limited)) => Err(Rejection::RateLimited(Box::new(limited))),
        // A refusal always names one of the plan's rules; fail closed if it did not.
        (Some(_), None) => Err(Rejection::NoPlan),
    }
}

/// Where the caller stands, charging nothing.
pub(crate) fn inspect<'s>(caller: &Caller<'s>, counters: &LocalCounters, now: UnixMicros) -> Limits<'s> {
    let standings = caller.plan.map_or_else(Standings::new, |plan| {
        counters.inspect(caller.subject, &plan.rules, caller.calendar, now).standings
    });
    Limits { plan: caller.plan, standings }
}
