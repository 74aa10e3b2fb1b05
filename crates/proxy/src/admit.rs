//! Whether the caller may make this request now: one decision over all limits that apply to it.

use std::cell::Cell;
use std::net::IpAddr;

use smallvec::SmallVec;
use tollgate_core::limit::{Calendar, Demand, Level, LimitRule, Settled, Settlement, Standing, Standings};
use tollgate_core::resource::{FailedRequests, HeaderName};
use tollgate_core::snapshot::{Service, ServiceLimits};
use tollgate_core::time::UnixMicros;
use tollgate_counters::{Attempt, Counters, Decision, Permits, Undecided, Verdict};
use tollgate_http1::ResponseHead;

use crate::caller::Caller;
use crate::clock::Moment;
use crate::crossings::Crossings;
use crate::message::{Hidden, TimeTexts};
use crate::rejection::{RateLimited, Rejection};
use crate::route::Selected;

/// A caller whose request has been charged to all its limits. Only [`check`] makes one.
pub(crate) struct Admitted<'s> {
    pub caller: Caller<'s>,
    limits: Limits<'s>,
    counters: &'s Counters,
    crossings: &'s Crossings,
    /// What it was charged, corrections included.
    charged: Cell<u64>,
    charged_at: UnixMicros,
    /// The service's own header as it was called when the caller was found.
    pub auth_header: &'s HeaderName,
    /// Of the service, where it has any: what a request costs in the end.
    costs: Option<&'s ServiceLimits>,
    /// Held as long as the request is under way.
    permits: Cell<Option<Permits<'s>>>,
}

/// What a request asks of the limits.
pub(crate) struct Asked<'a, 's> {
    pub caller: Caller<'s>,
    pub selected: &'a Selected<'s, 'a>,
    pub method: &'a [u8],
    pub client: IpAddr,
}

/// The limits that apply to a request, and where their subjects stand.
pub(crate) struct Limits<'s> {
    demands: Demands<'s>,
    standings: Standings,
    /// By how many microseconds the clock of the standings is ahead of this node's.
    ahead_micros: i64,
}

pub(crate) type Demands<'s> = SmallVec<[Demand<'s>; 4]>;

impl<'s> Limits<'s> {
    fn new(demands: Demands<'s>, standings: Standings, counters: &Counters) -> Self {
        let ahead_micros = counters.clock_ahead_micros(&demands);
        Self { demands, standings, ahead_micros }
    }

    /// What the clock of the standings says at this moment.
    pub const fn clock(&self, now: UnixMicros) -> UnixMicros {
        now.ahead_by(self.ahead_micros)
    }

    pub fn is_empty(&self) -> bool {
        self.standings.is_empty()
    }

    /// The caller's own first.
    pub fn demands(&self) -> &[Demand<'s>] {
        &self.demands
    }

    /// Every limit, whose it is, and how it stands.
    pub fn rules(&self) -> impl Iterator<Item = (Level, &'s LimitRule, Standing)> + '_ {
        let rules = self
            .demands
            .iter()
            .flat_map(|&Demand { limits, .. }| limits.rules.iter().map(move |rule| (limits.level, rule)));
        rules.zip(&self.standings).map(|((level, rule), standing)| (level, rule, *standing))
    }

    /// Those of the caller alone, which have header fields of their own.
    pub fn callers_own(&self) -> impl Iterator<Item = (&'s LimitRule, Standing)> + '_ {
        let rules: &[LimitRule] = match self.demands.first() {
            Some(Demand { limits, .. }) if is_callers_own(limits.level) => &limits.rules,
            Some(_) | None => &[],
        };
        rules.iter().zip(self.standings.iter().copied())
    }
}

const fn is_callers_own(level: Level) -> bool {
    match level {
        Level::Plan | Level::Anonymous => true,
        Level::Key | Level::Service | Level::Rule | Level::Ip | Level::Tenant => false,
    }
}

impl<'s> Admitted<'s> {
    pub const fn limits(&self) -> &Limits<'s> {
        &self.limits
    }

    /// The header that carries the service's keys. `service` is the same as it is now.
    pub fn auth_headers<'h>(&self, service: &'h Service) -> Hidden<'h>
    where
        's: 'h,
    {
        Hidden::new(Some(self.auth_header), Some(service.auth_header()))
    }

    /// The response field in which the service's targets tell the gateway alone what a request has cost.
    pub fn cost_header<'h>(&self, service: &'h Service) -> Hidden<'h>
    where
        's: 'h,
    {
        let of = |limits: Option<&'h ServiceLimits>| limits.and_then(|limits| limits.cost_header.as_ref());
        Hidden::new(of(self.costs), of(service.limits()))
    }

    /// Gives the request's places back early: nothing is left to do for it but to send what there is.
    pub fn release(&self) {
        drop(self.permits.take());
    }

    /// Charges what the response says that the request has cost, or gives the charge back where it failed. Gives the
    /// limits as they stand then, where that changed anything.
    pub fn settle(&self, response: &ResponseHead, now: Moment) -> Option<Limits<'s>> {
        let costs = self.costs?;
        if response.status >= 500 && costs.failed == FailedRequests::Refunded {
            return self.settle_at(0, now);
        }
        let name = costs.cost_header.as_ref()?.as_str();
        let actual = parse_cost(response.fields.find(name.as_bytes())?)?;
        self.settle_at(actual, now)
    }

    /// The same for a request that ends with this rejection behind its charge.
    pub fn settle_failed(&self, rejection: &Rejection, now: Moment) -> Option<Limits<'s>> {
        let refunds_failures = || self.costs.is_some_and(|costs| costs.failed == FailedRequests::Refunded);
        let is_refunded = rejection.is_refusal_before_target()
            || rejection.appearance().status >= 500 && refunds_failures();
        if is_refunded { self.settle_at(0, now) } else { None }
    }

    fn settle_at(&self, actual: u64, now: Moment) -> Option<Limits<'s>> {
        let charged = self.charged.replace(actual);
        if actual == charged {
            return None;
        }
        let settlement = Settlement { charged, charged_at: self.charged_at, actual };
        let demands = self.limits.demands.clone();
        let Settled { standings, crossed } =
            self.counters.settle(&demands, settlement, self.limits.ahead_micros, now.into());
        let limits = Limits::new(demands, standings, self.counters);
        if let Some(costs) = self.costs {
            self.crossings.note(&crossed, &limits, &self.caller, costs.service(), now.wall);
        }
        Some(limits)
    }
}

/// A whole number; more than a request may cost counts as the most. What is no number says nothing: the request
/// costs what it was charged.
fn parse_cost(value: &[u8]) -> Option<u64> {
    const MOST: u64 = 1_000_000;
    let is_number = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    let digits = value.iter().map(|digit| u64::from(digit - b'0'));
    is_number.then(|| digits.fold(0, |cost: u64, digit| (cost * 10 + digit).min(MOST)))
}

/// A request whose limits are looked at.
pub(crate) struct Check<'a, 's> {
    asked: &'a Asked<'a, 's>,
    demands: Demands<'s>,
    cost: u64,
    counters: &'s Counters,
    crossings: &'s Crossings,
    now: Moment,
    times: &'a TimeTexts,
}

/// What is known at once.
pub(crate) enum Checked<'a, 's> {
    Decided(Result<Admitted<'s>, Rejection>),
    /// The counter store has to be asked.
    Waiting(Check<'a, 's>, Box<Undecided<'s, 's>>),
}

pub(crate) fn check<'a, 's>(
    asked: &'a Asked<'a, 's>,
    counters: &'s Counters,
    crossings: &'s Crossings,
    now: Moment,
    times: &'a TimeTexts,
) -> Checked<'a, 's> {
    let (demands, cost) = demands(asked);
    let attempt = counters.decide(&demands, cost, now.into());
    let check = Check { asked, demands, cost, counters, crossings, now, times };
    match attempt {
        Attempt::Decided(decision) => Checked::Decided(check.decided(decision)),
        Attempt::Waiting(undecided) => Checked::Waiting(check, undecided),
    }
}

impl<'s> Check<'_, 's> {
    /// For as long as a request may wait for the counter store.
    pub async fn wait(self, undecided: Box<Undecided<'s, 's>>) -> Result<Admitted<'s>, Rejection> {
        let decision = undecided.wait().await;
        self.decided(decision)
    }

    fn decided(self, decision: Decision<'s>) -> Result<Admitted<'s>, Rejection> {
        let Self { asked, demands, cost, counters, crossings, now: Moment { wall: now, .. }, times } = self;
        let Decision { standings, verdict, crossed } = decision;
        let limits = Limits::new(demands, standings, counters);
        crossings.note(&crossed, &limits, &asked.caller, asked.selected.service.id, now);
        match verdict {
            Verdict::Admitted(permits) => Ok(Admitted {
                caller: asked.caller,
                limits,
                counters,
                crossings,
                charged: Cell::new(cost),
                charged_at: now,
                auth_header: asked.selected.service.auth_header(),
                costs: asked.selected.service.limits(),
                permits: Cell::new(Some(permits)),
            }),
            Verdict::Limited(refusal) => Err(RateLimited::by_limit(&limits, refusal, now, times)),
            Verdict::Busy { demand } => Err(RateLimited::by_concurrency(&limits, demand, now, times)),
            Verdict::Unavailable => Err(Rejection::CounterStoreDown),
        }
    }
}

/// What the request demands of each level, the caller's own first, and what it costs.
fn demands<'s>(asked: &Asked<'_, 's>) -> (Demands<'s>, u64) {
    let Asked { caller, selected, method, client } = asked;
    let mut demands = demands_of_caller(caller);
    let mut cost = 1;
    if let Some(limits) = selected.service.limits() {
        let rule = limits.rule(method, selected.rest);
        cost = rule.map_or(1, |rule| u64::from(rule.cost.get()));
        demands.extend(limits.demands(rule, caller.subject, *client, caller.calendar));
    }
    if let Some(limits) = &selected.tenant.limits {
        demands.push(limits.demand(caller.calendar));
    }
    (demands, cost)
}

fn demands_of_caller<'s>(caller: &Caller<'s>) -> Demands<'s> {
    let mut demands = Demands::new();
    demands.extend(caller.demand());
    if let Some((key, limits)) = caller.key.and_then(|key| Some((key, key.limits()?))) {
        let subscribed_at_secs = key.subscribed_at_secs.into();
        demands.push(limits.demand(Calendar { subscribed_at_secs, ..caller.calendar }));
    }
    demands
}

/// What is demanded of the caller wherever it calls.
pub(crate) fn demands_everywhere<'s>(caller: &Caller<'s>) -> Demands<'s> {
    let mut demands = demands_of_caller(caller);
    demands.extend(caller.tenant.limits.as_ref().map(|limits| limits.demand(caller.calendar)));
    demands
}

/// Where the subjects stand, and what they have used of each limit, beyond it too; charges nothing.
pub(crate) fn inspect<'s>(demands: Demands<'s>, counters: &Counters, now: Moment) -> (Limits<'s>, Vec<u64>) {
    let standings = counters.inspect(&demands, now.into());
    let used = counters.used(&demands, now.into());
    (Limits::new(demands, standings, counters), used)
}

#[cfg(test)]
mod tests {
    use super::parse_cost;

    #[test]
    fn a_cost_is_a_whole_number() {
        for (text, cost) in
            [("0", 0), ("7", 7), ("1000000", 1_000_000), ("99999999999999999999999", 1_000_000)]
        {
            assert_eq!(parse_cost(text.as_bytes()), Some(cost), "{text}");
        }
        for bad in ["", "-1", "1.5", "1, 2", "five", "1 "] {
            assert_eq!(parse_cost(bad.as_bytes()), None, "{bad}");
        }
    }
}
