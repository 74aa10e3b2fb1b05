//! What `/metrics` counts of limits, by where they are counted.
#![allow(clippy::expect_used, reason = "clippy's leave for tests covers test functions alone")]

mod harness;

use harness::{EchoUpstream, Gateway, StoreProgram, StoreServer, eventually};
use serde_json::json;

/// Requests let through, limited, and refused for want of the store.
#[track_caller]
fn decisions(gateway: &Gateway, counting: &str) -> [u64; 3] {
    let text = gateway.admin_connection().get("/metrics", &[]).expect(200).text();
    ["allowed", "limited", "unavailable"].map(|outcome| {
        let series =
            format!("tollgate_limit_decisions_total{{counting=\"{counting}\",outcome=\"{outcome}\"}} ");
        let value = text.lines().find_map(|line| line.strip_prefix(&series));
        value.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no {series} in {text}"))
    })
}

fn ask(gateway: &Gateway, key: &str) -> u16 {
    gateway.client().get("/acme/api/", &[("X-API-Key", key)]).status
}

#[test]
fn decisions_are_counted_where_a_node_counts_alone() {
    let (gateway, upstream) = (Gateway::start(), EchoUpstream::start());
    let tenant = gateway.tenant("acme");
    tenant.service("api", &upstream.url());
    let key = tenant.plan("small", &[(2, "day")]).key("small");
    let statuses = [(); 5].map(|()| ask(&gateway, &key));
    assert_eq!(statuses, [200, 200, 429, 429, 429]);
    // A caller without limits is no decision.
    assert_eq!(ask(&gateway, &tenant.unlimited_key()), 200);
    assert_eq!(decisions(&gateway, "local"), [2, 3, 0]);
    assert_eq!((decisions(&gateway, "leased"), decisions(&gateway, "exact")), ([0; 3], [0; 3]));
}

#[test]
fn decisions_are_counted_apart_where_a_store_counts_and_where_it_is_away() {
    let (mut store, upstream) = (StoreServer::start(StoreProgram::Redis), EchoUpstream::start());
    let gateway = Gateway::builder().env("REDIS_URL", &store.url()).start();
    let tenant = gateway.tenant("acme");
    tenant.service("api", &upstream.url());
    let [exact, leased] = ["exact", "leased"].map(|counting| {
        let limits = json!([{ "requests": 1, "per": "day" }]);
        tenant.plan_with(&json!({ "slug": counting, "limits": limits, "counting": counting,
            "on_unavailable": "deny" }));
        tenant.key(counting)
    });
    for key in [&exact, &leased] {
        assert_eq!([ask(&gateway, key), ask(&gateway, key)], [200, 429]);
    }
    assert_eq!((decisions(&gateway, "exact"), decisions(&gateway, "leased")), ([1, 1, 0], [1, 1, 0]));
    store.kill();
    eventually("the store is missed", || ask(&gateway, &exact) == 503);
    assert!(decisions(&gateway, "exact")[2] >= 1);
}
