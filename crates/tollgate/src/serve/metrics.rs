//! What monitoring reads of this process, in Prometheus' text format.

use tollgate_admin::{MetricKind, push_metric};
use tollgate_counters::{Counters, StoreState};
use tollgate_proxy::Proxy;

use super::load_metrics;

/// Of what there is in this process.
pub fn text(counters: Option<&Counters>, proxy: Option<&Proxy>) -> String {
    let mut text = counters.map_or_else(String::new, of_store);
    if let Some(proxy) = proxy {
        load_metrics::push(&mut text, proxy);
    }
    text
}

/// Empty where there is nothing to tell.
fn of_store(counters: &Counters) -> String {
    let Some(store) = counters.store() else { return String::new() };
    let is_up = match store.state() {
        StoreState::Up => 1,
        StoreState::Down => 0,
    };
    let mut text = String::new();
    push(&mut text, "up", MetricKind::Gauge, "Whether the store that nodes count in can be reached.", is_up);
    push(
        &mut text,
        "losses_total",
        MetricKind::Counter,
        "How often it could not be any more.",
        store.losses(),
    );
    push(
        &mut text,
        "answers_total",
        MetricKind::Counter,
        "What it was asked or told, and has answered.",
        store.answers(),
    );
    push(
        &mut text,
        "put_back_total",
        MetricKind::Counter,
        "How often it was emptied or replaced, and was told again what this node knew.",
        store.put_back(),
    );
    text
}

fn push(text: &mut String, name: &str, kind: MetricKind, help: &str, value: u64) {
    push_metric(text, &format!("tollgate_counter_store_{name}"), kind, help, value);
}
