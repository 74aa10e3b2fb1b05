//! Limits that tell when so much of them was used, and limits that may be gone over.

#![allow(clippy::expect_used, reason = "clippy's leave for tests covers test functions alone")]

mod harness;

use harness::{
    Control, EchoUpstream, Gateway, ScriptedUpstream, eventually, eventually_some, started_limited,
};
use serde_json::{Value, json};

fn statuses(gateway: &Gateway, key: &str, requests: usize) -> Vec<u16> {
    (0..requests).map(|_| gateway.client().get("/acme/api/", &[("X-API-Key", key)]).status).collect()
}

/// The thresholds of the tenant, as `level threshold used`, once there are so many.
#[track_caller]
fn await_events(gateway: &Gateway, count: usize) -> Vec<Value> {
    eventually_some(&format!("{count} events"), || {
        let listed = gateway.admin().get("/api/events?tenant=acme&type=limit.threshold").expect(200);
        let items = listed["items"].as_array().expect("a list").clone();
        (items.len() >= count).then_some(items)
    })
}

fn told(events: &[Value]) -> Vec<String> {
    let text = |event: &Value| {
        let data = &event["data"];
        format!("{} {} {}", data["level"].as_str().expect("a level"), data["threshold"], data["used"])
    };
    events.iter().map(text).collect()
}

#[test]
fn a_threshold_is_an_event_once_a_period_whatever_comes_after_it() {
    let limits = json!([{ "requests": 5, "per": "month", "thresholds": [80, 100] }]);
    let (gateway, _upstream, tenant, key) = started_limited(&limits);
    assert_eq!(statuses(&gateway, &key, 7), [200, 200, 200, 200, 200, 429, 429]);
    let events = await_events(&gateway, 2);
    assert_eq!(told(&events), ["plan 80 4", "plan 100 5"]);
    let data = &events[0]["data"];
    assert_eq!(
        (&data["tenant"], &data["plan"], &data["consumer"]),
        (&json!("acme"), &json!("plan"), &Value::Null)
    );
    assert_eq!((&data["limit"], &data["service"]), (&json!({ "requests": 5, "per": "month" }), &Value::Null));
    let keys = gateway.admin().get("/api/keys?tenant=acme").expect(200);
    assert_eq!(data["key_id"], keys["items"][0]["id"]);
    assert!(data["period_end"].as_str().expect("a time").ends_with("-01T00:00:00Z"), "{data}");

    // After a crash what was used last may be had again: it crosses the threshold again, and is told once all the same.
    let gateway = gateway.restart_after("KILL");
    statuses(&gateway, &key, 5);
    // A larger limit is crossed in the same period, and that is no news. The next key's event is told behind it.
    let larger =
        json!({ "slug": "plan", "limits": [{ "requests": 6, "per": "month", "thresholds": [80, 100] }] });
    gateway.admin().put("/api/plans/plan?tenant=acme", &larger).expect(200);
    statuses(&gateway, &key, 2);
    let other = tenant.at(gateway.admin()).key("plan");
    statuses(&gateway, &other, 5);
    assert_eq!(told(&await_events(&gateway, 3)), ["plan 80 4", "plan 100 5", "plan 80 5"]);
}

#[test]
fn beyond_a_soft_limit_requests_pass_and_are_metered() {
    let limits = json!([{ "requests": 3, "per": "day", "overage": "allow", "thresholds": [200] }]);
    let (gateway, _upstream, _tenant, key) = started_limited(&limits);
    assert_eq!(statuses(&gateway, &key, 6), [200; 6]);
    let response = gateway.client().get("/acme/api/", &[("X-API-Key", &key)]).expect(200);
    assert_eq!(response.header("X-RateLimit-Remaining-Day"), Some("0"));
    assert_eq!(response.header("X-RateLimit-Limit-Day"), Some("3"));
    let usage = gateway.client().get("/-/usage", &[("X-API-Key", &key)]).expect(200).json();
    assert_eq!((&usage["limits"][0]["used"], &usage["limits"][0]["remaining"]), (&json!(7), &json!(0)));
    assert_eq!(told(&await_events(&gateway, 1)), ["plan 200 6"]);
    let gateway = gateway.restart_after("TERM");
    let usage = gateway.client().get("/-/usage", &[("X-API-Key", &key)]).expect(200).json();
    assert_eq!(usage["limits"][0]["used"], 7, "it is metered over a restart");
    // Refusing from now on forgives nothing.
    let hard = json!({ "slug": "plan", "limits": [{ "requests": 3, "per": "day" }] });
    gateway.admin().put("/api/plans/plan?tenant=acme", &hard).expect(200);
    assert_eq!(statuses(&gateway, &key, 1), [429]);
}

#[test]
fn every_level_that_counts_somebody_with_a_name_has_thresholds() {
    let (gateway, upstream) = (Gateway::start(), EchoUpstream::start());
    let watched = json!([{ "requests": 2, "per": "day", "thresholds": [100] }]);
    let tenant = gateway.tenant("acme");
    let service = json!({ "slug": "api", "url": upstream.url(), "limits": watched,
        "rules": [{ "name": "reading", "methods": ["GET"], "limits": watched }] });
    tenant.service_with(&service).plan_with(&json!({ "slug": "plan", "limits": watched }));
    tenant.consumer("mobile", "plan");
    gateway.admin().put("/api/tenants/acme", &json!({ "slug": "acme", "limits": watched })).expect(200);
    let made = tenant.key_with(&json!({ "name": "key", "consumer": "mobile", "limits": watched }));
    assert_eq!(statuses(&gateway, made["key"].as_str().expect("a key"), 2), [200, 200]);
    let events = await_events(&gateway, 5);
    let who = |event: &Value| {
        let data = &event["data"];
        let names =
            ["level", "plan", "consumer", "service", "rule"].map(|field| data[field].as_str().unwrap_or("-"));
        format!("{} {}", names.join(" "), if data["key_id"] == made["id"] { "key" } else { "-" })
    };
    assert_eq!(
        events.iter().map(who).collect::<Vec<_>>(),
        [
            "plan plan mobile - - -",
            "key - - - - key",
            "rule - mobile api reading -",
            "service - - api - -",
            "tenant - - - - -"
        ]
    );
}

#[test]
fn what_a_response_adds_counts_for_thresholds() {
    let upstream = ScriptedUpstream::start(|exchange| {
        exchange.read_whole_body()?;
        exchange.write("HTTP/1.1 200 OK\r\nX-Cost: 9\r\nContent-Length: 0\r\n\r\n")
    });
    let gateway = Gateway::start();
    let tenant = gateway.tenant("acme");
    tenant.service_with(&json!({ "slug": "api", "url": upstream.url(), "cost_header": "X-Cost" }));
    let limits = json!([{ "requests": 10, "per": "day", "thresholds": [50] }]);
    tenant.plan_with(&json!({ "slug": "plan", "limits": limits }));
    let key = tenant.key("plan");
    assert_eq!(statuses(&gateway, &key, 1), [200]);
    assert_eq!(told(&await_events(&gateway, 1)), ["plan 50 9"]);
}

#[test]
fn what_nodes_count_is_told_by_the_control_plane_once_even_when_it_was_away() {
    let upstream = EchoUpstream::start();
    let control = Control::start();
    let tenant = control.tenant("acme");
    tenant.service("api", &upstream.url());
    let limits = json!([{ "requests": 4, "per": "month", "thresholds": [50, 100] }]);
    tenant.plan_with(&json!({ "slug": "plan", "limits": limits }));
    let key = tenant.key("plan");
    let nodes = [control.node("edge-1"), control.node("edge-2")];
    for node in &nodes {
        eventually("the key is known", || node.get("/acme/api/", &key) == 200);
        assert_eq!(node.get("/acme/api/", &key), 200);
    }
    let listed = |control: &Control| {
        let listed = control.admin().get("/api/events?tenant=acme").expect(200);
        told(listed["items"].as_array().expect("a list"))
    };
    eventually("the first threshold", || !listed(&control).is_empty());

    // Both have told by the time that what they reached later is there.
    let start_again = control.kill();
    for node in &nodes {
        assert_eq!([(); 2].map(|()| node.get("/acme/api/", &key)), [200, 200]);
    }
    let control = start_again();
    eventually("the second threshold", || listed(&control).len() == 2);
    for node in nodes {
        drop(node.end("TERM"));
    }
    assert_eq!(listed(&control), ["plan 50 2", "plan 100 4"]);
}
