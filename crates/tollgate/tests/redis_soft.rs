//! Soft limits where two gateway processes count in one store: everything passes and is metered, and each threshold is told
//! once.

#![allow(clippy::expect_used, reason = "clippy's leave for tests covers test functions alone")]

mod harness;

use harness::{Control, EchoUpstream, Load, Node, StoreProgram, StoreServer, eventually};
use serde_json::json;

/// What was told, as `level threshold`.
fn told(control: &Control) -> Vec<String> {
    let listed = control.admin().get("/api/events?tenant=acme&type=limit.threshold").expect(200);
    let text =
        |event: &serde_json::Value| format!("{} {}", event["data"]["level"], event["data"]["threshold"]);
    let mut told: Vec<String> = listed["items"].as_array().expect("a list").iter().map(text).collect();
    told.sort();
    told
}

/// Three requests for every two that the limit is of.
#[track_caller]
fn is_metered_and_told_once(counting: &str, limit: usize) {
    let (store, upstream, control) =
        (StoreServer::start(StoreProgram::Redis), EchoUpstream::start(), Control::start());
    let tenant = control.tenant("acme");
    tenant.service("api", &upstream.url());
    let limits =
        json!([{ "requests": limit, "per": "month", "thresholds": [80, 100, 140], "overage": "allow" }]);
    tenant.plan_with(&json!({ "slug": "soft", "limits": limits, "counting": counting }));
    let key = tenant.key("soft");
    let url = store.url();
    let nodes = ["edge-1", "edge-2"].map(|name| control.node_with(name, &[("REDIS_URL", &url)]));
    for node in &nodes {
        node.await_store("up");
        eventually("the key is known", || node.usage(&key).is_some());
    }
    let requests = limit * 3 / 2;
    let tally = Load::start(&nodes.each_ref().map(Node::address), "/acme/api/", &key, 8, requests).finish();
    assert_eq!((tally.lost, tally.of(200)), (0, requests), "{tally:?}");
    let metered = u64::try_from(requests).expect("a number");
    for node in &nodes {
        eventually("what idle nodes held is given back", || node.usage(&key) == Some(metered));
    }
    for node in &nodes {
        let response = node.client().get("/acme/api/", &[("X-API-Key", &key)]).expect(200);
        assert_eq!(response.header("X-RateLimit-Remaining-Month"), Some("0"));
        assert_eq!(response.header("X-RateLimit-Limit-Month"), Some(&*limit.to_string()));
    }
    // The last that a node does is to tell what it has not told.
    for node in nodes {
        drop(node.end("TERM"));
    }
    assert_eq!(told(&control), [r#""plan" 100"#, r#""plan" 140"#, r#""plan" 80"#]);
}

#[test]
fn counted_exactly_all_requests_pass_and_each_threshold_is_told_once() {
    is_metered_and_told_once("exact", 200);
}

#[test]
fn counted_out_of_slices_all_requests_pass_and_each_threshold_is_told_once() {
    is_metered_and_told_once("leased", 6_000);
}
