//! What a route does to the requests that it takes: path, host, time, size, and the shares of several services.

#![allow(clippy::unwrap_used, reason = "clippy's leave for tests covers test functions alone")]

mod harness;

use std::collections::HashSet;

use harness::{EchoUpstream, Echoed, Gate, Gateway, ScriptedUpstream, Step, Tenant, started};
use serde_json::{Value, json};

#[track_caller]
fn route(gateway: &Gateway, route: &Value) -> Value {
    gateway.admin().post("/api/routes?tenant=acme", route).expect(201)
}

#[track_caller]
fn echoed(gateway: &Gateway, host: &str, path: &str, key: &str) -> Echoed {
    Echoed::of(&gateway.client().get(path, &[("Host", host), ("X-API-Key", key)]))
}

#[test]
fn the_upstream_gets_the_path_that_the_route_makes_of_it() {
    let (gateway, upstream) = (Gateway::start(), EchoUpstream::start());
    let key = gateway.tenant("acme").service("api", &format!("{}/base", upstream.url())).unlimited_key();
    for (number, (paths, change)) in [
        (json!(["/api/*", "/api"]), json!({ "strip_prefix": true })),
        (json!(["/v1/users/*"]), json!({ "strip_prefix": "/v1" })),
        (json!(["/u/{id}/{*rest}"]), json!({ "rewrite_path": "/users/{id}/files/{rest}" })),
        (json!(["/{a}/x/{b}"]), json!({ "rewrite_path": "/{b}-{a}" })),
    ]
    .into_iter()
    .enumerate()
    {
        let mut draft =
            json!({ "name": number.to_string(), "service": "api", "hosts": ["a.example"], "paths": paths });
        draft.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        route(&gateway, &draft);
    }
    for (path, expected) in [
        ("/api/a/b?c=d", "/base/a/b?c=d"),
        ("/api", "/base/"),
        ("/api/", "/base/"),
        ("//%61pi//a", "/base/a"),
        ("/v1/users/7?q", "/base/users/7?q"),
        ("/u/7/a//b?x=1", "/base/users/7/files/a//b?x=1"),
        ("/u/%20/", "/base/users/%20/files/"),
        ("/one/x/two", "/base/two-one"),
    ] {
        assert_eq!(echoed(&gateway, "a.example", path, &key).target, expected, "{path}");
    }
    // A whole path within a tenant goes the same way.
    route(
        &gateway,
        &json!({ "name": "within", "service": "api", "paths": ["/short/*"], "strip_prefix": true }),
    );
    assert_eq!(echoed(&gateway, "b.example", "/acme/short/a", &key).target, "/base/a");
}

#[test]
fn what_was_captured_cannot_lead_out_of_the_rewritten_path() {
    let (gateway, upstream, key) = started();
    let rewrite = json!({ "name": "a", "service": "api", "hosts": ["a.example"], "paths": ["/{id}"], "rewrite_path": "/x/..{id}" });
    route(&gateway, &rewrite);
    assert_eq!(echoed(&gateway, "a.example", "/7", &key).target, "/x/..7");
    gateway.client().get("/;a", &[("Host", "a.example"), ("X-API-Key", &key)]).expect(400);
    assert_eq!(upstream.requests().len(), 1);
}

#[test]
fn keys_and_rules_are_about_the_path_that_the_upstream_gets() {
    let (gateway, upstream) = (Gateway::start(), EchoUpstream::start());
    let tenant = gateway.tenant("acme");
    tenant.service_with(&json!({ "slug": "api", "url": upstream.url(),
        "rules": [{ "name": "search", "paths": ["/search"], "limits": [{ "requests": 1, "per": "month" }] }] }));
    let scoped =
        tenant.key_with(&json!({ "name": "scoped", "routes": [{ "paths": ["/search", "/open/*"] }] }));
    let key = scoped["key"].as_str().unwrap();
    route(
        &gateway,
        &json!({ "name": "a", "service": "api", "hosts": ["a.example"], "paths": ["/api/*"], "strip_prefix": true }),
    );
    let get =
        |host: &str, path: &str| gateway.client().get(path, &[("Host", host), ("X-API-Key", key)]).status;
    assert_eq!(get("a.example", "/api/open/x"), 200);
    assert_eq!(get("a.example", "/api/search"), 200);
    assert_eq!(
        get("b.example", "/acme/api/search"),
        429,
        "the limit of one path, whichever way it is reached"
    );
    assert_eq!(get("a.example", "/api/closed"), 403);
    assert_eq!(get("b.example", "/acme/api/api/open/x"), 403);
}

#[test]
fn the_upstream_gets_its_own_host_the_client_s_or_another() {
    let (gateway, upstream, key) = started();
    for (host, extra) in [
        ("own.example", json!({})),
        ("kept.example", json!({ "preserve_host": true })),
        ("other.example", json!({ "rewrite_host": "internal.example:8443" })),
    ] {
        let mut draft = json!({ "name": host, "service": "api", "hosts": [host] });
        draft.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        route(&gateway, &draft);
    }
    let own = upstream.address().to_string();
    for (host, expected) in [
        ("own.example", own.as_str()),
        ("Kept.example:81", "Kept.example:81"),
        ("other.example", "internal.example:8443"),
    ] {
        let echoed = echoed(&gateway, host, "/", &key);
        assert_eq!(echoed.header("Host"), Some(expected), "{host}");
        assert_eq!(echoed.header("X-Forwarded-Host"), Some(host));
    }
}

#[test]
fn a_route_has_a_time_and_a_size_of_its_own() {
    let gate = Gate::new();
    let slow = ScriptedUpstream::scripts(vec![
        [vec![Step::ReadWholeBody, Step::Await(gate.clone())], Step::respond("200 OK", "late")].concat(),
    ]);
    let (gateway, upstream) = (Gateway::start(), EchoUpstream::start());
    let tenant = gateway.tenant("acme");
    tenant.service("slow", &slow.url());
    tenant.service_with(&json!({ "slug": "api", "url": upstream.url(), "max_body_bytes": 4 }));
    let key = tenant.unlimited_key();
    route(
        &gateway,
        &json!({ "name": "slow", "service": "slow", "hosts": ["slow.example"], "timeout": "200ms" }),
    );
    gateway.client().get("/", &[("Host", "slow.example"), ("X-API-Key", &key)]).expect(504);
    gate.open();
    route(
        &gateway,
        &json!({ "name": "large", "service": "api", "hosts": ["large.example"], "max_body_bytes": 8 }),
    );
    route(&gateway, &json!({ "name": "usual", "service": "api", "hosts": ["usual.example"] }));
    let post = |host: &str, body: &[u8]| {
        gateway.client().request("POST", "/", &[("Host", host), ("X-API-Key", &key)], body).status
    };
    assert_eq!((post("large.example", b"12345678"), post("large.example", b"123456789")), (200, 413));
    assert_eq!((post("usual.example", b"1234"), post("usual.example", b"12345")), (200, 413));
}

/// A tenant whose route `split.example` is shared by `a` and `b`, and a key.
fn with_split(
    gateway: &Gateway,
    upstream: &EchoUpstream,
    weights: (u32, u32),
    extra: &Value,
) -> (Tenant, String) {
    let tenant = gateway.tenant("acme");
    for service in ["a", "b"] {
        tenant.service_with(
            &json!({ "slug": service, "url": format!("{}/{service}", upstream.url()), "anonymous": {} }),
        );
    }
    let shares = json!([{ "service": "a", "weight": weights.0 }, { "service": "b", "weight": weights.1 }]);
    let mut draft = json!({ "name": "split", "services": shares, "hosts": ["split.example"] });
    draft.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    route(gateway, &draft);
    let key = tenant.unlimited_key();
    (tenant, key)
}

#[track_caller]
fn chosen(gateway: &Gateway, headers: &[(&str, &str)]) -> String {
    let response = gateway.client().get("/x", &[&[("Host", "split.example")], headers].concat());
    Echoed::of(&response).target
}

#[test]
fn services_share_a_route_by_their_weights() {
    let (gateway, upstream) = (Gateway::start(), EchoUpstream::start());
    with_split(&gateway, &upstream, (3, 1), &json!({}));
    let mut client = gateway.client();
    let targets: Vec<String> =
        (0..400).map(|_| Echoed::of(&client.get("/x", &[("Host", "split.example")])).target).collect();
    let of_b = targets.iter().filter(|target| *target == "/b/x").count();
    // 100 are expected; less than one run in a million is farther off.
    assert!((55..150).contains(&of_b), "{of_b}");
    assert!(targets.iter().all(|target| target == "/a/x" || target == "/b/x"));
    let logged = gateway.await_logged(|line| line["service"] == "b");
    assert_eq!(logged["route"], "split");
}

#[test]
fn requests_that_have_something_in_common_stick_to_one_service() {
    let (gateway, upstream) = (Gateway::start(), EchoUpstream::start());
    let (tenant, _) = with_split(&gateway, &upstream, (1, 1), &json!({ "sticky": "header:X-User" }));
    let names: Vec<String> = (0..64).map(|number| format!("user-{number}")).collect();
    let by_header = |name: &str| chosen(&gateway, &[("X-User", name)]);
    let by_cookie = |name: &str| chosen(&gateway, &[("Cookie", &format!("theme=dark; session={name}"))]);
    for (sticky, choose) in
        [("header:X-User", &by_header as &dyn Fn(&str) -> String), ("cookie:session", &by_cookie)]
    {
        put_split(&gateway, &json!({ "sticky": sticky }));
        let first: Vec<String> = names.iter().map(|name| choose(name)).collect();
        let again: Vec<String> = names.iter().map(|name| choose(name)).collect();
        assert_eq!(first, again, "{sticky}");
        assert_eq!(first.iter().collect::<HashSet<_>>().len(), 2, "{sticky}: both have some");
    }
    // One client, one service; without anything in common, both.
    put_split(&gateway, &json!({ "sticky": "client_ip" }));
    let all = |requests: usize, headers: &[(&str, &str)]| {
        (0..requests).map(|_| chosen(&gateway, headers)).collect::<HashSet<_>>()
    };
    assert_eq!(all(40, &[]).len(), 1);
    put_split(&gateway, &json!({ "sticky": "cookie:session" }));
    assert_eq!(all(40, &[]).len(), 2);

    put_split(&gateway, &json!({ "sticky": "key" }));
    let keys: Vec<Value> = (0..32).map(|_| tenant.key_with(&json!({ "name": "some" }))).collect();
    let by_key = |key: &Value| all(4, &[("X-API-Key", key["key"].as_str().unwrap())]);
    let services: Vec<HashSet<String>> = keys.iter().map(by_key).collect();
    assert!(services.iter().all(|services| services.len() == 1));
    assert_eq!(services.iter().flatten().collect::<HashSet<_>>().len(), 2);
    // A rotated key is the same key.
    let path = format!("/api/keys/{}/rotate?tenant=acme", keys[0]["id"].as_str().unwrap());
    let rotated = gateway.admin().post(&path, &json!({ "grace": "0s" })).expect(200);
    assert_eq!(by_key(&rotated), services[0]);
}

#[track_caller]
fn put_split(gateway: &Gateway, extra: &Value) {
    let shares = json!([{ "service": "a" }, { "service": "b" }]);
    let mut draft = json!({ "name": "split", "services": shares, "hosts": ["split.example"] });
    draft.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    gateway.admin().put("/api/routes/split?tenant=acme", &draft).expect(200);
}
