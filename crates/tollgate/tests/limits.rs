//! Limits: what is counted, for whom, and for how long.

#![allow(clippy::expect_used, reason = "clippy's leave for tests covers test functions alone")]

mod harness;

use std::thread;

use harness::{Gateway, Response, ScriptedUpstream, eventually, exactly, started_limited};
use serde_json::{Value, json};

fn get(gateway: &Gateway, key: &str) -> Response {
    gateway.client().get("/acme/api", &[("X-API-Key", key)])
}

/// What `/-/usage` says was used of the limit of this type.
#[track_caller]
fn used(gateway: &Gateway, headers: &[(&str, &str)], limit_type: &str) -> u64 {
    let usage = gateway.client().get("/-/usage", headers).expect(200).json();
    let limits = usage["limits"].as_array().expect("limits");
    let limit = limits.iter().find(|limit| limit["limit_type"] == limit_type).expect("the limit");
    limit["used"].as_u64().expect("a number")
}

#[test]
fn a_bucket_lets_a_burst_through_and_fills_again() {
    let limits = json!([{ "requests": 1, "per": "hour", "burst": 3 }]);
    let (gateway, _upstream, _, key) = started_limited(&limits);
    let remaining: Vec<_> = (0..3)
        .map(|_| get(&gateway, &key).expect(200).header("X-RateLimit-Remaining-Hour").map(str::to_owned))
        .collect();
    assert_eq!(remaining, ["2", "1", "0"].map(|count| Some(count.to_owned())));
    let refused = get(&gateway, &key).expect(429).json();
    let retry_after = refused["error"]["details"]["retry_after"].as_u64().expect("seconds");
    assert!((3_000..=3_600).contains(&retry_after), "one comes back in an hour, not {retry_after} s");

    let (gateway, _upstream, _, key) = started_limited(&json!([{ "requests": 1, "per": "second" }]));
    eventually("a refusal", || get(&gateway, &key).status == 429);
    eventually("a second later", || get(&gateway, &key).status == 200);
}

#[test]
fn a_refusal_by_one_limit_charges_no_other() {
    let limits = json!([exactly(10), { "requests": 2, "per": "month" }]);
    let (gateway, upstream, _, key) = started_limited(&limits);
    let own = [("X-API-Key", key.as_str())];
    let statuses: Vec<u16> = (0..5).map(|_| get(&gateway, &key).status).collect();
    assert_eq!(statuses, [200, 200, 429, 429, 429]);
    assert_eq!((used(&gateway, &own, "700h"), used(&gateway, &own, "month")), (2, 2));
    assert_eq!(upstream.requests().len(), 2);
    // What was refused for another reason has cost nothing either.
    gateway.client().get("/acme/nothing", &own).expect(404);
    gateway.client().get("/acme/api", &[own[0], ("X-Client-ID", "nobody")]).expect(403);
    assert_eq!(used(&gateway, &own, "700h"), 2);
}

#[test]
fn a_consumer_has_one_count_whichever_key_speaks_for_it() {
    let (gateway, _upstream, tenant, first) = started_limited(&json!([exactly(3)]));
    tenant.consumer("shop", "plan");
    let second = tenant.key("plan");
    let bound = tenant.key_with(&json!({ "name": "bound", "consumer": "shop" }));
    let bound = bound["key"].as_str().expect("a key");
    let call = |key: &str, named: &[(&str, &str)]| {
        gateway.client().get("/acme/api", &[&[("X-API-Key", key)], named].concat()).status
    };
    let shop = [("X-Client-ID", "shop")];
    let as_shop = [
        call(&first, &shop),
        call(&second, &shop),
        call(bound, &[]),
        call(&first, &shop),
        call(bound, &shop),
    ];
    assert_eq!(as_shop, [200, 200, 200, 429, 429]);
    // Keys that speak for nobody are counted each for itself.
    assert_eq!([call(&first, &[]), call(&second, &[])], [200, 200]);
    assert_eq!(used(&gateway, &[("X-API-Key", &first)], "700h"), 1);
    assert_eq!(used(&gateway, &[("X-API-Key", bound)], "700h"), 3);
}

#[test]
fn changing_a_plan_refills_nothing() {
    let (gateway, _upstream, tenant, key) =
        started_limited(&json!([exactly(3), { "requests": 50, "per": "month" }]));
    let replace = |limits: Value| {
        let path = "/api/plans/plan?tenant=acme";
        gateway.admin().put(path, &json!({ "slug": "plan", "limits": limits })).expect(200);
    };
    for _ in 0..3 {
        get(&gateway, &key).expect(200);
    }
    get(&gateway, &key).expect(429);
    replace(json!([exactly(4), { "requests": 50, "per": "month" }]));
    assert_eq!(get(&gateway, &key).expect(200).header("X-RateLimit-Remaining-700h"), Some("0"));
    get(&gateway, &key).expect(429);
    // Taken out and put back, moved to another plan, and with other services about.
    replace(json!([{ "requests": 50, "per": "month" }]));
    assert_eq!(get(&gateway, &key).expect(200).header("X-RateLimit-Remaining-Month"), Some("45"));
    replace(json!([exactly(4), { "requests": 50, "per": "month" }]));
    get(&gateway, &key).expect(429);
    tenant
        .service("another", "http://192.0.2.1")
        .plan_with(&json!({ "slug": "second", "limits": [exactly(6)] }));
    get(&gateway, &key).expect(429);
    assert_eq!(used(&gateway, &[("X-API-Key", &key)], "700h"), 4);
}

#[test]
fn rotating_a_key_refills_nothing() {
    let (gateway, _upstream, tenant, _) = started_limited(&json!([exactly(2)]));
    let created = tenant.key_with(&json!({ "name": "key", "plan": "plan" }));
    let (id, first) = (created["id"].as_str().expect("an id"), created["key"].as_str().expect("a key"));
    get(&gateway, first).expect(200);
    let path = format!("/api/keys/{id}/rotate?tenant=acme");
    let rotated = gateway.admin().post(&path, &json!({ "grace": "1h" })).expect(200);
    let second = rotated["key"].as_str().expect("a key");
    get(&gateway, second).expect(200);
    get(&gateway, first).expect(429);
    get(&gateway, second).expect(429);
}

#[test]
fn a_restart_refills_nothing() {
    let (gateway, _upstream, _, key) =
        started_limited(&json!([exactly(3), { "requests": 5, "per": "hour" }]));
    get(&gateway, &key).expect(200);
    get(&gateway, &key).expect(200);
    let gateway = gateway.restart_after("TERM");
    let response = get(&gateway, &key).expect(200);
    assert_eq!(response.header("X-RateLimit-Remaining-700h"), Some("0"));
    assert_eq!(response.header("X-RateLimit-Remaining-Hour"), Some("2"));
    get(&gateway, &key).expect(429);
}

#[test]
fn a_crash_refills_next_to_nothing() {
    let (gateway, _upstream, tenant, key) = started_limited(&json!([exactly(3)]));
    let created = tenant.key_with(&json!({ "name": "last" }));
    let (id, last_used) = (created["id"].as_str().expect("an id"), created["key"].as_str().expect("a key"));
    get(&gateway, &key).expect(200);
    get(&gateway, &key).expect(200);
    get(&gateway, last_used).expect(200);
    // Counts are kept every few seconds, together with when keys were last used: where this key's use is
    // kept, so is what was counted before it.
    let path = format!("/api/keys/{id}?tenant=acme");
    eventually("the counts to be kept", || !gateway.admin().get(&path).expect(200)["last_used_at"].is_null());
    let gateway = gateway.restart_after("KILL");
    assert_eq!(used(&gateway, &[("X-API-Key", &key)], "700h"), 2);
}

#[test]
fn sliding_limits_let_exactly_what_they_allow_through() {
    for algorithm in ["sliding_window", "sliding_log"] {
        let limit = |requests| json!({ "requests": requests, "per": "700h", "algorithm": algorithm });
        let (gateway, upstream, _, key) = started_limited(&json!([limit(3)]));
        let own = [("X-API-Key", key.as_str())];
        for remaining in ["2", "1", "0"] {
            let response = get(&gateway, &key).expect(200);
            assert_eq!(response.header("X-RateLimit-Remaining-700h"), Some(remaining), "{algorithm}");
            assert_eq!(response.header("RateLimit-Policy"), Some("\"700h\";q=3;w=2520000"));
        }
        let refused = get(&gateway, &key).expect(429);
        let details = &refused.json()["error"]["details"];
        let retry_after = details["retry_after"].as_u64().expect("a number of seconds");
        assert!((1..=2 * 2_520_000).contains(&retry_after), "{algorithm}: {retry_after}");
        let expected = json!({
            "level": "plan", "limit_type": "700h", "limit": 3, "used": 3, "retry_after": retry_after,
            "reset_at": refused.header("X-RateLimit-Reset-700h"),
        });
        assert_eq!(details, &expected);
        assert_eq!(refused.header("Retry-After"), Some(retry_after.to_string().as_str()));
        assert!(refused.header("RateLimit").is_some_and(|standing| standing.starts_with("\"700h\";r=0;t=")));

        // Neither refusals nor a restart nor an edit change what was used.
        let gateway = gateway.restart_after("TERM");
        get(&gateway, &key).expect(429);
        assert_eq!(used(&gateway, &own, "700h"), 3);
        let replace = |limit: Value| {
            let plan = json!({ "slug": "plan", "limits": [limit] });
            gateway.admin().put("/api/plans/plan?tenant=acme", &plan).expect(200);
        };
        replace(exactly(3));
        get(&gateway, &key).expect(429);
        replace(limit(4));
        get(&gateway, &key).expect(200);
        get(&gateway, &key).expect(429);
        assert_eq!(upstream.requests().len(), 4);
    }
}

#[test]
fn clients_at_once_get_exactly_what_the_limit_allows() {
    let (gateway, upstream) =
        (Gateway::builder().arg("--workers").arg("4").start(), ScriptedUpstream::responding("ok"));
    let tenant = gateway.tenant("acme");
    tenant.service("api", &upstream.url()).plan_with(&json!({ "slug": "plan", "limits": [exactly(200)] }));
    let key = tenant.key("plan");
    let statuses: Vec<u16> = thread::scope(|scope| {
        let call_often = || {
            let mut client = gateway.client();
            let mut call = || client.get("/acme/api", &[("X-API-Key", &key)]).status;
            (0..40).map(|_| call()).collect::<Vec<_>>()
        };
        let clients: Vec<_> = (0..8).map(|_| scope.spawn(call_often)).collect();
        clients.into_iter().flat_map(|client| client.join().expect("a client")).collect()
    });
    let count = |wanted| statuses.iter().filter(|&&status| status == wanted).count();
    assert_eq!((count(200), count(429)), (200, 120));
    assert_eq!(upstream.requests().len(), 200);
}

#[test]
fn the_demo_plan_lets_five_requests_a_minute_through() {
    let gateway = Gateway::builder().subcommand("quickstart").start();
    let own = [("X-API-Key", "secret_key_12345")];
    let mut client = gateway.client();
    let statuses: Vec<u16> = (0..6).map(|_| client.get("/test-tenant/test-api/get", &own).status).collect();
    assert_eq!(statuses, [200, 200, 200, 200, 200, 429]);
    let usage = client.get("/-/usage", &own).expect(200).json();
    assert_eq!((&usage["tenant"], &usage["plan"]), (&json!("test-tenant"), &json!("basic")));
}
