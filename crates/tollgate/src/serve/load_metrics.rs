//! What the proxy of this process carries, in Prometheus' text format. Services are named by their ids: monitoring asks
//! without a token, and names are their tenants'.

use std::fmt::Write as _;

use tollgate_admin::{MetricKind, begin_metric, push_metric};
use tollgate_core::channel::Reading;
use tollgate_core::resource::Counting;
use tollgate_proxy::{ChangeCounts, DecisionCounts, Proxy};

pub fn push(text: &mut String, proxy: &Proxy) {
    push_room(text, proxy);
    push_channels(text, proxy);
    push_hedges(text, proxy);
    push_changes(text, &proxy.changes());
    push_decisions(text, proxy);
}

fn push_room(text: &mut String, proxy: &Proxy) {
    let room = proxy.room();
    push_metric(
        text,
        "tollgate_proxy_connections",
        MetricKind::Gauge,
        "Clients' connections.",
        room.connections,
    );
    push_metric(
        text,
        "tollgate_proxy_overloaded_total",
        MetricKind::Counter,
        "Requests refused for want of room.",
        room.refused,
    );
}

fn push_channels(text: &mut String, proxy: &Proxy) {
    let channels = proxy.channels();
    let mut push = |name: &str, kind: MetricKind, help: &str, value: fn(&Reading) -> u64| {
        if !channels.is_empty() {
            begin_metric(text, name, kind, help);
        }
        for (service, reading) in &channels {
            let (service, value) = (service.0, value(reading));
            let _infallible = writeln!(text, "{name}{{service=\"{service}\"}} {value}");
        }
    };
    push(
        "tollgate_channel_limit",
        MetricKind::Gauge,
        "Most requests of a service at once, as it is now.",
        |channel| channel.limit.into(),
    );
    push(
        "tollgate_channel_in_flight",
        MetricKind::Gauge,
        "Requests that a service with a channel has.",
        |channel| channel.in_flight.into(),
    );
    push("tollgate_channel_queued", MetricKind::Gauge, "Requests that wait for a place.", |channel| {
        channel.queued.into()
    });
    push(
        "tollgate_channel_refused_total",
        MetricKind::Counter,
        "Requests for which there was none in time.",
        |channel| channel.refused,
    );
}

fn push_hedges(text: &mut String, proxy: &Proxy) {
    let hedges = proxy.hedges();
    let mut push = |name: &str, help: &str, value: fn(&(u64, u64)) -> u64| {
        if !hedges.is_empty() {
            begin_metric(text, name, MetricKind::Counter, help);
        }
        for (service, counts) in &hedges {
            let (service, value) = (service.0, value(counts));
            let _infallible = writeln!(text, "{name}{{service=\"{service}\"}} {value}");
        }
    };
    push("tollgate_hedges_sent_total", "Second copies of late requests.", |&(sent, _)| sent);
    push("tollgate_hedges_won_total", "Those of them that answered first.", |&(_, won)| won);
}

/// Of callers that have limits of their own.
fn push_decisions(text: &mut String, proxy: &Proxy) {
    let name = "tollgate_limit_decisions_total";
    begin_metric(
        text,
        name,
        MetricKind::Counter,
        "Requests that limits let through and refused, by where they are counted.",
    );
    for (mode, counting) in
        [("local", Counting::Local), ("leased", Counting::Leased), ("exact", Counting::Exact)]
    {
        let DecisionCounts { allowed, limited, unavailable } = proxy.decisions(counting);
        for (outcome, count) in [("allowed", allowed), ("limited", limited), ("unavailable", unavailable)] {
            let _infallible = writeln!(text, "{name}{{counting=\"{mode}\",outcome=\"{outcome}\"}} {count}");
        }
    }
}

/// Totals over all services: they are always there, so that a first change is seen as one.
fn push_changes(text: &mut String, changes: &ChangeCounts) {
    let ChangeCounts { circuits, ejections, checks } = changes;
    let mut push = |name: &str, help: &str, label: &str, values: &[(&str, u64)]| {
        begin_metric(text, name, MetricKind::Counter, help);
        for (value, count) in values {
            let _infallible = writeln!(text, "{name}{{{label}=\"{value}\"}} {count}");
        }
    };
    push(
        "tollgate_circuit_transitions_total",
        "Changes of circuit breakers, by what they became.",
        "to",
        &[("open", circuits.opened), ("half_open", circuits.half_opened), ("closed", circuits.closed)],
    );
    push(
        "tollgate_target_ejections_total",
        "Targets left out because they failed, by what they did.",
        "reason",
        &[("consecutive", ejections.consecutive), ("error_percent", ejections.ratio)],
    );
    push(
        "tollgate_health_changes_total",
        "Changes of what active checks find of a target.",
        "to",
        &[("healthy", checks.healthy), ("unhealthy", checks.unhealthy)],
    );
}
