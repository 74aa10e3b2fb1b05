//! `/-/usage`: where a caller stands with its limits. Asking is charged nothing.

use std::net::IpAddr;

use tollgate_core::limit::{Demand, Level, LimitRule, Standing};
use tollgate_core::resource::RuleName;
use tollgate_core::snapshot::Service;
use tollgate_core::time::rfc3339;
use tollgate_counters::Counters;

use crate::admit::{self, Limits};
use crate::caller::Caller;
use crate::clock::Moment;
use crate::message::{Reply, TimeTexts, push_json_string, push_limit_lines, push_number, push_plain};
use crate::permit;
use crate::rejection::Rejection;

/// What is asked, and from where.
pub(crate) struct Asked<'r> {
    /// From the question mark on; empty where there is none.
    pub query: &'r [u8],
    pub client: IpAddr,
    pub now: Moment,
}

/// The limits that apply wherever the caller calls, and those of the service that `?service=` names. The header
/// fields tell of the former alone: a service may have hundreds.
pub(crate) fn reply(
    caller: &Caller<'_>,
    asked: &Asked<'_>,
    counters: &Counters,
    times: &TimeTexts,
) -> Result<Reply, Rejection> {
    let service = asked_service(caller, asked.query)?;
    let now = asked.now;
    let (everywhere, used) = admit::inspect(admit::demands_everywhere(caller), counters, now);
    let (names, demands): (Vec<_>, _) =
        service.into_iter().flat_map(|service| demands(service, caller, asked.client)).unzip();
    let (of_service, used_of_service) = admit::inspect(demands, counters, now);
    let mut body = Vec::with_capacity(1_024);
    body.extend_from_slice(b"{\"tenant\":");
    push_json_string(&mut body, caller.tenant.slug.as_str().as_bytes());
    push_plain(&mut body, b",\"consumer\":", caller.consumer.map(|consumer| consumer.client_id.as_str()));
    push_plain(&mut body, b",\"plan\":", caller.plan.map(|plan| plan.slug.as_str()));
    push_plain(&mut body, b",\"service\":", service.map(|service| service.slug.as_str()));
    body.extend_from_slice(b",\"limits\":[");
    for (limit, used) in everywhere.rules().zip(used) {
        push_limit(&mut body, None, limit, used);
    }
    for ((name, limit), used) in named(&names, &of_service).zip(used_of_service) {
        push_limit(&mut body, name, limit, used);
    }
    body.extend_from_slice(b"]}");
    let mut reply = Reply::json(200, body);
    push_limit_lines(&mut reply.lines, &everywhere, now.wall, times);
    Ok(reply)
}

/// Asks the store that counts, where there is one: what [`reply`] tells is its word then.
pub(crate) async fn look(caller: &Caller<'_>, asked: &Asked<'_>, counters: &Counters) {
    let mut asked_for = admit::demands_everywhere(caller);
    if let Ok(Some(service)) = asked_service(caller, asked.query) {
        asked_for.extend(demands(service, caller, asked.client).map(|(_, demand)| demand));
    }
    counters.look(&asked_for, asked.now.into()).await;
}

/// Only of the caller's own tenant, and only what its key opens.
fn asked_service<'s>(caller: &Caller<'s>, query: &[u8]) -> Result<Option<&'s Service>, Rejection> {
    let query = query.strip_prefix(b"?").unwrap_or_default();
    if query.is_empty() {
        return Ok(None);
    }
    // Slugs are plain: nothing in them is ever percent-encoded.
    let slug = query.strip_prefix(b"service=").ok_or(Rejection::Malformed("only ?service= is known here"))?;
    let slug = std::str::from_utf8(slug).map_err(|_| Rejection::NoSuchService)?;
    let service = caller.tenant.service(slug).ok_or(Rejection::NoSuchService)?;
    permit::service(caller, service)?;
    Ok(Some(service))
}

/// What a service demands of the caller by itself, with the names of its rules.
fn demands<'s>(
    service: &'s Service,
    caller: &Caller<'s>,
    client: IpAddr,
) -> impl Iterator<Item = (Option<&'s RuleName>, Demand<'s>)> {
    let (subject, calendar) = (caller.subject, caller.calendar);
    let limits = service.limits();
    limits.into_iter().flat_map(move |limits| {
        let of_rules = limits.demands_of_rules(subject, calendar).map(|(name, demand)| (Some(name), demand));
        of_rules.chain(limits.demands(None, subject, client, calendar).map(|demand| (None, demand)))
    })
}

/// Each limit with the name that its demand has.
fn named<'l, 's>(
    names: &'l [Option<&'s RuleName>],
    limits: &'l Limits<'s>,
) -> impl Iterator<Item = (Option<&'s RuleName>, (Level, &'s LimitRule, Standing))> {
    let counted = names.iter().zip(limits.demands());
    let of_limits = counted.flat_map(|(name, demand)| demand.limits.rules.iter().map(move |_| *name));
    of_limits.zip(limits.rules())
}

fn push_limit(
    body: &mut Vec<u8>,
    name: Option<&RuleName>,
    (level, rule, standing): (Level, &LimitRule, Standing),
    used: u64,
) {
    if !body.ends_with(b"[") {
        body.push(b',');
    }
    body.extend_from_slice(b"{\"level\":");
    push_json_string(body, level.name().as_bytes());
    if let Some(name) = name {
        body.extend_from_slice(b",\"rule\":");
        push_json_string(body, name.as_str().as_bytes());
    }
    body.extend_from_slice(b",\"limit_type\":");
    push_json_string(body, rule.name.as_bytes());
    body.extend_from_slice(b",\"limit\":");
    push_number(body, rule.requests);
    body.extend_from_slice(b",\"used\":");
    push_number(body, used);
    body.extend_from_slice(b",\"remaining\":");
    push_number(body, standing.remaining);
    body.extend_from_slice(b",\"reset_at\":\"");
    body.extend_from_slice(&rfc3339(standing.reset_secs));
    body.extend_from_slice(b"\"}");
}
