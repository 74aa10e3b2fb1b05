//! Thresholds of limits that requests have reached, until the control plane takes them. No request waits for that: what
//! does not fit is dropped, and counted.

use std::collections::HashSet;

use ahash::RandomState;
use parking_lot::Mutex;
use tollgate_core::event::{CrossingIdentity, LimitCrossed};
use tollgate_core::limit::{Crossing, Demand, Level};
use tollgate_core::resource::ServiceId;
use tollgate_core::time::UnixMicros;

use crate::admit::Limits;
use crate::caller::Caller;

/// They are taken several times a second.
const MOST_WAITING: usize = 10_000;
/// A bucket that is drained as fast as it fills reaches its thresholds all the time. What was told lately is known; the
/// control plane knows the rest.
const MOST_REMEMBERED: usize = 10_000;

#[derive(Default)]
pub(crate) struct Crossings(Mutex<State>);

#[derive(Default)]
struct State {
    waiting: Vec<LimitCrossed>,
    told: HashSet<CrossingIdentity, RandomState>,
    dropped: u64,
}

impl Crossings {
    /// Of a request of `caller`'s to `service`. Usually there are none.
    #[inline]
    pub fn note(
        &self,
        crossed: &[Crossing],
        limits: &Limits<'_>,
        caller: &Caller<'_>,
        service: ServiceId,
        now: UnixMicros,
    ) {
        if !crossed.is_empty() {
            self.note_some(crossed, limits, caller, service, now);
        }
    }

    #[cold]
    fn note_some(
        &self,
        crossed: &[Crossing],
        limits: &Limits<'_>,
        caller: &Caller<'_>,
        service: ServiceId,
        now: UnixMicros,
    ) {
        for crossing in crossed {
            if let Some(fact) = fact(crossing, limits.demands(), caller, service, now) {
                self.0.lock().add(fact, now);
            }
        }
    }

    /// Those since the last call.
    pub fn take(&self) -> Vec<LimitCrossed> {
        let (waiting, dropped) = {
            let mut state = self.0.lock();
            (std::mem::take(&mut state.waiting), std::mem::take(&mut state.dropped))
        };
        if dropped > 0 {
            tracing::warn!(dropped, "more thresholds were reached at once than can be told: some are not");
        }
        waiting
    }
}

impl State {
    fn add(&mut self, fact: LimitCrossed, now: UnixMicros) {
        let identity = fact.identity();
        if self.told.contains(&identity) {
            return;
        }
        if self.waiting.len() >= MOST_WAITING {
            self.dropped += 1;
            return;
        }
        if self.told.len() >= MOST_REMEMBERED {
            self.told.retain(|told| now.secs() < told.period_end_secs);
            if self.told.len() >= MOST_REMEMBERED {
                self.told.clear();
            }
        }
        self.told.insert(identity);
        self.waiting.push(fact);
    }
}

/// `None` where nobody is counted who has a name.
fn fact(
    crossing: &Crossing,
    demands: &[Demand<'_>],
    caller: &Caller<'_>,
    service: ServiceId,
    now: UnixMicros,
) -> Option<LimitCrossed> {
    let (demand, rule) = find(demands, crossing.rule)?;
    let own_rule = demand.limits.rules.get(rule)?;
    let level = demand.limits.level;
    let consumer = caller.consumer.map(|consumer| consumer.id);
    let key = caller.key.map(|key| key.id);
    // Whom a plan counts: the consumer that is spoken for, else the key.
    let counted = (consumer, if consumer.is_some() { None } else { key });
    let ((consumer, key), plan, service) = match level {
        Level::Plan => (counted, caller.plan.map(|plan| plan.id), None),
        Level::Key => ((None, key), None, None),
        Level::Rule => (counted, None, Some(service)),
        Level::Service => ((None, None), None, Some(service)),
        Level::Tenant => ((None, None), None, None),
        // Who is counted by address has no thresholds.
        Level::Ip | Level::Anonymous => return None,
    };
    if matches!(level, Level::Plan | Level::Key | Level::Rule) && consumer.is_none() && key.is_none() {
        return None;
    }
    Some(LimitCrossed {
        tenant: caller.tenant.id,
        level,
        subject: demand.subject,
        consumer,
        key,
        plan,
        service,
        rule: demand.limits.rule.clone(),
        window: own_rule.window,
        requests: own_rule.requests,
        percent: crossing.percent,
        used: crossing.used,
        period_end_secs: crossing.period_end_secs,
        at_secs: now.secs(),
    })
}

/// The demand that the rule of this number is of, and its number there.
fn find<'a, 'l>(demands: &'a [Demand<'l>], mut rule: usize) -> Option<(&'a Demand<'l>, usize)> {
    for demand in demands {
        match rule.checked_sub(demand.limits.rules.len()) {
            Some(rest) => rule = rest,
            None => return Some((demand, rule)),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use tollgate_core::limit::{Subject, Window};
    use tollgate_core::resource::TenantId;
    use uuid::Uuid;

    use super::*;

    const NOW: UnixMicros = UnixMicros::from_secs(1_800_000_000);

    fn crossed(subject: u128, period_end_secs: u64) -> LimitCrossed {
        LimitCrossed {
            tenant: TenantId(Uuid::from_u128(1)),
            level: Level::Tenant,
            subject: Subject(Uuid::from_u128(subject)),
            consumer: None,
            key: None,
            plan: None,
            service: None,
            rule: None,
            window: Window::CalendarDay,
            requests: 10,
            percent: 80,
            used: 8,
            period_end_secs,
            at_secs: NOW.secs(),
        }
    }

    fn add(crossings: &Crossings, fact: LimitCrossed) {
        crossings.0.lock().add(fact, NOW);
    }

    #[test]
    fn what_is_reached_again_in_its_period_is_told_once() {
        let crossings = Crossings::default();
        for period_end_secs in [NOW.secs() + 1, NOW.secs() + 1, NOW.secs() + 2] {
            add(&crossings, crossed(1, period_end_secs));
        }
        assert_eq!(crossings.take().len(), 2);
        add(&crossings, crossed(1, NOW.secs() + 1));
        assert_eq!(crossings.take(), []);
    }

    #[test]
    fn memory_is_bounded_and_what_does_not_fit_is_counted() {
        let crossings = Crossings::default();
        for subject in 0..(MOST_WAITING as u128 + 7) {
            add(&crossings, crossed(subject, NOW.secs() + 1));
        }
        assert_eq!(crossings.0.lock().dropped, 7);
        assert_eq!(crossings.take().len(), MOST_WAITING);
        assert_eq!(crossings.0.lock().dropped, 0, "it was said");
        // There is room again; what was dropped is not taken for told.
        add(&crossings, crossed(MOST_WAITING as u128 + 1, NOW.secs() + 1));
        assert_eq!(crossings.take().len(), 1);
        assert!(crossings.0.lock().told.len() <= MOST_REMEMBERED);
    }
}
